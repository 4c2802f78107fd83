"""The shapes that annotators draw, and the images that hold them.

Coordinates are in pixels, x to the right and y down, with (0, 0) at the centre of the top left pixel. Annotation tools
have (0, 0) at its corner: ``from_corner`` converts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

MAX_PIXELS = 1 << 28  # a file that states a larger image is damaged or hostile
_MAX_COORDINATE = 1e6


@dataclass(frozen=True)
class Line:
    """An open line through points ``(P, 2)``."""

    points: FloatArray


@dataclass(frozen=True)
class Points:
    """Single points ``(P, 2)``."""

    points: FloatArray


@dataclass(frozen=True)
class Polygon:
    """A filled polygon with corners ``(P, 2)``."""

    points: FloatArray


@dataclass(frozen=True)
class Box:
    """A filled rectangle with corners ``(4, 2)``, which may be a bounding box: then it holds background too."""

    points: FloatArray


@dataclass(frozen=True)
class Ellipse:
    """A filled ellipse, turned by ``degrees``, from x to y."""

    center: tuple[float, float]
    radii: tuple[float, float]
    degrees: float = 0.0


@dataclass(frozen=True)
class Mask:
    """Pixels ``(h, w)``, the first of them at column ``left`` and row ``top`` of the image."""

    pixels: BoolArray
    left: int = 0
    top: int = 0


Geometry: TypeAlias = Line | Points | Polygon | Box | Ellipse | Mask


@dataclass(frozen=True)
class Shape:
    """A geometry and the name of its class."""

    label: str
    geometry: Geometry


@dataclass(frozen=True)
class AnnotatedImage:
    """An image of an export.

    Attributes:
        name: Its name in the export, with ``/`` between folders.
        size: ``(H, W)``; None if the export does not state it.
        labels: The names of the classes of its shapes other than rectangles.
        boxed: The name of the class of each rectangle.
        shapes: Decodes the shapes for an image of ``(H, W)``, in the order in which they are drawn. It may raise
            ``ValueError``.
    """

    name: str
    size: tuple[int, int] | None
    labels: frozenset[str]
    boxed: tuple[str, ...]
    shapes: Callable[[tuple[int, int]], Sequence[Shape]]


@dataclass(frozen=True)
class Export:
    """What a file holds.

    Attributes:
        tool: The format, for reports.
        images: In the order of the file.
        labels: The names of its own list of classes, in order; None if it has no list.
    """

    tool: str
    images: Sequence[AnnotatedImage]
    labels: tuple[str, ...] | None = None


def number(value: object, what: str) -> float:
    """A coordinate or an extent, of JSON or as text.

    Raises:
        ValueError: It is not a number, or not below a million.
    """
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            result = float(value)
        except (ValueError, OverflowError):
            result = float("nan")
        if abs(result) < _MAX_COORDINATE:
            return result
    raise ValueError(f"{what} must be a number below a million, got {value!r:.60}")


def integer(value: object, what: str) -> int:
    """A whole number, of JSON or as text.

    Raises:
        ValueError: It is another number, or none.
    """
    result = number(value, what)
    if result != int(result):
        raise ValueError(f"{what} must be a whole number, got {value!r:.60}")
    return int(result)


def objects(entry: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects of JSON in a list, which may be missing.

    Raises:
        ValueError: It is no such list.
    """
    found = entry.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError(f"{name} must be a list of objects, got {found!r:.60}")
    return found


def image_size(height: object, width: object) -> tuple[int, int]:
    """``(H, W)``.

    Raises:
        ValueError: It cannot be the size of an image.
    """
    rows, columns = integer(height, "the height of the image"), integer(width, "the width of the image")
    if rows < 1 or columns < 1 or rows * columns > MAX_PIXELS:
        raise ValueError(f"the size must be that of an image, got {columns} x {rows}")
    return rows, columns


def from_corner(points: Sequence[Sequence[Any]], minimum: int, what: str) -> FloatArray:
    """Points ``(x, y)`` from the corner of the top left pixel, as ``(P, 2)`` from its centre.

    Raises:
        ValueError: They are not points, or fewer than ``minimum``.
    """
    if not isinstance(points, Sequence) or isinstance(points, str):
        raise ValueError(f"{what} must have a list of points, got {points!r:.60}")
    for point in points:
        if not isinstance(point, Sequence) or isinstance(point, str) or len(point) != 2:
            raise ValueError(f"{what} must have points of x and y, got {point!r:.60}")
    if len(points) < minimum:
        raise ValueError(f"{what} must have {minimum} or more points, got {len(points)}: delete or complete it")
    return np.array([[number(x, "x"), number(y, "y")] for x, y in points]).reshape(-1, 2) - 0.5


def rectangle(
    left: float, top: float, right: float, bottom: float, degrees: float = 0.0, pivot: tuple[float, float] | None = None
) -> FloatArray:
    """The corners ``(4, 2)`` of a rectangle, turned from x to y around ``pivot`` or its centre."""
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
    center = np.array(((left + right) / 2, (top + bottom) / 2) if pivot is None else pivot)
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    turned: FloatArray = (
        (corners - center) @ np.array([[cosine, sine], [-sine, cosine]]) + center if degrees else corners
    )
    return turned
