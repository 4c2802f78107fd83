"""``read_annotations`` on files with other values, missing ones and other characters: marks, or an error with its name.

``CFW_FUZZ=20`` tries twenty times as many files.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.exports import coco, cvat, cvat_image, labelme, picture, region, shape, task

from closedform_wsss.io import read_annotations

COUNT = 400 * int(os.environ.get("CFW_FUZZ", "1"))
CORNERS: list[list[float]] = [[1, 2], [30, 40], [50, 6]]
BITS = f"{768:032b}{7:05b}" + "0010001101111111" + f"111{767:016b}{255:08b}"  # a brush on all of 12 x 16 pixels
STREAM = [int(BITS[place : place + 8].ljust(8, "0"), 2) for place in range(0, len(BITS), 8)]
VALUES: list[Any] = [
    *(None, True, 0, -1, 2.5, 300, 10**30, 1e308, float("nan"), float("inf")),
    *("", "a", "1,2", "é", "\ud800", "0" * 50, "brushlabels"),
    *([], {}, [[]], [None], {"a": 1}, [1, 2, 3], [[1, 2], [3, 4], [5, 6]], ["x"]),
]
VERTICES = [{"id": "a", "x": 1, "y": 2}, {"id": "b", "x": 3, "y": 2, "prevPointId": "a"}]
FILES: dict[str, Any] = {
    "labelme": labelme(
        [
            shape("a", "linestrip", CORNERS),
            shape("b", "polygon", CORNERS),
            shape("c", "mask", [[1, 1], [4, 3]], mask=picture(np.ones((3, 4), bool))),
            shape("c", "circle", [[1, 1], [4, 3]]),
            shape("c", "rectangle", [[1, 1], [4, 3]]),
        ]
    ),
    "label_studio": [
        task(
            "/data/upload/1/12345678-a.jpg",
            [
                region("polygon", "a", {"points": CORNERS}, id="x"),
                region("brush", "b", {"format": "rle", "rle": STREAM}),
                region("keypoint", "k", {"x": 1, "y": 2}),
                region("ellipse", "k", {"x": 1, "y": 2, "radiusX": 3, "radiusY": 4, "rotation": 3}),
                region("rectangle", "k", {"x": 1, "y": 2, "width": 3, "height": 4}),
                region("vector", "v", {"vertices": VERTICES, "closed": False}),
            ],
        )
    ],
    "coco": coco(
        [
            {"segmentation": [[1, 2, 3, 4, 5, 6]], "bbox": [1, 2, 3, 4]},
            {"segmentation": {"size": [12, 16], "counts": "[2480000000i1"}},
            {"segmentation": {"size": [12, 16], "counts": [10, 182]}},
            {"keypoints": [1, 2, 2]},
            {"bbox": [1, 2, 3, 4]},
        ]
    ),
}
XML = cvat(
    cvat_image(
        "a.jpg",
        '<polyline label="a" points="1,2;3,4" z_order="0"/><polygon label="a" points="1,2;3,4;5,6"/>'
        '<box label="b" xtl="1" ytl="1" xbr="3" ybr="4" rotation="3"/><ellipse label="b" cx="1" cy="1" rx="3" ry="4"/>'
        '<mask label="c" rle="3,9" left="1" top="1" width="4" height="3"/><points label="c" points="1,2"/>'
        '<skeleton label="s"><points label="1" points="1,2"/></skeleton>',
    ),
    labels=("a", "b", "c", "s"),
)


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all values in a file of JSON."""
    yield before
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from places(value[key], (*before, key))


def damaged(rng: random.Random, whole: Any) -> str:
    content = copy.deepcopy(whole)
    for _ in range(rng.randint(1, 2)):
        *way, last = rng.choice([place for place in places(content) if place] or [("",)])
        inner = content
        for key in way:
            inner = inner[key]
        if isinstance(inner, dict) and rng.random() < 0.3:
            inner.pop(last, None)
        elif isinstance(inner, (dict, list)) and (isinstance(inner, dict) or inner):
            inner[last] = copy.deepcopy(rng.choice(VALUES))
    text = json.dumps(content)
    return text[: rng.randrange(len(text))] if rng.random() < 0.1 else text


def damaged_xml(rng: random.Random) -> str:
    characters = list(XML)
    for _ in range(rng.randint(1, 3)):
        characters[rng.randrange(len(XML))] = rng.choice(["", '"', "<", ">", "9", "-", ",", ";", "é", "e", "&", "\0"])
    return "".join(characters)


@pytest.mark.parametrize("name", [*FILES, "cvat"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    rng = random.Random(name)
    file = tmp_path / ("broken.xml" if name == "cvat" else "broken.json")
    drawn = refused = 0
    for _ in range(COUNT):
        file.write_text(damaged_xml(rng) if name == "cvat" else damaged(rng, FILES[name]), "utf-8")
        try:
            for marks in read_annotations(file, boxes="fill").values():
                assert marks.dtype == torch.int64
                assert marks.ndim == 2
                drawn += 1
        except ValueError as error:
            assert str(error).startswith("read_annotations: ")
            assert file.name in str(error) or "classes must" in str(error) or "size of" in str(error)
            refused += 1
    assert drawn
    assert refused
