"""Files of annotations that are damaged, of other formats, or hold shapes that cannot be drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.exports import coco, cvat, cvat_image, labelme, region, shape, task, write

from closedform_wsss.io import read_annotations

FORMATS = r"the format must be CVAT for images 1.1 \(XML\), labelme, Label Studio \(JSON or JSON-MIN\) or COCO"
WHOLE = json.dumps(labelme([shape("road", "point", [[1, 1]])]))
IMAGE = {"id": 5, "file_name": "a.jpg"}
BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><annotations>&b;</annotations>'


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "", "not whole JSON: nothing"),
        ("a.json", " \n", "not whole JSON: nothing"),
        ("a.json", WHOLE[:-40], "not whole JSON: "),
        ("a.json", "[" * 100_000, "not whole JSON: "),
        ("a.json", '{"a": 1, "b": 2}', FORMATS + ", got JSON of an object of 'a', 'b'"),
        ("a.json", "{}", FORMATS + ", got JSON of an object of nothing"),
        ("a.json", "[]", FORMATS + ", got JSON of an empty list"),
        ("a.json", "3", FORMATS + ", got JSON of int"),
        (
            "a.json",
            '[{"image_id": 1, "category_id": 2, "score": 0.5}]',
            FORMATS + ", got JSON of a list of 1, the first an object of 'image_id', 'category_id', 'score'",
        ),
        ("a.json", '{"type": "FeatureCollection", "features": []}', FORMATS),
        ("a.json", '{"shapes": 3}', "shapes must be a list of objects"),
        ("a.json", '{"shapes": [3]}', "shapes must be a list of objects"),
        (
            "a.json",
            json.dumps([{**task("a.jpg", []), "annotations": 7}]),
            "annotations must be a list of objects, got 7",
        ),
        ("a.json", '{"shapes": []}', "an image must have a name, got ''"),
        ("a.json", '{"images": [3], "annotations": []}', "images must be a list of objects"),
        ("a.json", '{"images": [], "annotations": 5}', "annotations must be a list of objects"),
        (
            "a.json",
            '{"images": [{"file_name": "a.jpg"}], "annotations": []}',
            "id must be a number or a text, got None",
        ),
        ("a.json", json.dumps(coco([{"category_id": 4}])), "category_id must be the id of a category, got 4"),
        ("a.json", json.dumps(coco([{"image_id": 4}])), "image_id must be the id of an image, got 4"),
        (
            "a.json",
            json.dumps({**coco([]), "images": [IMAGE, IMAGE]}),
            "images must have different ids, got 5 more than",
        ),
        ("a.json", json.dumps({**coco([]), "categories": [IMAGE, IMAGE]}), "categories must have different ids, got 5"),
        ("a.json", json.dumps(coco([{"segments_info": []}])), "got those of the panoptic task"),
        ("a.json", json.dumps(coco([], height=0)), "the size must be that of an image, got 16 x 0"),
        ("a.json", json.dumps(coco([], height=10**6 - 1, width=10**6 - 1)), "must be that of an image"),
        (
            "a.json",
            json.dumps(coco([], height="x")),
            "the height of the image must be a number below a million, got 'x'",
        ),
        ("a.json", json.dumps(coco([], height=1.5)), "the height of the image must be a whole number, got 1.5"),
        ("a.json", json.dumps(labelme([], imageHeight=None, imageData="?")), "imageData must be a picture in base64"),
        ("a.json", json.dumps([{**task("", []), "data": {"text": "x"}}]), "must name one image, got text"),
        (
            "a.json",
            json.dumps([{**task("", []), "data": {"a": "a.jpg", "b": "b.jpg"}}]),
            "must name one image, got a, b",
        ),
        ("a.json", json.dumps([{**task("", []), "data": {"image": ["a.jpg", "b.jpg"]}}]), "must name one image"),
        ("a.xml", "<annotations><image>", "must hold XML"),
        ("a.xml", BOMB, "a document type declaration, which is refused"),
        ("a.xml", "<other/>", FORMATS + ", got XML of <other>"),
        ("a.xml", "<annotation><size/></annotation>", "got XML of <annotation>: read_marks reads ScribbleSup"),
        ("a.xml", "<annotations><track id='0' label='a'/></annotations>", "export it as 'CVAT for images 1.1'"),
        ("a.xml", cvat('<image name="a.jpg" width="9"/>'), "the height of the image must be a number"),
        ("a.xml", cvat('<image width="9" height="9"/>'), "an image must have a name, got ''"),
        (
            "a.xml",
            cvat(cvat_image("a.jpg", ""), cvat_image("a.jpg", "")),
            "must have different names, got 'a.jpg' twice",
        ),
        ("a.zip", "PK", "got the archive .*: unpack it first"),
        ("a.png", "\x89PNG", "not whole JSON"),
    ],
)
def test_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = write(tmp_path / name, text)
    with pytest.raises(ValueError, match=message) as error:
        read_annotations(file)
    assert str(error.value).startswith("read_annotations: ")
    assert name in str(error.value)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_annotations(tmp_path / "a.json")
    with pytest.raises(ValueError, match="must be a file of annotations, got the directory"):
        read_annotations(tmp_path)


def lm(kind: str, points: Any, **more: Any) -> tuple[str, Any]:
    return "a.json", labelme([shape("road", kind, points, **more)])


def xml(text: str) -> tuple[str, Any]:
    return "a.xml", cvat(cvat_image("a.jpg", text))


def ls(kind: str, value: dict[str, Any], label: Any = "road", **more: Any) -> tuple[str, Any]:
    return "a.json", [task("a.jpg", [region(kind, label, value, **more)])]


def cc(**annotation: Any) -> tuple[str, Any]:
    return "a.json", coco([annotation])


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (lm("polygon", [[0, 0], [1, 1]]), "a polygon must have 3 or more points, got 2: delete or complete it"),
        (lm("linestrip", []), "a linestrip must have 1 or more points, got 0"),
        (lm("linestrip", None), "a linestrip must have a list of points, got None"),
        (lm("point", [[1]]), r"a point must have points of x and y, got \[1\]"),
        (lm("point", [[1, "z"]]), "y must be a number below a million, got 'z'"),
        (lm("point", [[float("nan"), 1]]), "x must be a number below a million, got nan"),
        (lm("point", [[10**400, 1]]), "x must be a number below a million, got 1000"),
        (lm("cuboid", [[1, 1]]), "shape_type must be polygon, .* got 'cuboid'"),
        (lm("circle", [[1, 1]]), "a circle must have 2 or more points, got 1"),
        (lm("circle", [[1, 1], [2, 2], [3, 3]]), "a circle must have 2 points, its centre and one on it, got 3"),
        (lm("mask", [[1, 1], [3, 3]], mask="?"), "mask must be a picture in base64"),
        (lm("mask", [[1, 1], [3, 3]], mask="AAAA"), "mask must be a picture in base64"),
        (lm("mask", [[1, 1], [3, 3]]), "mask must be a picture in base64"),
        (xml('<polygon label="road" points="1,1;2,2"/>'), "a polygon must have 3 or more points, got 2"),
        (xml('<polyline label="road" points=""/>'), "a polyline must have 1 or more points, got 0"),
        (xml('<polyline label="road" points="1;2"/>'), "a polyline must have points of x and y"),
        (xml('<polyline label="road" points="1,1" z_order="x"/>'), "z_order must be a number"),
        (xml('<cuboid label="road"/>'), "shapes must be polylines, .* got cuboid"),
        (xml('<ellipse label="road" cx="1" cy="1" rx="1"/>'), "ry of the ellipse must be a number"),
        (xml('<mask label="road" rle="1,2" left="0" top="0" width="2" height="2"/>'), "must fill its 2 x 2 = 4 pixels"),
        (
            xml('<mask label="road" rle="" left="0" top="0" width="2" height="2"/>'),
            "the runs of a mask must be whole numbers, got ''",
        ),
        (xml('<mask label="road" rle="1" left="0" top="0" width="99999" height="99999"/>'), "must be that of an image"),
        (xml('<points points="1,1"/>'), "a shape must have a label"),
        (ls("polygon", {"points": [[1, 1]]}), "a polygon must have 3 or more points, got 1"),
        (ls("polygon", {"points": [[1, 1]]}, ["a", "b"]), "a polygon must have one label, got a, b"),
        (ls("polygon", {"points": [[1, 1]]}, None), "a polygon must have one label, got none"),
        (ls("keypoint", {"x": 3}), "y must be a number below a million, got None"),
        (ls("keypoint", {"x": 3, "y": 4}, image_rotation=90), "turned by 90 degrees in the tool"),
        (ls("brush", {"format": "rle"}), "a brush must have an rle"),
        (ls("brush", {"format": "png", "rle": [1]}), "a brush must have an rle"),
        (ls("brush", {"rle": [0, 0, 0, 8]}), "must have 768 values, .* got 8"),
        (ls("bitmask", {"imageDataURL": ""}), "regions must not be bitmasks"),
        (ls("vector", {"vertices": 3}), "vertices must be a list of objects, got 3"),
        (ls("vector", {"vertices": [{"x": 1, "y": 1, "isBezier": True}]}), "got curves"),
        (ls("vector", {"vertices": [{"x": 1, "y": 1}], "closed": True}), "a vector must have 3 or more points, got 1"),
        (cc(segmentation=[[1, 2, 3, 4]]), "a polygon must have 3 or more points, got 2"),
        (cc(segmentation=[[1, 2, 3]]), "must be a list of x and y in turn, got 3 numbers"),
        (cc(segmentation="abc"), "segmentation must be a list of polygons or a mask, got 'abc'"),
        (cc(segmentation=[1, 2, 3, 4, 5, 6]), "segmentation must be a list of polygons or a mask"),
        (cc(segmentation={"size": [12], "counts": "0"}), r"size of a mask must be height and width, got \[12\]"),
        (cc(segmentation={"size": [12, 16]}), "counts of a mask must be a text or a list, got NoneType"),
        (cc(segmentation={"size": [12, 16], "counts": [1.5]}), "the runs of a mask must be whole numbers, got 1.5"),
        (
            cc(segmentation={"size": [16, 12], "counts": [192]}),
            r"must have the size \(H, W\) = \(12, 16\) of its image",
        ),
        (cc(keypoints=[1, 2]), "keypoints must be a list of x, y and visibility"),
        (cc(bbox=[1, 2, 3]), "bbox must be a list of x, y, width and height"),
    ],
)
def test_shapes(tmp_path: Path, file: tuple[str, Any], message: str) -> None:
    path = write(tmp_path / file[0], file[1])
    found = read_annotations(path, boxes="fill")  # the other images can still be drawn
    with pytest.raises(ValueError, match=message) as error:
        found["a.jpg"]
    said = str(error.value)
    assert said.startswith("read_annotations: the shapes of 'a.jpg' in ")
    assert path.name in said


def test_regions_of_different_sizes(tmp_path: Path) -> None:
    point = region("keypoint", "road", {"x": 1, "y": 1})
    file = write(tmp_path / "a.json", [task("a.jpg", [point, {**point, "original_width": 99}])])
    with pytest.raises(ValueError, match="all regions of an image must state one size"):
        read_annotations(file)


def test_regions_on_several_images_of_one_task(tmp_path: Path) -> None:
    """Two images side by side: the export does not say which file is which."""
    point = region("keypoint", "road", {"x": 1, "y": 1})
    one = task("a.jpg", [point, {**point, "to_name": "after"}])
    one["data"]["later"] = "b.jpg"
    with pytest.raises(
        ValueError, match=r"must be on one image, got regions on 'after', 'image' in the task of 'a\.jpg'"
    ):
        read_annotations(write(tmp_path / "a.json", [one]))
    one["annotations"][0]["result"].pop()
    assert read_annotations(write(tmp_path / "a.json", [one]))["a.jpg"][0, 0] == 0


@pytest.mark.parametrize("named", [{}, {"labels": ["road"]}])
def test_regions_of_json_min_without_a_kind(tmp_path: Path, named: dict[str, Any]) -> None:
    """Left out, their marks would be missing."""
    entry = {"points": [[0, 0], [50, 0], [50, 50]], "original_width": 16, "original_height": 12, **named}
    file = {"image": "a.jpg", "id": 1, "tag": [entry], "annotation_id": 5}
    with pytest.raises(ValueError, match=r"a region of JSON-MIN must have labels of its kind, .* or export JSON"):
        read_annotations(write(tmp_path / "a.json", [file]))
    file["tag"] = [{**entry, "polygonlabels": ["road"]}, {**entry, "choices": ["wet"]}]
    assert read_annotations(write(tmp_path / "a.json", [file]))["a.jpg"][0, 4] == 0


def test_several_annotations_of_a_task_in_json_min(tmp_path: Path) -> None:
    entries = [{"image": "a.jpg", "id": 7, "tag": [], "annotation_id": number} for number in (1, 2)]
    with pytest.raises(ValueError, match=r"got several of 1 tasks, such as that with the id 7, .* export JSON"):
        read_annotations(write(tmp_path / "a.json", entries))


@pytest.mark.parametrize("options", [{"width": 0}, {"radius": -1}, {"boxes": "keep"}])
def test_options(tmp_path: Path, options: dict[str, Any]) -> None:
    file = write(tmp_path / "a.json", labelme([]))
    with pytest.raises(ValueError, match=f"read_annotations: {next(iter(options))} must be"):
        read_annotations(file, **options)
