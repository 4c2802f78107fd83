"""Exports of annotation tools: classes, names and sizes of images, and ``read_marks``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.exports import (
    EMPTY,
    EXPECTED_LINE,
    EXPECTED_POLYGON,
    LINE,
    POLYGON,
    SIZE,
    coco,
    cvat,
    cvat_image,
    labelme,
    percent,
    picture,
    region,
    shape,
    task,
    write,
)

from closedform_wsss import io
from closedform_wsss.io import read_annotations

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
        ("https://host/day/photo%20%231.png?X-Amz=1", "photo #1.png"),
        ("s3://bucket/day/photo #1, 50%25?.jpg", "photo #1, 50%25?.jpg"),
        ("frame-12:30.jpg", "frame-12:30.jpg"),
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
    assert torch.equal(read_annotations(file, classes={"road": 1})["a.jpg"], EXPECTED_POLYGON)


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
