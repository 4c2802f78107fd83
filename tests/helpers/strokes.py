"""A photograph, and strokes of some classes: few marks on many pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor


def photograph(size: tuple[int, int]) -> Tensor:
    """Part of a real one, ``(1, 3, *size)`` float64."""
    data = pytest.importorskip("skimage.data")
    image = data.astronaut()[: size[0], 100 : 100 + size[1]]
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].double() / 255


def strokes(size: tuple[int, int], classes: int) -> Tensor:
    """Marks ``(1, *size)``, 255 for none."""
    target = torch.full((1, *size), 255)
    for c in range(classes):
        y, x = 7 + 23 * c % (size[0] - 14), 9 + 37 * c % (size[1] - 40)
        target[0, y : y + 3, x : x + 25] = c
    return target
