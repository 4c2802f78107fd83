"""labelme: one JSON file for each image."""

from __future__ import annotations

import base64
import binascii
import io
import math
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from closedform_wsss.io._annotations.names import clean_name
from closedform_wsss.io._annotations.shapes import (
    AnnotatedImage,
    BoolArray,
    Box,
    Ellipse,
    Export,
    Geometry,
    Line,
    Mask,
    Points,
    Polygon,
    Shape,
    from_corner,
    image_size,
    objects,
    rectangle,
)

_BOXES = ("rectangle", "oriented_rectangle")


def read_labelme(file: dict[str, Any]) -> Export:
    """The image of a file.

    Raises:
        ValueError: The file has no list of shapes, or no image name.
    """
    shapes = objects(file, "shapes")
    image = AnnotatedImage(
        name=clean_name(str(file.get("imagePath") or "")).rsplit("/", 1)[-1],
        size=_size(file),
        labels=frozenset(_label(shape) for shape in shapes if shape.get("shape_type") not in _BOXES) - {""},
        boxed=tuple(_label(shape) for shape in shapes if shape.get("shape_type") in _BOXES),
        shapes=partial(_shapes, shapes),
    )
    return Export("labelme", [image])


def _size(file: dict[str, Any]) -> tuple[int, int] | None:
    height, width, data = file.get("imageHeight"), file.get("imageWidth"), file.get("imageData")
    if height is None or width is None:
        if not data:
            return None
        width, height = _decoded(data, "imageData").size
    return image_size(height, width)


def _label(shape: dict[str, Any]) -> str:
    return str(shape.get("label") or "").strip()


def _shapes(shapes: list[dict[str, Any]], size: tuple[int, int]) -> list[Shape]:
    return [Shape(_label(shape), _geometry(shape)) for shape in shapes]


def _geometry(shape: dict[str, Any]) -> Geometry:
    kind = shape.get("shape_type") or "polygon"  # files of old versions have no type
    what = f"a {kind}"
    points: Any = shape.get("points")
    if kind == "polygon":
        return Polygon(from_corner(points, 3, what))
    if kind in ("linestrip", "line"):
        return Line(from_corner(points, 1, what))
    if kind in ("point", "points"):
        return Points(from_corner(points, 1, what))
    if kind == "oriented_rectangle":
        return Box(from_corner(points, 4, what))
    if kind == "circle":
        ends = from_corner(points, 2, what).tolist()
        if len(ends) != 2:
            raise ValueError(f"a circle must have 2 points, its centre and one on it, got {len(ends)}")
        (x, y), on_circle = ends
        radius = math.dist((x, y), on_circle)
        return Ellipse((x, y), (radius, radius))
    if kind in ("rectangle", "mask"):
        corners = from_corner(points, 2, what)  # some programs write all four
        (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        if kind == "rectangle":
            return Box(rectangle(left, top, right, bottom))
        return Mask(_mask(shape.get("mask")), round(left + 0.5), round(top + 0.5))
    raise ValueError(
        "shape_type must be polygon, linestrip, line, point, points, circle, rectangle, oriented_rectangle or mask, "
        f"got {kind!r:.60}"
    )


def _mask(data: object) -> BoolArray:
    pixels: BoolArray = np.asarray(_decoded(data, "mask").convert("L")) > 0
    return pixels


def _decoded(data: object, what: str) -> Image.Image:
    """A picture in base64."""
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(data if isinstance(data, str) else b"", validate=True)))
        picture.load()
    except (binascii.Error, ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{what} must be a picture in base64 ({error})") from error
    return picture
