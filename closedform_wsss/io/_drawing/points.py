"""Marks from clicks."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable

import numpy as np
from torch import Tensor

from closedform_wsss._checks import check_not_negative
from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.io._drawing.items import checked_shape, with_classes
from closedform_wsss.io._tensors import label_tensor


def from_points(points: Iterable[tuple[float, float, int]], shape: tuple[int, int], *, radius: float = 2.0) -> Tensor:
    """Draws a disc of marks around every point.

    A pixel belongs to a disc if its centre is at most ``radius`` away from the pixel of the point. Where discs overlap,
    the nearest point wins; if two are equally near, the first.

    Args:
        points: ``(x, y, class)`` in pixels: x to the right, y down, (0, 0) the centre of the top left pixel. Fractions
            are rounded to the nearest pixel. Classes are in 0..254.
        shape: ``(H, W)`` of the marks.
        radius: The radius of the discs in pixels; 0 marks single pixels. Default 2.

    Returns:
        int64 ``(H, W)``, 255 where no disc is.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A point lies outside, a class or an option is out of range, or two points of different
            classes share a pixel.

    Example:
        >>> from closedform_wsss.io import from_points
        >>> from_points([(1, 0, 7), (3, 1, 2)], (2, 5), radius=1).tolist()
        [[7, 7, 7, 2, 255], [255, 7, 2, 2, 2]]
    """
    fn = "from_points"
    height, width = checked_shape(fn, shape)
    radius = check_not_negative(fn, "radius", radius)
    marks = np.full((height, width), IGNORE_INDEX, np.uint8)
    nearest = np.full((height, width), np.inf)
    reach = int(radius)
    for which, (x, y), label in with_classes(fn, "points", points, "(x, y, class)"):
        if not all(isinstance(value, numbers.Real) for value in (x, y)):
            raise TypeError(f"{fn}: {which} must be numbers (x, y, class), got x={x!r}, y={y!r}")
        # This form also refuses NaN, for which every comparison is false.
        if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
            raise ValueError(f"{fn}: {which} must lie inside (H, W) = ({height}, {width}), got x={x}, y={y}")
        column, row = math.floor(x + 0.5), math.floor(y + 0.5)
        if nearest[row, column] == 0 and marks[row, column] != label:
            raise ValueError(
                f"{fn}: points must not give one pixel two classes, got {marks[row, column]} and "
                f"{label} at x={column}, y={row}"
            )
        rows = slice(max(row - reach, 0), row + reach + 1)
        columns = slice(max(column - reach, 0), column + reach + 1)
        dy = np.arange(height)[rows, None] - row
        dx = np.arange(width)[columns] - column
        distance = (dy * dy + dx * dx).astype(float)
        wins = (distance <= radius * radius) & (distance < nearest[rows, columns])
        marks[rows, columns][wins] = label
        nearest[rows, columns][wins] = distance[wins]
    return label_tensor(marks)
