"""Small exports of annotation tools."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image


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
