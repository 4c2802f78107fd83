"""The size at which predictions are filtered."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._mark_spacing import sides_from_marks

SIDES = (1, 2, 4, 8, 16)
# The filter reaches a few of its pixels far: marks of different classes should be this many of them apart.
REACH = 10


def filter_sides(target: Tensor, classes: int, ignore_index: int) -> Tensor:
    """Side in pixels of the squares that become a pixel of the filter, ``(N,)``."""
    return sides_from_marks(target, classes, ignore_index, sides=SIDES, reach=REACH)


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def resize_probabilities(p: Tensor, size: tuple[int, int]) -> Tensor:
    """Means over squares where the map shrinks, so that they still add up to 1."""
    return F.interpolate(p, size, mode="area" if p.shape[2] > size[0] else "bilinear")
