"""Marks from lines and polygons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from closedform_wsss._checks import check_count
from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.io._drawing.items import checked_shape, with_classes
from closedform_wsss.io._drawing.rasterize import draw_line, fill_polygon
from closedform_wsss.io._tensors import label_tensor
from closedform_wsss.io._types import UInt8Array

PointList = Sequence[tuple[float, float]]


def from_lines(lines: Iterable[tuple[PointList, int]], shape: tuple[int, int], *, width: int = 3) -> Tensor:
    """Draws open lines, such as scribbles.

    Later lines cover earlier ones. Lines are clipped to the image. Their ends are round, and a line of one point is a
    dot.

    Args:
        lines: ``(points, class)`` for each line. Points are ``(x, y)`` in pixels: x to the right, y down, (0, 0) the
            centre of the top left pixel; fractions are rounded to the nearest pixel. Classes are in 0..254.
        shape: ``(H, W)`` of the marks.
        width: The width of the lines in pixels, at least 1. Default 3.

    Returns:
        int64 ``(H, W)``, 255 where no line is.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A line has no point or points that are not two finite numbers, or a class or an option is out of
            range.

    Example:
        >>> from closedform_wsss.io import from_lines
        >>> from_lines([([(0, 1), (3, 1)], 0), ([(4, 0), (4, 2)], 7)], (3, 5), width=1).tolist()
        [[255, 255, 255, 255, 7], [0, 0, 0, 0, 7], [255, 255, 255, 255, 7]]
    """
    fn = "from_lines"
    check_count(fn, "width", width, 1)
    return _drawn(fn, "lines", lines, shape, 1, lambda marks, points, label: draw_line(marks, points, label, width))


def from_polygons(polygons: Iterable[tuple[PointList, int]], shape: tuple[int, int]) -> Tensor:
    """Fills polygons.

    A pixel belongs to a polygon if its centre is inside, by the even-odd rule. Later polygons cover earlier ones.
    Polygons are clipped to the image.

    Args:
        polygons: ``(points, class)`` for each polygon, with its corners as in ``from_lines``, not rounded. The last
            corner is joined to the first.
        shape: ``(H, W)`` of the marks.

    Returns:
        int64 ``(H, W)``, 255 where no polygon is.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A polygon has fewer than 3 points or points that are not two finite numbers, or a class is out of
            range.

    Example:
        >>> from closedform_wsss.io import from_polygons
        >>> from_polygons([([(-0.5, -0.5), (2.5, -0.5), (2.5, 1.5), (-0.5, 1.5)], 1)], (3, 4)).tolist()
        [[1, 1, 1, 255], [1, 1, 1, 255], [255, 255, 255, 255]]
    """
    return _drawn("from_polygons", "polygons", polygons, shape, 3, fill_polygon)


def _drawn(
    fn: str,
    name: str,
    drawings: Iterable[tuple[PointList, int]],
    shape: tuple[int, int],
    minimum: int,
    draw: Callable[[UInt8Array, npt.NDArray[np.float64], int], None],
) -> Tensor:
    marks = np.full(checked_shape(fn, shape), IGNORE_INDEX, np.uint8)
    for which, (path,), label in with_classes(fn, name, drawings, "(points, class)"):
        try:
            points = np.asarray(path, np.float64)
        except (TypeError, ValueError):
            points = np.empty((0, 0))
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < minimum:
            raise ValueError(f"{fn}: {which} must have {minimum} or more points (x, y), got {path!r:.80}")
        if not (np.abs(points) < 1e6).all():  # this form also refuses NaN
            raise ValueError(f"{fn}: {which} must have coordinates below a million, got {path!r:.80}")
        draw(marks, points, label)
    return label_tensor(marks)
