"""Exports of annotation tools: shapes, classes, names, and what is wrong with files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.exports import coco, cvat, cvat_image, labelme, picture, region, shape, task, write

from closedform_wsss import io
from closedform_wsss.io import from_lines, from_points, from_polygons, read_annotations

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


def counts(mask: Any) -> list[int]:
    found, value = [0], False
    for pixel in mask:
        if pixel != value:
            found.append(0)
            value = pixel
        found[-1] += 1
    return found


RUNS = ", ".join(map(str, counts(MASK.ravel())))


def xml_points(points: list[tuple[float, float]]) -> str:
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in points)


def read_one(path: Path, **options: Any) -> torch.Tensor:
    found = read_annotations(path, classes={"road": 1, "car": 0}, **options)
    assert len(found) == 1
    return found[next(iter(found))]


# --- shapes


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


def percent(points: list[tuple[float, float]]) -> list[list[float]]:
    return [[x / 16 * 100, y / 12 * 100] for x, y in points]


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
        ({"segmentation": {"size": [12, 16], "counts": counts(FULL.T.ravel())}, "iscrowd": 1}, EXPECTED_MASK),
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


# --- classes


def test_the_numbers_of_classes(tmp_path: Path) -> None:
    shapes = '<polygon label="sky" points="0,0;9,0;9,9"/><polygon label="car" points="0,0;0,9;9,9"/>'
    listed = write(tmp_path / "listed.xml", cvat(cvat_image("a.jpg", shapes), labels=("sky", "tree", "car")))
    found = read_annotations(listed)
    assert (found.classes, found.classes_from) == ({"sky": 0, "tree": 1, "car": 2}, "file")
    assert (found.tool, found.labels("a.jpg")) == ("CVAT for images", {"sky", "car"})
    assert sorted(found["a.jpg"].unique().tolist()) == [0, 2, 255]
    found = read_annotations(write(tmp_path / "unlisted.xml", cvat(cvat_image("a.jpg", shapes))))
    assert (found.classes, found.classes_from) == ({"car": 0, "sky": 1}, "names")
    found = read_annotations(listed, classes=["background", "car", "sky"])
    assert (found.classes, found.classes_from) == ({"background": 0, "car": 1, "sky": 2}, "argument")
    found = read_annotations(listed, classes={"sky": 255, "car": 7})
    assert sorted(found["a.jpg"].unique().tolist()) == [7, 255]
    assert list(found.classes.items()) == [("car", 7), ("sky", 255)]
    found = read_annotations(write(tmp_path / "c.json", coco([], ("b", "a"))))
    assert (found.classes, found.classes_from) == ({"b": 0, "a": 1}, "file")


def test_skeleton_points_are_no_classes(tmp_path: Path) -> None:
    listed = ("<name>man</name>", "<name>eye</name><parent>man</parent>", "<name>dog</name>")
    labels = "".join(f"<label>{label}</label>" for label in listed)
    text = f"<annotations><meta><project><labels>{labels}</labels></project></meta></annotations>"
    assert read_annotations(write(tmp_path / "a.xml", text)).classes == {"man": 0, "dog": 1}


def test_ignored_pixels_of_labelme(tmp_path: Path) -> None:
    drawn = [shape("road", "polygon", [[0, 0], [9, 0], [9, 9], [0, 9]]), shape("__ignore__", "point", [[4.5, 4.5]])]
    file = write(tmp_path / "a.json", labelme(drawn))
    for classes, number in ((None, 0), (["__ignore__", "_background_", "road"], 1), (["x", "y", "road"], 2)):
        found = read_annotations(file, classes=classes)
        assert found["a.jpg"][4, 4] == 255
        assert found["a.jpg"][1, 1] == number
        assert found.classes["road"] == number


@pytest.mark.parametrize(
    ("classes", "error", "message"),
    [
        (["road"], ValueError, "must name every class that is drawn, got none for 'car'; drawn are 'car', 'road'"),
        (["road", "car", "road"], ValueError, "must be different names, got 'road' more than once"),
        ({"road": 1, "car": 256}, ValueError, r"must be in 0..255, got 'car': 256"),
        ({"road": 1, "car": "2"}, TypeError, "must give names integers, got 'car': '2'"),
        ("road", TypeError, "must be a list of names or a dictionary of numbers, got 'road'"),
        (7, TypeError, "must be a list of names or a dictionary of numbers, got 7"),
        ([1, 2], TypeError, r"must be names, got \[1, 2\]"),
        ([f"c{n}" for n in range(256)], ValueError, "must be at most 255 names, got 256"),
    ],
)
def test_wrong_classes(tmp_path: Path, classes: Any, error: type[Exception], message: str) -> None:
    drawn = [shape("road", "point", [[1, 1]]), shape("car", "point", [[9, 9]])]
    with pytest.raises(error, match=f"read_annotations: classes {message}"):
        read_annotations(write(tmp_path / "a.json", labelme(drawn)), classes=classes)


# --- images


def test_several_files_of_labelme(tmp_path: Path) -> None:
    files = [
        write(tmp_path / name, labelme([shape(label, "point", [[1, 1]])], image))
        for name, label, image in (
            ("x.json", "road", "x.jpg"),
            ("sub/a.json", "car", "..\\images\\a.jpg"),
            ("sub/é.json", "Straße", "é.jpg"),
            ("other/a.json", "car", "a.jpg"),
        )
    ]
    found = read_annotations(files)
    assert list(found) == ["x.jpg", "sub/a.jpg", "sub/é.jpg", "other/a.jpg"]
    assert found.classes == {"Straße": 0, "car": 1, "road": 2}
    assert [int(marks.min()) for marks in found.values()] == [2, 1, 0, 1]
    assert repr(found) == "Annotations(labelme, 4 images, {'Straße': 0, 'car': 1, 'road': 2})"
    assert list(read_annotations(files[1])) == ["a.jpg"]
    with pytest.raises(ValueError, match="must be files of one format, got COCO and labelme"):
        read_annotations([*files, write(tmp_path / "c.json", coco([]))])
    with pytest.raises(ValueError, match="must be a file or files, got none"):
        read_annotations([])
    with pytest.raises(ValueError, match=r"must have different names, got 'x.jpg' twice"):
        read_annotations([files[0], write(tmp_path / "y.json", labelme([], "x.jpg"))])


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("a.jpg", "a.jpg"),
        ("day 1/a.b 2.jpg", "day 1/a.b 2.jpg"),
        ("day\\a.jpg", "day/a.jpg"),
        ("C:\\Users\\me\\a.jpg", "a.jpg"),
        ("/home/me/a.jpg", "a.jpg"),
        ("../../etc/a.jpg", "etc/a.jpg"),
        ("https://host/x/a.jpg?token=1/2", "a.jpg"),
        ("./día/ä.png", "día/ä.png"),
    ],
)
def test_names_cannot_lead_out_of_a_folder(tmp_path: Path, stored: str, name: str) -> None:
    assert list(read_annotations(write(tmp_path / "a.xml", cvat(cvat_image(stored, ""))))) == [name]
    assert list(read_annotations(write(tmp_path / "c.json", coco([], file_name=stored)))) == [name]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/upload/12/0a1b2c3d-photo%20one.jpg", "photo one.jpg"),
        ("/data/upload/12/photo.jpg", "photo.jpg"),
        ("/data/local-files/?d=set/day%201/photo.jpg", "set/day 1/photo.jpg"),
        ("s3://bucket/day/photo.jpg", "photo.jpg"),
        ("https://host/day/photo.png?X-Amz=/a.b", "photo.png"),
        ("day/photo.tif", "day/photo.tif"),
        ("C:\\day\\photo.tif", "photo.tif"),
        ("0a1b2c3d-photo.jpg", "0a1b2c3d-photo.jpg"),
    ],
)
def test_names_of_label_studio(tmp_path: Path, address: str, name: str) -> None:
    for key in ("image", "img", "frame"):
        file = write(tmp_path / "a.json", [{**task("", []), "data": {key: address, "text": "hello"}}])
        assert list(read_annotations(file)) == [name]


def test_uploads_that_differ_only_in_their_prefix(tmp_path: Path) -> None:
    tasks = [task(f"/data/upload/1/{prefix}-a.jpg", []) for prefix in ("0a1b2c3d", "11111111")]
    file = write(tmp_path / "a.json", [*tasks, task("/data/upload/1/22222222-b.jpg", [])])
    assert list(read_annotations(file)) == ["0a1b2c3d-a.jpg", "11111111-a.jpg", "b.jpg"]


def test_sizes(tmp_path: Path) -> None:
    old = labelme([shape("road", "polygon", [[0, 0], [9, 0], [9, 9]])], imageHeight=None, imageWidth=None)
    found = read_annotations(write(tmp_path / "a.json", old))
    assert found.size("a.jpg") is None
    with pytest.raises(
        ValueError, match=r"the size of 'a.jpg' must be given, as in draw\(name, size\), because.*a.json"
    ):
        found["a.jpg"]
    assert found.draw("a.jpg", (20, 30)).shape == (20, 30)
    inside = {**old, "imageData": picture(np.zeros((5, 8), bool))}
    assert read_annotations(write(tmp_path / "b.json", inside)).size("a.jpg") == (5, 8)
    found = read_annotations(write(tmp_path / "c.json", labelme([])))
    assert torch.equal(found.draw("a.jpg", SIZE), EMPTY)
    with pytest.raises(ValueError, match=r"must be \(H, W\) = \(12, 16\).*got \(16, 12\): one of them was turned"):
        found.draw("a.jpg", (16, 12))
    with pytest.raises(ValueError, match=r"on which its shapes were drawn, got \(24, 32\)$"):
        found.draw("a.jpg", (24, 32))
    with pytest.raises(KeyError):
        found["b.jpg"]
    regions = [region("polygon", "road", {"points": percent(POLYGON)})]
    for one in regions:
        del one["original_width"], one["original_height"]
    found = read_annotations(write(tmp_path / "d.json", [task("a.jpg", regions)]))
    assert torch.equal(found.draw("a.jpg", SIZE), EXPECTED_POLYGON - (EXPECTED_POLYGON == 1).long())
    assert found.size("a.jpg") is None


def test_the_annotation_of_a_task_that_counts(tmp_path: Path) -> None:
    def annotation(label: str, **more: Any) -> dict[str, Any]:
        return {"result": [region("polygon", label, {"points": percent(POLYGON)})], **more}

    old, new = annotation("car", updated_at="2023-01-31T07:40"), annotation("road", updated_at="2023-02-01T07:40")
    for several, expected in (
        ([old, new], 1),
        ([new, old], 1),
        ([{**old, "ground_truth": True}, new], 0),
        ([old, {**new, "was_cancelled": True}], 0),
        ([{**new, "was_cancelled": True}], 255),
        ([], 255),
    ):
        one = {**task("a.jpg", []), "annotations": several, "predictions": [new]}
        found = read_annotations(write(tmp_path / "a.json", [one]), classes=["car", "road"])
        assert found.draw("a.jpg", SIZE)[4, 7] == expected
    before_1 = {"id": 1, "data": {"image": "a.jpg"}, "completions": [new]}
    assert read_annotations(write(tmp_path / "a.json", before_1))["a.jpg"][4, 7] == 0


def test_json_min_of_label_studio(tmp_path: Path) -> None:
    polygon = {"points": percent(POLYGON), "polygonlabels": ["road"], "original_width": 16, "original_height": 12}
    file = write(
        tmp_path / "a.json", [{"image": "a.jpg", "id": 1, "tag": [polygon], "annotator": 1, "annotation_id": 5}]
    )
    assert torch.equal(read_one(file), EXPECTED_POLYGON)


# --- read_marks


def test_read_marks(tmp_path: Path) -> None:
    image = np.zeros((*SIZE, 3), np.uint8)
    file = write(tmp_path / "a.json", labelme([shape("road", "linestrip", [list(p) for p in LINE])]))
    assert io.guess_kind(file) == "annotations"
    assert torch.equal(io.read_marks(file, image, classes=["car", "road"]), EXPECTED_LINE)
    assert torch.equal(io.read_marks(file, classes={"road": 1}, kind="annotations"), EXPECTED_LINE)
    with pytest.raises(ValueError, match=r"read_marks: classes must be given for labelme, got None for .* with 'road'"):
        io.read_marks(file)
    with pytest.raises(ValueError, match=r"read_marks: the size of 'a.jpg' must be .*got \(16, 12\): one of them was"):
        io.read_marks(file, np.zeros((16, 12, 3), np.uint8), classes=["road"])
    with pytest.raises(ValueError, match="read_marks: unmarked must be None for kind='annotations', got 0"):
        io.read_marks(file, classes=["road"], unmarked=0)
    one, two = cvat_image("a.jpg", ""), cvat_image("b.jpg", "")
    single = write(tmp_path / "a.xml", cvat(one, labels=("x",)))
    assert io.guess_kind(single) == "annotations"
    assert torch.equal(io.read_marks(single), EMPTY)
    with pytest.raises(ValueError, match=r"must hold the annotations of one image, got 2 in .*read_annotations"):
        io.read_marks(write(tmp_path / "b.xml", cvat(one, two, labels=("x",))))
    label_map = tmp_path / "a.png"
    io.write_label_png(label_map, EMPTY)
    with pytest.raises(ValueError, match=r"classes must be None for kind='labels', got \['road'\]"):
        io.read_marks(label_map, classes=["road"], kind="labels")


def test_without_size_the_image_gives_it(tmp_path: Path) -> None:
    old = labelme([shape("road", "linestrip", [list(p) for p in LINE])], imageHeight=None, imageWidth=None)
    file = write(tmp_path / "a.json", old)
    image = torch.zeros(3, *SIZE, dtype=torch.uint8)
    assert torch.equal(io.read_marks(file, image, classes=["car", "road"]), EXPECTED_LINE)


def test_encodings(tmp_path: Path) -> None:
    text = json.dumps(labelme([shape("Straße", "point", [[1, 1]])], "ä.jpg"), ensure_ascii=False)
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "a.json").write_bytes(text.encode(encoding))
        found = read_annotations(tmp_path / "a.json")
        assert (list(found), list(found.classes)) == (["ä.jpg"], ["Straße"])
    text = cvat(cvat_image("ä.jpg", '<points label="Straße" points="1,1"/>'))
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "a.xml").write_bytes(text.replace("utf-8", encoding.removesuffix("-sig")).encode(encoding))
        assert list(read_annotations(tmp_path / "a.xml").classes) == ["Straße"]
