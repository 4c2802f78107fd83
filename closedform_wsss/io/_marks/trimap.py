"""Marks from trimaps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from closedform_wsss._arrays import as_array
from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.io._tensors import label_tensor

_NOISE = 16  # compression moves 0 and 255 by less


def from_trimap(trimap: npt.NDArray[Any] | Tensor) -> Tensor:
    """Turns a trimap into marks: 0 is background, 255 foreground, everything between is unknown.

    Pixels of the unknown region become unmarked, whatever its grey is (128, 102, several). Values next to 0 or 255
    are an error. They come from lossy compression or resizing of the known regions, which would become unknown.

    Args:
        trimap: Integers: an array ``(H, W)``, or a tensor ``(H, W)`` or ``(N, H, W)``.

    Returns:
        int64 of the same shape, on the device of ``trimap``: 0 where the trimap is 0, 1 where it is 255, 255 (unmarked)
        elsewhere.

    Raises:
        TypeError: ``trimap`` is not an array or a tensor of integers.
        ValueError: It has another shape, or has values in 1..15 or 240..254 or outside 0..255.

    Example:
        >>> import numpy as np
        >>> from closedform_wsss.io import from_trimap
        >>> from_trimap(np.array([[0, 102, 255]], np.uint8))
        tensor([[  0, 255,   1]])
    """
    if not isinstance(trimap, (Tensor, np.ndarray)):
        raise TypeError(f"from_trimap: trimap must be an array or a tensor of integers, got {type(trimap).__name__}")
    if trimap.ndim != 2 and not (isinstance(trimap, Tensor) and trimap.ndim == 3):
        batch = " or (N, H, W)" * isinstance(trimap, Tensor)
        raise ValueError(f"from_trimap: trimap must be (H, W){batch}, got shape {tuple(trimap.shape)}")
    marks = label_tensor(trimap_marks(as_array(trimap)))
    return marks.to(trimap.device) if isinstance(trimap, Tensor) else marks


def trimap_marks(trimap: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """``from_trimap`` of an array, as an array."""
    if trimap.dtype.kind not in "iu":
        raise TypeError(f"from_trimap: trimap must be an array or a tensor of integers, got {trimap.dtype}")
    values = np.unique(trimap)
    noisy = values[((values < _NOISE) & (values != 0)) | ((values > 255 - _NOISE) & (values != 255))]
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
    marks = np.full(trimap.shape, IGNORE_INDEX, np.uint8)
    marks[trimap == 0] = 0
    marks[trimap == 255] = 1
    return marks
