"""CVAT for images 1.1: one XML file for all images of a task or project."""

from __future__ import annotations

from collections import Counter
from functools import partial
from xml.etree import ElementTree

import numpy as np

from closedform_wsss.io._annotations.names import clean_name
from closedform_wsss.io._annotations.rle import from_counts
from closedform_wsss.io._annotations.shapes import (
    AnnotatedImage,
    Box,
    Ellipse,
    Export,
    FloatArray,
    Geometry,
    Line,
    Mask,
    Points,
    Polygon,
    Shape,
    from_corner,
    image_size,
    integer,
    number,
    rectangle,
)

_WITHOUT_PLACE = ("tag", "attribute")


def read_cvat(root: ElementTree.Element) -> Export:
    """The images of ``<annotations>``.

    Raises:
        ValueError: The file is of a video task, or states no images.
    """
    elements = list(root.iter("image"))
    times = Counter(element.get("name") for element in elements)
    images = [_image(element, is_only=times[element.get("name")] == 1) for element in elements]
    if not images and root.find(".//track") is not None:
        raise ValueError("tracks of a video task have no image names: export it as 'CVAT for images 1.1'")
    labels = [
        (element.findtext("name") or "").strip()
        for element in root.findall("./meta//labels/label")
        if not (element.findtext("parent") or "").strip()
    ]
    return Export("CVAT for images", images, tuple(dict.fromkeys(labels)) or None)


def _image(element: ElementTree.Element, *, is_only: bool) -> AnnotatedImage:
    # The tasks of a project may have equal names in different subsets, which are folders of the exported images.
    folder = "" if is_only or not element.get("subset") else f"{element.get('subset')}/"
    size = image_size(element.get("height"), element.get("width"))
    drawn = [shape for shape in element if shape.tag not in _WITHOUT_PLACE]
    return AnnotatedImage(
        name=clean_name(f"{folder}{element.get('name') or ''}"),
        size=size,
        labels=frozenset(_label(shape) for shape in drawn if shape.tag != "box") - {""},
        boxed=tuple(_label(shape) for shape in drawn if shape.tag == "box"),
        shapes=partial(_shapes, drawn),
    )


def _label(element: ElementTree.Element) -> str:
    return (element.get("label") or "").strip()


def _shapes(elements: list[ElementTree.Element], size: tuple[int, int]) -> list[Shape]:
    ordered = sorted(elements, key=lambda element: integer(element.get("z_order") or 0, "z_order"))
    return [Shape(_label(element), _geometry(element)) for element in ordered]


def _geometry(element: ElementTree.Element) -> Geometry:
    def value(name: str, default: str | None = None) -> float:
        return number(element.get(name, default), f"{name} of the {element.tag}")

    if element.tag == "polyline":
        return Line(_points(element, 1))
    if element.tag == "polygon":
        return Polygon(_points(element, 3))
    if element.tag == "points":
        return Points(_points(element, 1))
    if element.tag == "box":
        left, top, right, bottom = (value(name) - 0.5 for name in ("xtl", "ytl", "xbr", "ybr"))
        return Box(rectangle(left, top, right, bottom, value("rotation", "0")))
    if element.tag == "ellipse":
        return Ellipse((value("cx") - 0.5, value("cy") - 0.5), (value("rx"), value("ry")), value("rotation", "0"))
    if element.tag == "mask":
        width, height, left, top = (
            integer(element.get(name), f"{name} of a mask") for name in ("width", "height", "left", "top")
        )
        image_size(height, width)
        runs = (element.get("rle") or "").split(",")
        return Mask(from_counts(runs, height, width, columns_first=False), left, top)
    if element.tag == "skeleton":
        seen = [
            _points(joint, 1)
            for joint in element.iter("points")
            if joint.get("outside", "0") == "0" and joint.get("occluded", "0") == "0"
        ]
        return Points(np.concatenate([np.empty((0, 2)), *seen]))
    raise ValueError(
        f"shapes must be polylines, polygons, points, boxes, ellipses, masks or skeletons, got {element.tag}"
    )


def _points(element: ElementTree.Element, minimum: int) -> FloatArray:
    pairs = [pair.split(",") for pair in (element.get("points") or "").split(";") if pair.strip()]
    return from_corner(pairs, minimum, f"a {element.tag}")
