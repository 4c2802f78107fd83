"""How many pixels of each class were marked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from closedform_wsss._common import IGNORE_INDEX


@dataclass
class Totals:
    """Counts over all images.

    Attributes:
        pixels: Pixels with each label.
        images: Images with each label.
        empty: The names of images without a marked pixel.
    """

    pixels: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    images: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    empty: list[str] = field(default_factory=list)

    def add(self, name: str, marks: npt.NDArray[np.int64]) -> bool:
        """Counts the marks of an image, and returns whether it has any."""
        counts = np.bincount(marks.ravel(), minlength=256)
        self.pixels += counts
        self.images += counts > 0
        has_marks = bool(counts[:IGNORE_INDEX].any())
        if not has_marks:
            self.empty.append(name)
        return has_marks

    def labels(self) -> list[int]:
        """The classes that occur."""
        return [int(label) for label in np.flatnonzero(self.pixels) if label != IGNORE_INDEX]
