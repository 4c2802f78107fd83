"""The marks of the shapes of an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.io._annotations.shapes import (
    AnnotatedImage,
    Box,
    Ellipse,
    Geometry,
    Line,
    Mask,
    Points,
    Polygon,
)
from closedform_wsss.io._drawing.rasterize import draw_line, fill_disc, fill_ellipse, fill_polygon
from closedform_wsss.io._types import UInt8Array


@dataclass(frozen=True)
class Pen:
    """How shapes are drawn.

    Attributes:
        width: Of lines, in pixels.
        radius: Of points, in pixels.
        fills_boxes: Whether rectangles are drawn.
    """

    width: int
    radius: float
    fills_boxes: bool


def drawn(image: AnnotatedImage, size: tuple[int, int], numbers: Mapping[str, int], pen: Pen) -> UInt8Array:
    """The marks ``(H, W)`` of an image. Later shapes cover earlier ones.

    Raises:
        ValueError: A shape cannot be drawn.
    """
    marks = np.full(size, IGNORE_INDEX, np.uint8)
    for shape in image.shapes(size):
        if isinstance(shape.geometry, Box) and not pen.fills_boxes:
            continue
        if not shape.label:
            raise ValueError("a shape must have a label, got one without")
        _draw(marks, shape.geometry, numbers[shape.label], pen)
    return marks


def _draw(marks: UInt8Array, geometry: Geometry, label: int, pen: Pen) -> None:
    if isinstance(geometry, Line):
        draw_line(marks, geometry.points, label, pen.width)
    elif isinstance(geometry, Points):
        for x, y in geometry.points.tolist():
            fill_disc(marks, x, y, pen.radius, label)
    elif isinstance(geometry, (Polygon, Box)):
        fill_polygon(marks, geometry.points, label)
    elif isinstance(geometry, Ellipse):
        fill_ellipse(marks, geometry.center, geometry.radii, geometry.degrees, label)
    else:
        _paste(marks, geometry, label)


def _paste(marks: UInt8Array, mask: Mask, label: int) -> None:
    rows, columns = np.nonzero(mask.pixels)
    rows, columns = rows + mask.top, columns + mask.left
    inside = (rows >= 0) & (rows < marks.shape[0]) & (columns >= 0) & (columns < marks.shape[1])
    marks[rows[inside], columns[inside]] = label
