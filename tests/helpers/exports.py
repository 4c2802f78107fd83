"""Small exports of annotation tools."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from closedform_wsss.io import from_lines, from_points, from_polygons

SIZE = (12, 16)
EMPTY = torch.full(SIZE, 255)


def shifted(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """From the corner of the top left pixel, as tools count, to its centre."""
    return [(x - 0.5, y - 0.5) for x, y in points]


LINE = [(1.2, 2.7), (9.9, 2.1), (12.0, 9.5)]
POLYGON = [(2.0, 1.0), (13.3, 2.0), (7.7, 10.9)]
EXPECTED_LINE = from_lines([(shifted(LINE), 1)], SIZE)
EXPECTED_POLYGON = from_polygons([(shifted(POLYGON), 1)], SIZE)
EXPECTED_POINTS = from_points([(4, 5, 1), (11, 8, 1)], SIZE)  # of 4.9 5.0 and 11.0 8.99


def percent(points: list[tuple[float, float]]) -> list[list[float]]:
    """Points as Label Studio stores them."""
    return [[x / 16 * 100, y / 12 * 100] for x, y in points]


def write(path: Path, content: object) -> Path:
    """A JSON file, or a text file."""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def cvat(*images: str, labels: tuple[str, ...] = ()) -> str:
    """The text of a CVAT file."""
    listed = "".join(f"<label><name>{label}</name><attributes></attributes></label>" for label in labels)
    meta = f"<meta><task><labels>{listed}</labels></task></meta>" if labels else ""
    content = f"<version>1.1</version>{meta}{''.join(images)}"
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{content}</annotations>'


def cvat_image(name: str, shapes: str, height: int = 12, width: int = 16) -> str:
    """An image of a CVAT file."""
    return f'<image id="0" name="{name}" width="{width}" height="{height}">{shapes}</image>'


def labelme(shapes: list[dict[str, Any]], name: str = "a.jpg", **more: Any) -> dict[str, Any]:
    """A labelme file of 12 x 16 pixels."""
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": [{"group_id": None, "flags": {}, **shape} for shape in shapes],
        "imagePath": name,
        "imageData": None,
        "imageHeight": 12,
        "imageWidth": 16,
        **more,
    }


def shape(label: str, kind: str, points: list[list[float]], **more: Any) -> dict[str, Any]:
    """A shape of labelme."""
    return {"label": label, "shape_type": kind, "points": points, **more}


def picture(mask: npt.NDArray[np.bool_]) -> str:
    """A mask as labelme stores it."""
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def region(kind: str, label: str | list[str] | None, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A region of Label Studio in an image of 12 x 16 pixels."""
    labels = {} if label is None else {f"{kind}labels": [label] if isinstance(label, str) else label}
    return {
        "type": f"{kind}labels",
        "value": {**value, **labels},
        "original_width": 16,
        "original_height": 12,
        "image_rotation": 0,
        "to_name": "image",
        "from_name": "tag",
        **more,
    }


def task(image: str, regions: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A task of Label Studio with one annotation."""
    return {"id": 1, "data": {"image": image}, "annotations": [{"result": regions, "was_cancelled": False}], **more}


def coco(annotations: list[dict[str, Any]], names: tuple[str, ...] = ("car", "road"), **image: Any) -> dict[str, Any]:
    """A COCO file with one image of 12 x 16 pixels, whose categories have the ids 3, 7, 11, ..."""
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 12, "width": 16, **image}],
        "categories": [{"id": 3 + 4 * number, "name": name} for number, name in enumerate(names)],
        "annotations": [{"id": n, "image_id": 1, "category_id": 3, **one} for n, one in enumerate(annotations)],
    }


def counts_of(pixels: Iterable[bool]) -> list[int]:
    """Run lengths, which start with the number of zeros."""
    counts, value = [0], False
    for pixel in pixels:
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts
