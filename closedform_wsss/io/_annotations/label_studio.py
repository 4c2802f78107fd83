"""Label Studio: one JSON file with a list of tasks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from closedform_wsss.io._annotations.names import clean_name
from closedform_wsss.io._annotations.regions import Region, region_geometries, regions_of
from closedform_wsss.io._annotations.shapes import AnnotatedImage, Export, Shape, image_size, objects

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".jp2", ".avif", ".ppm", ".pgm")
_PLACES = ("points", "vertices", "rle", "x")  # a region has one of them
_OF_REGIONS = ("choices", "taxonomy", "rating", "number", "text", "datetime")  # said of a region, which is repeated
UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")  # put before the name of an uploaded file


def read_label_studio(tasks: Sequence[dict[str, Any]]) -> Export:
    """The images of the tasks.

    Raises:
        ValueError: A task has no image, or several; or JSON-MIN does not say what counts.
    """
    _check_one_annotation(tasks)
    stored = [_stored_name(task) for task in tasks]
    names = [_without_upload(name) for name in stored]
    times = Counter(names)
    # The prefix stays where it is the only difference between two images.
    names = [name if times[name] == 1 else clean_name(full) for name, full in zip(names, stored, strict=True)]
    return Export("Label Studio", [_image(name, task) for name, task in zip(names, tasks, strict=True)])


def _check_one_annotation(tasks: Sequence[dict[str, Any]]) -> None:
    """JSON-MIN has an entry for each annotation of a task, and does not say which one is the ground truth."""
    times = Counter(task["id"] for task in tasks if "data" not in task and isinstance(task.get("id"), (int, str)))
    several = [task for task, number in times.items() if number > 1]
    if several:
        raise ValueError(
            f"JSON-MIN must have one annotation of each task, got several of {len(several)} tasks, such as that with "
            f"the id {several[0]}, and does not say which counts: export JSON"
        )


def is_task(entry: object) -> bool:
    """Whether an object is a task, of the format JSON or JSON-MIN."""
    if not isinstance(entry, dict):
        return False
    is_full = isinstance(entry.get("data"), dict) and bool({"annotations", "completions", "predictions"} & entry.keys())
    return is_full or "annotation_id" in entry


def _image(name: str, task: dict[str, Any]) -> AnnotatedImage:
    regions = regions_of(_results(task))
    sizes = {image_size(*region.size) for region in regions if region.size != (None, None)}
    if len(sizes) > 1:
        raise ValueError(f"all regions of an image must state one size, got {sorted(sizes)[:3]} for {name!r}")
    shown = sorted({region.image for region in regions} - {""})
    if len(shown) > 1:
        raise ValueError(
            f"all regions of a task must be on one image, got regions on {', '.join(map(repr, shown))} in the task of "
            f"{name!r}: a task of several images does not say which file each one is"
        )
    return AnnotatedImage(
        name=name,
        size=next(iter(sizes), None),
        labels=frozenset(label for region in regions if region.kind != "rectangle" for label in region.labels),
        boxed=tuple(label for region in regions if region.kind == "rectangle" for label in region.labels),
        shapes=partial(_shapes, regions),
    )


def _shapes(regions: list[Region], size: tuple[int, int]) -> list[Shape]:
    shapes: list[Shape] = []
    for region in regions:
        label = region.label()
        shapes += [Shape(label, geometry) for geometry in region_geometries(region, size)]
    return shapes


def _results(task: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of the annotation that counts: the one marked as ground truth, else the newest."""
    if "data" not in task:  # JSON-MIN has the regions of one annotation in lists
        entries = [entry for value in task.values() if isinstance(value, list) for entry in value]
        return [result for entry in entries if isinstance(entry, dict) for result in _of_json_min(entry)]
    annotations = objects(task, "annotations") or objects(task, "completions")
    kept = [one for one in annotations if not (one.get("was_cancelled") or one.get("skipped"))]
    if not kept:
        return []
    best = max(kept, key=lambda annotation: (bool(annotation.get("ground_truth")), _date(annotation)))
    return objects(best, "result")


def _of_json_min(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of an entry of a list of JSON-MIN, which has no type: its labels say it."""
    kinds = [key for key in entry if key.endswith("labels") and key != "labels"]
    has_place = any(entry.get(key) is not None for key in _PLACES)
    if not kinds and has_place and not any(key in entry for key in _OF_REGIONS):
        raise ValueError(
            f"a region of JSON-MIN must have labels of its kind, such as polygonlabels, got {', '.join(entry)}: give "
            "each region a label, or export JSON"
        )
    return [{**entry, "type": key, "value": entry} for key in kinds]


def _date(annotation: dict[str, Any]) -> str:
    return str(annotation.get("updated_at") or annotation.get("created_at") or "")


def _stored_name(task: dict[str, Any]) -> str:
    """The path or address of the image of a task.

    Raises:
        ValueError: There is none, or more than one.
    """
    data = task.get("data", task)
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    pictures = {key: value for key, value in texts.items() if _file(value).suffix.lower() in _PICTURES}
    for key in ("image", "img"):
        if key in texts:
            return _stored(texts[key])
    if len(pictures) != 1:
        raise ValueError(f"the data of a task must name one image, got {', '.join(map(str, data)) or 'nothing'}")
    return _stored(next(iter(pictures.values())))


def _stored(address: str) -> str:
    """The path of a file in local storage, or that in an address, from its host or bucket on."""
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d")
    if local and parts.path.rstrip("/").endswith("local-files"):
        return local[0]
    if "://" not in address:  # a path, in which a colon may stand
        return unquote(address) if address.startswith("/data/") else address
    if parts.scheme in ("http", "https"):
        return f"/{parts.netloc}{unquote(parts.path)}"
    # The key of a file in cloud storage is stored as it is: # and ? are signs of its name.
    return "/" + address.partition("://")[2]


def _file(address: str) -> PurePosixPath:
    return PurePosixPath(_stored(address).replace("\\", "/"))


def _without_upload(stored: str) -> str:
    name = clean_name(stored)
    return UPLOAD.sub("", name, count=1) if "/upload/" in stored else name
