"""What marks say of their image: the sizes at which it is predicted, and predictions filtered."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss._mark_spacing import has_dots_alone, sides_from_marks

SIDES = (1, 2, 4, 8, 16)
# The filter reaches a few of its pixels far: marks of different classes should be this many of them apart.
REACH = 8


def filter_sides(target: Tensor, classes: int, ignore_index: int) -> Tensor:
    """Side in pixels of the squares that become a pixel of the filter, ``(N,)``."""
    return sides_from_marks(target, classes, ignore_index, sides=SIDES, reach=REACH, each_class=True)


def prediction_scales(scales: tuple[float, ...], target: Tensor, classes: int, ignore_index: int) -> tuple[float, ...]:
    """The scales for an image with the marks ``(1, H, W)``: 1 alone where these are dots, because then a network finds
    too little of a class in an enlarged image."""
    return (1.0,) if has_dots_alone(target, classes, ignore_index) else scales
