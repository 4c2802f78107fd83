"""Lines, polygons, ellipses and discs on a map of marks. All are clipped to it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from skimage import draw

from closedform_wsss.io._types import UInt8Array


def draw_line(marks: UInt8Array, points: npt.NDArray[np.float64], label: int, width: int) -> None:
    """Draws an open line with round ends, or a dot if it has one point.

    Args:
        marks: uint8 ``(H, W)``, changed in place.
        points: ``(P, 2)``, x and y from the centre of the top left pixel, rounded to the nearest pixel.
        label: The value of the line.
        width: In pixels, at least 1.
    """
    line = np.floor(points + 0.5).astype(int)
    low = np.maximum(line.min(axis=0) - width, 0)
    high = np.minimum(line.max(axis=0) + width + 1, marks.shape[::-1])
    if (low >= high).any():
        return
    mask = Image.new("L", tuple((high - low).tolist()))
    pen = ImageDraw.Draw(mask)
    path = [(int(x), int(y)) for x, y in line - low]
    pen.line(path, fill=1, width=width)
    # Discs close the joints, for which Pillow's own curves leave notches, and make the ends round. Pillow draws no
    # ellipse of 1 pixel, so points are drawn too.
    pen.point(path, fill=1)
    before, after = (width - 1) // 2, width // 2
    for x, y in path:
        pen.ellipse((x - before, y - before, x + after, y + after), fill=1)
    marks[low[1] : high[1], low[0] : high[0]][np.asarray(mask) > 0] = label


def fill_polygon(marks: UInt8Array, points: npt.NDArray[np.float64], label: int) -> None:
    """Marks the pixels whose centre is inside a polygon, by the even-odd rule.

    A centre on a left or upper edge is inside, one on a right or lower edge is not, so that polygons side by side share
    no pixel. scikit-image tests every pixel against every edge, which takes minutes for a detailed outline of a large
    object; this visits each edge only in the rows that it crosses.

    Args:
        marks: uint8 ``(H, W)``, changed in place.
        points: The corners ``(P, 2)``, x and y from the centre of the top left pixel.
        label: The value of the pixels.
    """
    height, width = marks.shape
    left, top = np.clip(np.ceil(points.min(axis=0)), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(points.max(axis=0)), 0, (width, height)).astype(int)
    if left >= right or top >= bottom:
        return
    x0, y0 = points.T
    x1, y1 = np.roll(points, -1, axis=0).T
    first = np.clip(np.ceil(np.minimum(y0, y1)), top, bottom).astype(int)
    rows_crossed = np.clip(np.ceil(np.maximum(y0, y1)), top, bottom).astype(int) - first
    edge = np.repeat(np.arange(len(points)), rows_crossed)
    # The rows of one edge follow each other: count from the first crossing of the edge.
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(rows_crossed) - rows_crossed, rows_crossed)
    x = x0[edge] + (row - y0[edge]) * ((x1 - x0)[edge] / (y1 - y0)[edge])
    column = np.clip(np.ceil(x), left, right).astype(int)
    changes = np.zeros((bottom - top, right - left + 1), bool)
    np.logical_xor.at(changes, (row - top, column - left), True)
    inside = np.logical_xor.accumulate(changes[:, :-1], axis=1)
    marks[top:bottom, left:right][inside] = label


def fill_ellipse(
    marks: UInt8Array, center: tuple[float, float], radii: tuple[float, float], degrees: float, label: int
) -> None:
    """Marks the pixels whose centre is inside an ellipse with radii along x and y, turned by degrees from x to y. One
    without an area marks nothing."""
    if not all(radii):
        return
    rows, columns = draw.ellipse(
        center[1], center[0], radii[1], radii[0], marks.shape, rotation=-math.radians((degrees + 90) % 180 - 90)
    )
    marks[rows, columns] = label


def fill_disc(marks: UInt8Array, x: float, y: float, radius: float, label: int) -> None:
    """Marks the pixels whose centre is at most ``radius`` away from the pixel nearest to a point."""
    column, row = math.floor(x + 0.5), math.floor(y + 0.5)
    reach = int(radius)
    rows = slice(max(row - reach, 0), max(row + reach + 1, 0))
    columns = slice(max(column - reach, 0), max(column + reach + 1, 0))
    dy = np.arange(marks.shape[0])[rows, None] - row
    dx = np.arange(marks.shape[1])[columns] - column
    marks[rows, columns][dy * dy + dx * dx <= radius * radius] = label
