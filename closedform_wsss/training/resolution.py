"""The size at which predictions are filtered."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss._mark_spacing import sides_from_marks

SIDES = (1, 2, 4, 8, 16)
# The filter reaches a few of its pixels far: marks of different classes should be this many of them apart.
REACH = 10


def filter_sides(target: Tensor, classes: int, ignore_index: int) -> Tensor:
    """Side in pixels of the squares that become a pixel of the filter, ``(N,)``."""
    return sides_from_marks(target, classes, ignore_index, sides=SIDES, reach=REACH)
