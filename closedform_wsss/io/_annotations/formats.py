"""Finds the format of an export, and reads it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from closedform_wsss.io._annotations.coco import read_coco
from closedform_wsss.io._annotations.cvat import read_cvat
from closedform_wsss.io._annotations.label_studio import is_task, read_label_studio
from closedform_wsss.io._annotations.labelme import read_labelme
from closedform_wsss.io._annotations.shapes import Export
from closedform_wsss.io._files.xml import parse_xml
from closedform_wsss.io._types import PathLike

_FORMATS = "CVAT for images 1.1 (XML), labelme, Label Studio (JSON or JSON-MIN) or COCO"


def read_export(path: PathLike, fn: str) -> Export:
    """Reads a file of any format.

    Args:
        path: The file.
        fn: The public function, for messages.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: It is damaged, or of no known format.
    """
    name = os.fspath(path)
    if Path(path).suffix.lower() == ".zip":
        raise ValueError(f"{fn}: path must be a file of annotations, got the archive {name!r}: unpack it first")
    if Path(path).is_dir():
        raise ValueError(f"{fn}: path must be a file of annotations, got the directory {name!r}")
    with open(path, "rb") as file:
        start = file.read(64).lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")
    try:
        if start.startswith(b"<"):
            root = parse_xml(path, fn)
            if root.tag != "annotations":
                cure = ": read_marks reads ScribbleSup" if root.tag == "annotation" else ""
                raise ValueError(f"the format must be {_FORMATS}, got XML of <{root.tag}>{cure}")
            return read_cvat(root)
        return _read_json(_parse_json(path))
    except ValueError as error:
        if str(error).startswith(f"{fn}: "):
            raise
        raise ValueError(f"{fn}: path must hold annotations, got {name!r} ({error})") from error


def _parse_json(path: PathLike) -> Any:
    with open(path, "rb") as file:
        data = file.read()
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        what = "nothing" if not data.strip() else str(error)
        raise ValueError(f"not whole JSON: {what}") from error


def _read_json(content: Any) -> Export:
    if isinstance(content, dict):
        if isinstance(content.get("images"), list) and "annotations" in content:
            return read_coco(content)
        if "shapes" in content:
            return read_labelme(content)
        if is_task(content):
            return read_label_studio([content])
    if isinstance(content, list) and content and all(map(is_task, content)):
        return read_label_studio(content)
    raise ValueError(f"the format must be {_FORMATS}, got JSON of {_description(content)}")


def _description(content: Any) -> str:
    if isinstance(content, dict):
        return f"an object of {', '.join(map(repr, list(content)[:6])) or 'nothing'}"
    if isinstance(content, list):
        return f"a list of {len(content)}, the first {_description(content[0])}" if content else "an empty list"
    return type(content).__name__
