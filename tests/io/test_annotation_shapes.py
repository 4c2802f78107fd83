"""Exports of annotation tools: the shapes that each of them has, and how they are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.exports import (
    EMPTY,
    EXPECTED_LINE,
    EXPECTED_POINTS,
    EXPECTED_POLYGON,
    LINE,
    POLYGON,
    SIZE,
    coco,
    counts_of,
    cvat,
    cvat_image,
    labelme,
    percent,
    picture,
    region,
    shape,
    shifted,
    task,
    write,
)

from closedform_wsss.io import from_lines, from_points, read_annotations


def ellipse(x: float, y: float, a: float, b: float, degrees: float = 0) -> torch.Tensor:
    turn, marks = np.radians(degrees), EMPTY.clone()
    for row in range(12):
        for column in range(16):
            dx, dy = column + 0.5 - x, row + 0.5 - y
            along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
            if (along / a) ** 2 + (across / b) ** 2 < 1:
                marks[row, column] = 1
    return marks


def box(left: float, top: float, right: float, bottom: float) -> torch.Tensor:
    marks = EMPTY.clone()
    for row in range(12):
        for column in range(16):
            if left <= column + 0.5 < right and top <= row + 0.5 < bottom:
                marks[row, column] = 1
    return marks


MASK = np.random.default_rng(2).random((4, 5)) < 0.5
EXPECTED_MASK = EMPTY.clone()
EXPECTED_MASK[3:7, 6:11][torch.from_numpy(MASK)] = 1


RUNS = ", ".join(map(str, counts_of(MASK.ravel())))


def xml_points(points: list[tuple[float, float]]) -> str:
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in points)


def read_one(path: Path, **options: Any) -> torch.Tensor:
    found = read_annotations(path, classes={"road": 1, "car": 0}, **options)
    assert len(found) == 1
    return found[next(iter(found))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'<polyline label="road" points="{xml_points(LINE)}" z_order="0"/>', EXPECTED_LINE),
        (f'<polygon label="road" points="{xml_points(POLYGON)}"/>', EXPECTED_POLYGON),
        ('<points label="road" points="4.90,5.00;11.00,8.99"/>', EXPECTED_POINTS),
        ('<box label="road" xtl="3.2" ytl="1.4" xbr="9.0" ybr="6.6"/>', box(3.2, 1.4, 9.0, 6.6)),
        ('<box label="road" xtl="4" ytl="1" xbr="10" ybr="5" rotation="90.0"/>', box(5, 0, 9, 6)),
        ('<ellipse label="road" cx="7.2" cy="6.1" rx="5.0" ry="3.0"/>', ellipse(7.2, 6.1, 5, 3)),
        ('<ellipse label="road" cx="7.2" cy="6.1" rx="5.0" ry="2.0" rotation="30"/>', ellipse(7.2, 6.1, 5, 2, 30)),
        (
            f'<mask label="road" rle="{RUNS}" left="6" top="3" width="5" height="4"/>',
            EXPECTED_MASK,
        ),
        (
            '<skeleton label="road"><points label="1" points="4.90,5.00" outside="0" occluded="0"/><points label="2" '
            'points="11.00,8.99"/><points label="3" points="2,2" outside="1"/><points label="4" points="2,9" '
            'occluded="1"/></skeleton>',
            EXPECTED_POINTS,
        ),
        ('<tag label="good" source="manual"/>', EMPTY),
        ("", EMPTY),
    ],
)
def test_shapes_of_cvat(tmp_path: Path, text: str, expected: torch.Tensor) -> None:
    file = write(tmp_path / "annotations.xml", cvat(cvat_image("a.jpg", text)))
    assert torch.equal(read_one(file, boxes="fill"), expected)


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (shape("road", "linestrip", [list(p) for p in LINE]), EXPECTED_LINE),
        (shape("road", "line", [list(p) for p in LINE[:2]]), from_lines([(shifted(LINE[:2]), 1)], SIZE)),
        (shape("road", "polygon", [list(p) for p in POLYGON]), EXPECTED_POLYGON),
        ({"label": "road", "points": [list(p) for p in POLYGON]}, EXPECTED_POLYGON),
        (shape("road", "points", [[4.9, 5.0], [11.0, 8.99]]), EXPECTED_POINTS),
        (shape("road", "point", [[4.9, 5.0]]), from_points([(4, 5, 1)], SIZE)),
        (shape("road", "circle", [[7.2, 6.1], [10.2, 2.1]]), ellipse(7.2, 6.1, 5, 5)),
        (shape("road", "rectangle", [[9.0, 1.4], [3.2, 6.6]]), box(3.2, 1.4, 9.0, 6.6)),
        (shape("road", "rectangle", [[3, 1], [9, 1], [9, 6], [3, 6]]), box(3, 1, 9, 6)),
        (shape("road", "oriented_rectangle", [[3, 1], [9, 1], [9, 6], [3, 6]]), box(3, 1, 9, 6)),
        (shape("road", "mask", [[6, 3], [10, 6]], mask=picture(MASK)), EXPECTED_MASK),
    ],
)
def test_shapes_of_labelme(tmp_path: Path, drawn: dict[str, Any], expected: torch.Tensor) -> None:
    file = write(tmp_path / "a.json", labelme([drawn]))
    assert torch.equal(read_one(file, boxes="fill"), expected)


def brush(mask: Any) -> list[int]:
    """A stream with one block of one value for each value."""
    values = np.repeat(np.asarray(mask).ravel(), 4) * 255
    stream = f"{len(values):032b}{7:05b}" + "0010" * 4 + "".join(f"100000{value:08b}" for value in values.tolist())
    stream += "0" * (-len(stream) % 8)
    return [int(stream[place : place + 8], 2) for place in range(0, len(stream), 8)]


VERTICES = [
    {"id": str(n), "x": x, "y": y, "prevPointId": str(n - 1) if n else None} for n, (x, y) in enumerate(percent(LINE))
]


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ([region("polygon", "road", {"points": percent(POLYGON), "closed": True})], EXPECTED_POLYGON),
        ([region("brush", "road", {"format": "rle", "rle": brush(EXPECTED_MASK.numpy() == 1)})], EXPECTED_MASK),
        (
            [region("keypoint", "road", {"x": x, "y": y, "width": 0.4}) for x, y in percent([(4.9, 5.0), (11, 8.99)])],
            EXPECTED_POINTS,
        ),
        (
            [region("rectangle", "road", {"x": 25, "y": 25, "width": 37.5, "height": 50, "rotation": 0})],
            box(4, 3, 10, 9),
        ),
        # By 90 degrees around the top left corner: what went right goes down, what went down goes left.
        (
            [region("rectangle", "road", {"x": 62.5, "y": 25, "width": 31.25, "height": 25, "rotation": 90})],
            box(7, 3, 10, 8),
        ),
        (
            [region("ellipse", "road", {"x": 50, "y": 50, "radiusX": 31.25, "radiusY": 25, "rotation": 20})],
            ellipse(8, 6, 5, 3, 20),
        ),
        ([region("vector", "road", {"vertices": VERTICES, "closed": False})], EXPECTED_LINE),
        (
            [
                region(
                    "vector",
                    "road",
                    {
                        "closed": False,
                        "vertices": [
                            {"id": "a", "x": 50, "y": 50},
                            {"id": "b", "x": 75, "y": 50, "prevPointId": "a"},
                            {"id": "c", "x": 50, "y": 75, "prevPointId": "a"},
                        ],
                    },
                )
            ],
            from_lines([(shifted([(8, 6), (12, 6)]), 1), (shifted([(8, 6), (8, 9)]), 1)], SIZE),
        ),
        (
            [
                region(
                    "vector",
                    "road",
                    {"closed": True, "vertices": [{"x": x, "y": y} for x, y in percent(POLYGON)]},
                )
            ],
            EXPECTED_POLYGON,
        ),
        # The labels in a result of their own, and a choice for the region.
        (
            [
                {**region("polygon", None, {"points": percent(POLYGON)}, id="x"), "type": "polygon"},
                {**region("", "road", {"points": percent(POLYGON)}, id="x"), "type": "labels"},
                {"type": "choices", "id": "x", "value": {"points": percent(POLYGON), "choices": ["unsure"]}},
                {"type": "relation", "from_id": "x", "to_id": "y"},
            ],
            EXPECTED_POLYGON,
        ),
    ],
)
def test_shapes_of_label_studio(tmp_path: Path, regions: list[dict[str, Any]], expected: torch.Tensor) -> None:
    file = write(tmp_path / "tasks.json", [task("/data/upload/1/0a1b2c3d-a.jpg", regions)])
    assert torch.equal(read_one(file, boxes="fill"), expected)


FULL = np.zeros(SIZE, bool)
FULL[3:7, 6:11] = MASK


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ({"segmentation": [np.array(POLYGON).ravel().tolist()], "bbox": [0, 0, 9, 9]}, EXPECTED_POLYGON),
        (
            {"segmentation": [[1, 1, 4, 1, 4, 5, 1, 5], [8, 2, 12, 2, 12, 7, 8, 7]]},
            torch.minimum(box(1, 1, 4, 5), box(8, 2, 12, 7)),
        ),
        ({"segmentation": {"size": [12, 16], "counts": counts_of(FULL.T.ravel())}, "iscrowd": 1}, EXPECTED_MASK),
        (
            {"segmentation": [], "keypoints": [4.9, 5.0, 2, 11.0, 8.99, 2, 1, 1, 1, 0, 0, 0], "bbox": [0, 0, 9, 9]},
            EXPECTED_POINTS,
        ),
        ({"bbox": [3.0, 1.0, 6.0, 5.0]}, box(3, 1, 9, 6)),
        ({"segmentation": []}, EMPTY),
    ],
)
def test_shapes_of_coco(tmp_path: Path, annotation: dict[str, Any], expected: torch.Tensor) -> None:
    file = write(tmp_path / "instances.json", coco([{"category_id": 7, **annotation}]))
    assert torch.equal(read_one(file, boxes="fill"), expected)


def test_compressed_masks_of_coco(tmp_path: Path) -> None:
    # pycocotools.mask.encode of a mask of 12 x 16 with ones in rows 3 to 6 of columns 6 to 10
    string = {"size": [12, 16], "counts": "[2480000000i1"}
    marks = read_one(write(tmp_path / "a.json", coco([{"category_id": 7, "segmentation": string}])))
    assert torch.equal(marks, box(6, 3, 11, 7))


def test_ids_of_coco_with_a_decimal_point(tmp_path: Path) -> None:
    annotation = {"category_id": 7.0, "image_id": 1.0, "bbox": [3.0, 1.0, 6.0, 5.0]}
    assert torch.equal(read_one(write(tmp_path / "a.json", coco([annotation])), boxes="fill"), box(3, 1, 9, 6))


# --- the order of shapes, options


def test_later_shapes_cover_earlier_ones_and_z_order_counts(tmp_path: Path) -> None:
    def one(label: str, order: int) -> str:
        return f'<polygon label="{label}" points="0,0;9,0;9,9;0,9" z_order="{order}"/>'

    for texts, expected in (
        (one("road", 0) + one("car", 0), 0),
        (one("car", 0) + one("road", 0), 1),
        (one("road", 1) + one("car", 0), 1),
        (one("road", 10) + one("car", 9), 1),
        (one("road", -1) + one("car", 0), 0),
    ):
        file = write(tmp_path / "annotations.xml", cvat(cvat_image("a.jpg", texts)))
        assert read_one(file)[4, 4] == expected


def test_width_and_radius(tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", labelme([shape("road", "linestrip", [[2.5, 4.5], [12.5, 4.5]])]))
    assert torch.equal(read_one(file, width=5), from_lines([([(2, 4), (12, 4)], 1)], SIZE, width=5))
    file = write(tmp_path / "a.json", labelme([shape("road", "point", [[2.5, 4.5]])]))
    assert (read_one(file, radius=0) == 1).sum() == 1


def test_shapes_that_leave_the_image(tmp_path: Path) -> None:
    mask = np.ones((4, 5), bool)
    drawn = [
        shape("road", "linestrip", [[-50, -50], [60, 50]]),
        shape("road", "point", [[16.9, 11.9]]),
        shape("road", "point", [[-500, 3]]),
        shape("road", "circle", [[0, 12], [3, 12]]),
        shape("car", "mask", [[-2, -1], [2, 2]], mask=picture(mask)),
        shape("car", "mask", [[14, 10], [18, 13]], mask=picture(mask)),
        shape("road", "polygon", [[100, 100], [120, 100], [110, 130]]),
    ]
    marks = read_one(write(tmp_path / "a.json", labelme(drawn)))
    assert (marks[:3, :3] == 0).all()
    assert (marks[10:, 14:] == 0).all()
    assert marks[11, 1] == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("rx", "ry"), [(0, 0), (3, 0), (0, 3)])
def test_ellipses_without_an_area_mark_nothing(tmp_path: Path, rx: float, ry: float) -> None:
    """Around the centre of a pixel their equation divides zero by zero."""
    ellipse = f'<ellipse label="road" cx="5.5" cy="5.5" rx="{rx}" ry="{ry}"/>'
    found = read_annotations(write(tmp_path / "a.xml", cvat(cvat_image("a.jpg", ellipse))))
    assert torch.equal(found["a.jpg"], EMPTY)
    click = labelme([shape("road", "circle", [[5.5, 5.5], [5.5, 5.5]])])
    assert torch.equal(read_annotations(write(tmp_path / "a.json", click))["a.jpg"], EMPTY)


def test_rectangles_need_a_decision(tmp_path: Path) -> None:
    line = shape("road", "linestrip", [list(p) for p in LINE])
    both = [line, shape("car", "rectangle", [[1, 1], [9, 9]])]
    file = write(tmp_path / "a.json", labelme(both))
    with pytest.raises(ValueError, match=r"no rectangles.*got some of 'car' in 1 images such as 'a.jpg'.*--boxes"):
        read_one(file)
    assert torch.equal(read_one(file, boxes="skip"), EXPECTED_LINE)
    assert (read_one(file, boxes="fill") == 0).sum() == 64
    for content, name in (
        (cvat(cvat_image("a.jpg", '<box label="car" xtl="1" ytl="1" xbr="9" ybr="9"/>')), "x.xml"),
        ([task("a.jpg", [region("rectangle", "car", {"x": 1, "y": 1, "width": 9, "height": 9})])], "x.json"),
        (coco([{"bbox": [1, 1, 8, 8]}]), "y.json"),
    ):
        with pytest.raises(ValueError, match="no rectangles"):
            read_one(write(tmp_path / name, content))
