"""Functions on regions."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

IntArray: TypeAlias = npt.NDArray[np.int64]


class Part(NamedTuple):
    """Functions on regions without a common pixel.

    Attributes:
        pixels: Their pixels, of all images of the batch counted through.
        regions: The region of each pixel, counted from 0.
        values: The value of each pixel.
        ridge: Added to the energies, relative to a function's own: keeps them positive definite where functions
            depend on each other.
    """

    pixels: IntArray
    regions: IntArray
    values: npt.NDArray[np.float64]
    ridge: float
