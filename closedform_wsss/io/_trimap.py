"""Marks from trimaps."""

from __future__ import annotations

import numpy as np

from closedform_wsss.io._open import UInt8Array
from closedform_wsss.io._remap import UNMARKED

_NOISE = 16  # compression moves 0 and 255 by less


def from_trimap(trimap: UInt8Array) -> UInt8Array:
    """Turns a trimap into marks: 0 is background, 255 foreground, everything between is unknown.

    Whatever the grey of the unknown region is (128, 102, several), its pixels become unmarked. Values next to
    0 or 255 are an error: they are what lossy compression or resizing makes of the certain regions, which
    would then be lost.

    Args:
        trimap: uint8 ``(H, W)``.

    Returns:
        uint8 ``(H, W)``: 0 where the trimap is 0, 1 where it is 255, 255 (unmarked) elsewhere.

    Raises:
        TypeError: ``trimap`` is not uint8.
        ValueError: It is not ``(H, W)``, or has values in 1..15 or 240..254.

    Example:
        >>> import numpy as np
        >>> from_trimap(np.array([[0, 102, 255]], np.uint8)).tolist()
        [[0, 255, 1]]
    """
    if not isinstance(trimap, np.ndarray) or trimap.dtype != np.uint8:
        kind = trimap.dtype if isinstance(trimap, np.ndarray) else type(trimap).__name__
        raise TypeError(f"from_trimap: trimap must be a uint8 array, got {kind}")
    if trimap.ndim != 2:
        raise ValueError(f"from_trimap: trimap must be (H, W), got shape {trimap.shape}")
    values = np.unique(trimap)
    noisy = values[((values > 0) & (values < _NOISE)) | ((values > 255 - _NOISE) & (values < 255))]
    if len(noisy):
        cure = (
            "traces of lossy compression or resizing? Save it as PNG, or round these values"
            if values[-1] > 2
            else "if 1 is unknown and 2 foreground, remap {1: 128, 2: 255} (--remap 1:128,2:255 on the command line)"
        )
        raise ValueError(
            "from_trimap: trimap must be 0, 255 or clearly between them, "
            f"got {', '.join(map(str, noisy[:5]))}{', ...' if len(noisy) > 5 else ''}: {cure}"
        )
    marks = np.full(trimap.shape, UNMARKED, np.uint8)
    marks[trimap == 0] = 0
    marks[trimap == 255] = 1
    return marks
