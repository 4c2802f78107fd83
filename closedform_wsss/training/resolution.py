"""The sizes at which images are predicted, and predictions filtered."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss._mark_spacing import sides_from_marks
from closedform_wsss.functional.classes_present import classes_present

SIDES = (1, 2, 4, 8, 16)
# The filter reaches a few of its pixels far: marks of different classes should be this many of them apart.
REACH = 10
# Where the marks of a class cover a smaller part of an image, its copies are left out: from dots a network does not
# learn how large a class is, and in an enlarged image it finds too little of it.
COVERED = 1e-3


def filter_sides(target: Tensor, classes: int, ignore_index: int) -> Tensor:
    """Side in pixels of the squares that become a pixel of the filter, ``(N,)``."""
    return sides_from_marks(target, classes, ignore_index, sides=SIDES, reach=REACH)


def prediction_scales(scales: tuple[float, ...], target: Tensor, classes: int, ignore_index: int) -> tuple[float, ...]:
    """The scales for an image with the marks ``(1, H, W)``: 1 alone where these are dots.

    Dots are marks that cover less than ``COVERED`` of the image, divided by the number of classes that it holds.
    """
    held = classes_present(target, classes, ignore_index=ignore_index).sum().clamp_min(1)
    covered = (target != ignore_index).float().mean() / held
    return scales if float(covered) >= COVERED else (1.0,)
