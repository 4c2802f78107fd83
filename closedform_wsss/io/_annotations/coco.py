"""COCO: one JSON file with lists of images, categories and annotations."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from typing import Any

from closedform_wsss.io._annotations.names import clean_name
from closedform_wsss.io._annotations.rle import counts_of_string, from_counts
from closedform_wsss.io._annotations.shapes import (
    AnnotatedImage,
    Box,
    Export,
    Geometry,
    Mask,
    Points,
    Polygon,
    Shape,
    from_corner,
    image_size,
    number,
    objects,
    rectangle,
)

_VISIBLE = 2  # 1 is a point that something else hides


def read_coco(file: dict[str, Any]) -> Export:
    """The images of a file.

    Raises:
        ValueError: A list is missing or has other entries, or an annotation is of an unknown image or category.
    """
    lists = {name: objects(file, name) for name in ("images", "categories", "annotations")}
    if any("segments_info" in annotation for annotation in lists["annotations"]):
        raise ValueError(
            "the annotations must be those of objects, got those of the panoptic task, which are in PNG files"
        )
    for name in ("images", "categories"):
        ids = Counter(_key(entry, "id") for entry in lists[name])
        if ids and ids.most_common(1)[0][1] > 1:
            raise ValueError(f"{name} must have different ids, got {ids.most_common(1)[0][0]!r:.60} more than once")
    names = {_key(category, "id"): str(category.get("name") or "").strip() for category in lists["categories"]}
    drawn: dict[Any, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for annotation in lists["annotations"]:
        label = names.get(_key(annotation, "category_id"))
        if label is None:
            raise ValueError(f"category_id must be the id of a category, got {annotation['category_id']!r:.60}")
        drawn[_key(annotation, "image_id")].append((label, annotation))
    images = [_image(image, drawn.pop(_key(image, "id"), [])) for image in lists["images"]]
    if drawn:
        raise ValueError(f"image_id must be the id of an image, got {next(iter(drawn))!r:.60}")
    return Export("COCO", images, tuple(dict.fromkeys(names.values())) or None)


def _key(entry: dict[str, Any], name: str) -> float | str:
    """An id, equal to the same number written with a decimal point, as pandas writes a column with gaps."""
    value = entry.get(name)
    if not isinstance(value, (int, float, str)):
        raise ValueError(f"{name} must be a number or a text, got {value!r:.60}")
    return value


def _image(image: dict[str, Any], drawn: list[tuple[str, dict[str, Any]]]) -> AnnotatedImage:
    stated = image.get("height") is not None and image.get("width") is not None
    size = image_size(image["height"], image["width"]) if stated else None
    return AnnotatedImage(
        name=clean_name(str(image.get("file_name") or "")),
        size=size,
        labels=frozenset(label for label, annotation in drawn if not _is_box(annotation)) - {""},
        boxed=tuple(label for label, annotation in drawn if _is_box(annotation)),
        shapes=partial(_shapes, drawn),
    )


def _shapes(drawn: list[tuple[str, dict[str, Any]]], size: tuple[int, int]) -> list[Shape]:
    shapes = [Shape(label, geometry) for label, annotation in drawn for geometry in _geometries(annotation)]
    for shape in shapes:
        if isinstance(shape.geometry, Mask) and shape.geometry.pixels.shape != size:
            raise ValueError(
                f"a mask must have the size (H, W) = {size} of its image, got {shape.geometry.pixels.shape}"
            )
    return shapes


def _is_box(annotation: dict[str, Any]) -> bool:
    return bool(annotation.get("bbox")) and not annotation.get("segmentation") and not annotation.get("keypoints")


def _geometries(annotation: dict[str, Any]) -> list[Geometry]:
    """The segmentation; without one the visible points; without these the box."""
    segmentation: Any = annotation.get("segmentation")
    if segmentation:
        return [_mask(segmentation)] if isinstance(segmentation, dict) else _polygons(segmentation)
    points: Any = annotation.get("keypoints")
    if points:
        if not isinstance(points, list) or len(points) % 3:
            raise ValueError("keypoints must be a list of x, y and visibility for each point")
        triples = zip(points[::3], points[1::3], points[2::3], strict=True)
        seen = [(x, y) for x, y, visibility in triples if visibility == _VISIBLE]
        return [Points(from_corner(seen, 0, "keypoints"))]
    box: Any = annotation.get("bbox")
    if box:
        if not isinstance(box, list) or len(box) != 4:
            raise ValueError(f"bbox must be a list of x, y, width and height, got {box!r:.60}")
        x, y, width, height = (number(value, "bbox") for value in box)
        return [Box(rectangle(x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5))]
    return []


def _polygons(segmentation: Any) -> list[Geometry]:
    if not isinstance(segmentation, list) or not all(isinstance(part, list) for part in segmentation):
        raise ValueError(f"segmentation must be a list of polygons or a mask, got {segmentation!r:.60}")
    polygons: list[Geometry] = []
    for part in segmentation:
        if len(part) % 2:
            raise ValueError(f"a polygon must be a list of x and y in turn, got {len(part)} numbers")
        polygons.append(Polygon(from_corner(list(zip(part[::2], part[1::2], strict=True)), 3, "a polygon")))
    return polygons


def _mask(segmentation: dict[str, Any]) -> Mask:
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list) or len(size) != 2:
        raise ValueError(f"size of a mask must be height and width, got {size!r:.60}")
    height, width = image_size(size[0], size[1])
    if isinstance(counts, str):
        counts = counts_of_string(counts)
    if not isinstance(counts, list):
        raise ValueError(f"counts of a mask must be a text or a list, got {type(counts).__name__}")
    return Mask(from_counts(counts, height, width, columns_first=True))
