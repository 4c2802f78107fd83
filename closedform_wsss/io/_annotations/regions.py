"""The regions of an annotation of Label Studio, and their shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from closedform_wsss.io._annotations.brush_rle import from_brush
from closedform_wsss.io._annotations.shapes import (
    Box,
    Ellipse,
    FloatArray,
    Geometry,
    Line,
    Mask,
    Points,
    Polygon,
    from_corner,
    number,
    objects,
    rectangle,
)

_KINDS = ("polygon", "brush", "keypoint", "rectangle", "ellipse", "vector", "bitmask")


@dataclass(frozen=True)
class Region:
    """A region.

    Attributes:
        kind: Such as "polygon".
        labels: The names of its classes; one is right.
        value: Its geometry, in per cent of the image.
        size: The height and width of the image as it states them, or None and None.
        rotation: The degrees by which the annotator turned the image.
        image: Where the tool shows its image, as the configuration calls it; "" if the export does not say it.
    """

    kind: str
    labels: tuple[str, ...]
    value: dict[str, Any]
    size: tuple[Any, Any]
    rotation: Any
    image: str

    def label(self) -> str:
        """The name of its class.

        Raises:
            ValueError: It has none, or several.
        """
        if len(self.labels) != 1:
            raise ValueError(f"a {self.kind} must have one label, got {', '.join(self.labels) or 'none'}")
        return self.labels[0]


def regions_of(results: Sequence[dict[str, Any]]) -> list[Region]:
    """The regions, in the order in which they are drawn. Results that are no regions, such as choices, are left out.

    A region may be two results with one id: one has its geometry, the other repeats that and has the labels.
    """
    labels: dict[str, tuple[str, ...]] = {}
    for index, result in enumerate(results):
        found = _labels(result)
        if found:
            labels[_identity(result, index)] = found
    return [
        Region(
            kind=_kind(result),
            labels=labels.get(_identity(result, index), ()),
            value=result["value"],
            size=(result.get("original_height"), result.get("original_width")),
            rotation=result.get("image_rotation"),
            image=str(result.get("to_name") or ""),
        )
        for index, result in enumerate(results)
        if _kind(result) in _KINDS and isinstance(result.get("value"), dict)
    ]


def _identity(entry: dict[str, Any], index: int) -> str:
    """The id of a result or a vertex, or its place if it has none."""
    return str(entry.get("id") or f"#{index}")


def _kind(result: dict[str, Any]) -> str:
    return str(result.get("type") or "").lower().removesuffix("labels")


def _labels(result: dict[str, Any]) -> tuple[str, ...]:
    value = result.get("value")
    if not isinstance(value, dict):
        return ()
    names = value.get(str(result.get("type") or "")) if str(result.get("type")).endswith("labels") else None
    return tuple(str(name).strip() for name in names) if isinstance(names, list) else ()


def region_geometries(region: Region, size: tuple[int, int]) -> list[Geometry]:
    """The shapes of a region in an image of ``(H, W)``; several for a vector with branches.

    Raises:
        ValueError: It cannot be drawn.
    """
    if region.rotation:
        raise ValueError(
            f"regions must be drawn on the upright image, got one turned by {region.rotation} degrees in the tool, "
            "where versions differ in what they store: turn it back and check its regions"
        )
    value = region.value
    if region.kind == "polygon":
        return [Polygon(_points(value.get("points"), 3, "a polygon", size))]
    if region.kind == "brush":
        if value.get("format", "rle") != "rle" or not value.get("rle"):
            raise ValueError("a brush must have an rle")
        return [Mask(from_brush(value["rle"], *size))]
    if region.kind == "vector":
        return _vector(value, size)
    if region.kind == "bitmask":
        raise ValueError("regions must not be bitmasks: draw with BrushLabels, or export the masks as PNG")
    x, y = _percent(value, "x", size[1]) - 0.5, _percent(value, "y", size[0]) - 0.5
    if region.kind == "keypoint":
        return [Points(np.array([[x, y]]))]
    degrees = number(value.get("rotation") or 0, "rotation")
    if region.kind == "ellipse":
        return [Ellipse((x, y), (_percent(value, "radiusX", size[1]), _percent(value, "radiusY", size[0])), degrees)]
    right, bottom = x + _percent(value, "width", size[1]), y + _percent(value, "height", size[0])
    return [Box(rectangle(x, y, right, bottom, degrees, pivot=(x, y)))]


def _percent(value: dict[str, Any], name: str, extent: int) -> float:
    return number(value.get(name), name) * extent / 100


def _points(points: Any, minimum: int, what: str, size: tuple[int, int]) -> FloatArray:
    percent = from_corner(points, minimum, what) + 0.5
    pixels: FloatArray = percent * (size[1] / 100, size[0] / 100) - 0.5
    return pixels


def _vector(value: dict[str, Any], size: tuple[int, int]) -> list[Geometry]:
    vertices = objects(value, "vertices")
    if any(vertex.get("isBezier") for vertex in vertices):
        raise ValueError('vectors must have straight segments, got curves: draw with curves="false", or with a brush')
    minimum = 3 if value.get("closed") else 1
    points = _points([(vertex.get("x"), vertex.get("y")) for vertex in vertices], minimum, "a vector", size)
    if value.get("closed"):
        return [Polygon(points)]
    # The vertex before each one: that before it in the list, or another one at a branch.
    places = {_identity(vertex, index): index for index, vertex in enumerate(vertices)}
    before = [places.get(str(vertex.get("prevPointId")), index - 1) for index, vertex in enumerate(vertices)]
    if all(place == index - 1 for index, place in enumerate(before)):
        return [Line(points)]
    return [Line(points[[place, index]]) for index, place in enumerate(before) if index]
