"""Types that the readers share."""

from __future__ import annotations

import os
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

PathLike: TypeAlias = "str | os.PathLike[str]"
UInt8Array: TypeAlias = npt.NDArray[np.uint8]
