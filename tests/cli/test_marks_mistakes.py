"""``closedform-wsss marks``: mistakes of users, and images that have the same names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.exports import coco, cvat, cvat_image, labelme, region, shape, task, write
from helpers.marks_command import POINT, data, image, results

from closedform_wsss.cli import main

__all__ = ["data"]  # a fixture


def empty(path: Path) -> list[str]:
    path.mkdir()
    return [str(path)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda root: [str(root / "nowhere.json")], "nowhere.json: No such file or directory"),
        (lambda root: empty(root / "e"), "EXPORT must hold files of marks .JSON, XML or pictures., got 0 other files"),
        (
            lambda root: [str(write(root / "n" / "a.txt", "x").parent)],
            "EXPORT must hold files of marks .* got 1 other files",
        ),
        (lambda root: [str(write(root / "a.xml", cvat()))], "EXPORT must hold marks of images, got CVAT for images"),
        (lambda root: [str(write(root / "a.json", "{"))], "must hold annotations, got .*a.json' .not whole JSON"),
        (lambda root: [str(write(root / "a.zip", "PK"))], "got the archive .*a.zip': unpack it first"),
        (lambda root: [str(root / "data"), "--names", "road"], "classes must name every class .* none for 'car'"),
        (lambda root: [str(root / "data"), "--names", "road,car:1"], "--names must be names, or names that all have a"),
        (lambda root: [str(root / "data"), "--names", ","], "--names must be names"),
        (lambda root: [str(root / "data"), "--names", "a:1,a:2"], "--names must give 'a' one number, got 1 and 2"),
        (lambda root: [str(root / "data"), "--names", "names.txt"], "names.txt: No such file or directory"),
        (lambda root: [str(root / "data"), "--unmarked", "0"], "--unmarked goes with pictures of marks"),
        (lambda root: [str(root / "data"), "--remap", "0:1"], "--remap goes with pictures of marks"),
        (lambda root: [str(root / "data"), "--colors", "ff0000"], "--colors goes with pictures of marks"),
        (lambda root: [str(root / "data"), "--remap", "0"], "--remap must be pairs such as 0:255,1:0"),
        (
            lambda root: [str(root / "data"), "--colors", "red"],
            "--colors must be colours such as 000000,ff0000.* or a file",
        ),
        (lambda root: [str(root / "data"), "--radius", "-1"], "radius must be a finite number >= 0, got -1.0"),
        (lambda root: [str(root / "data"), "--pattern", "x.json"], "--pattern must have one {stem}, as in"),
        (lambda root: [str(root / "data"), "--pattern", "{stem}.txt"], "of which none fits --pattern {stem}.txt"),
        (
            lambda root: [str(root / "data"), "--pattern", "{stem}.*"],
            "--pattern must fit files of one kind, got a.json",
        ),
        (lambda root: [str(root / "data" / "a.json"), "--pattern", "{stem}"], "--pattern goes with a folder of files"),
        (lambda root: [str(root / "data"), "--images", str(root / "data" / "a.jpg")], "--images must be a folder"),
        (
            lambda root: [str(root / "data"), "--images", str(image(root / "i" / "z.png").parent)],
            "--images must hold the images of EXPORT, such as a.jpg, got z.png in",
        ),
    ],
)
def test_mistakes(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments, message: str) -> None:
    assert main(["marks", *arguments(tmp_path), "-o", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("closedform-wsss marks: ")
    assert re.search(message, line)
    assert not (tmp_path / "out").exists()


def test_mixed_folders(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(data / "z.xml", "<annotation><size><width>16</width><height>12</height></size></annotation>")
    assert main(["marks", str(data), "-o", str(tmp_path / "out")]) == 2
    assert "marks of one kind, got z.xml and a.json" in capsys.readouterr().err
    assert main(["marks", str(data), "-o", str(tmp_path / "out"), "--pattern", "{stem}.json"]) == 0


def test_images_with_one_name(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image(data / "sub" / "a.jpg")
    write(data / "sub" / "a.json", labelme([POINT], "a.jpg"))
    assert main(["marks", str(data), "-o", str(tmp_path / "out")]) == 0  # the folders tell them apart
    found = results(tmp_path / "out")
    assert (found["a.png"].min(), found["sub/a.png"].min()) == (1, 0)


def test_names_that_fit_several_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("x/a.jpg", "y/a.jpg", "y/b.png", "y/c.jpg", "c.png"):
        image(tmp_path / "images" / name)
    shapes = '<points label="car" points="3,3"/>'
    names = ("a.jpg", "day/y/a.jpg", "q/b.jpg", "c.jpg", "c.png")
    export = write(tmp_path / "a.xml", cvat(*(cvat_image(name, shapes) for name in names)))
    out = tmp_path / "out"
    assert main(["marks", str(export), "--images", str(tmp_path / "images"), "-o", str(out)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("a.jpg: 'a.jpg' must be one image in ")
    assert "got x/a.jpg, y/a.jpg: name it with its folder" in line
    assert list(results(out)) == ["c.png", "y/a.png", "y/b.png", "y/c.png"]
    export = write(tmp_path / "b.xml", cvat(cvat_image("a.jpg", shapes), cvat_image("a.png", shapes)))
    assert main(["marks", str(export), "-o", str(tmp_path / "o")]) == 1
    assert "a.png: images must have different names apart from the suffix, got a.jpg too" in capsys.readouterr().err


@pytest.mark.parametrize("folders", [("", ""), ("img/", "masks/")])
def test_the_whole_name_fits_before_a_name_with_one_more_suffix(tmp_path: Path, folders: tuple[str, str]) -> None:
    for name in (f"{folders[0]}a.jpg", f"{folders[1]}a.jpg.png"):
        image(tmp_path / "images" / name)
    export = write(tmp_path / "a.xml", cvat(cvat_image("a.jpg", '<points label="car" points="3,3"/>')))
    assert main(["marks", str(export), "--images", str(tmp_path / "images"), "-o", str(tmp_path / "out")]) == 0
    assert list(results(tmp_path / "out")) == [f"{folders[0]}a.png"]


def test_an_export_in_a_folder_with_its_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What CVAT packs for COCO, and two tasks of CVAT with the same names of images."""
    root = tmp_path / "coco"
    write(root / "annotations" / "instances_default.json", coco([{"segmentation": [[1, 1, 9, 1, 9, 9]]}]))
    assert main(["marks", str(root), "-o", str(tmp_path / "o1")]) == 0
    assert list(results(tmp_path / "o1")) == ["a.png"]
    image(root / "images" / "default" / "a.jpg")
    assert main(["marks", str(root), "-o", str(tmp_path / "o2")]) == 0
    assert list(results(tmp_path / "o2")) == ["images/default/a.png"]
    for number, label in enumerate(("car", "road")):
        task_folder = tmp_path / "tasks" / f"task{number}"
        shapes = f'<points label="{label}" points="3,3"/>'
        write(task_folder / "annotations.xml", cvat(cvat_image("frame.jpg", shapes), labels=("car", "road")))
        image(task_folder / "images" / "frame.jpg")
    assert main(["marks", str(tmp_path / "tasks"), "-o", str(tmp_path / "o3")]) == 0
    found = {name: int(marks.min()) for name, marks in results(tmp_path / "o3").items()}
    assert found == {"task0/images/frame.png": 0, "task1/images/frame.png": 1}
    assert capsys.readouterr().err == ""


def test_a_run_without_any_result_does_not_hold_its_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("x/a.jpg", "y/a.jpg"):
        image(tmp_path / "images" / name)
    export = write(tmp_path / "a.xml", cvat(cvat_image("a.jpg", '<points label="car" points="3,3"/>')))
    command = ["marks", str(export), "-o", str(tmp_path / "out"), "--quiet", "--images"]
    assert main([*command, str(tmp_path / "images")]) == 1
    assert not (tmp_path / "out/marks.json").exists()
    assert main([*command, str(tmp_path / "images/x"), "--radius", "1"]) == 0
    assert "one image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stored", "said", "fits"),
    [
        ("0a1b2c3d-a.jpg", "a.jpg", True),  # a file that Label Studio named, and an export without its prefix
        ("a.jpg", "0a1b2c3d-a.jpg", True),
        ("a.jpg", "images/0a1b2c3d-a.png", True),
        ("a_0000.png", "a.png", True),  # nnU-Net
        ("0a1b2c3d-b.jpg", "a.jpg", False),
        ("a_0001.png", "a.png", False),
    ],
)
def test_images_under_longer_names(tmp_path: Path, stored: str, said: str, fits: bool) -> None:
    image(tmp_path / "images" / stored)
    export = write(tmp_path / "a.xml", cvat(cvat_image(said, '<points label="car" points="3,3"/>')))
    command = ["marks", str(export), "--images", str(tmp_path / "images"), "-o", str(tmp_path / "out"), "--quiet"]
    assert main(command) == (0 if fits else 2)
    if fits:
        assert list(results(tmp_path / "out")) == [f"{Path(stored).stem}.png"]


def test_the_exact_name_comes_first(tmp_path: Path) -> None:
    for name in ("a.jpg", "0a1b2c3d-a.jpg", "a_0000.jpg"):
        image(tmp_path / "images" / name)
    shapes = '<points label="car" points="3,3"/>'
    export = write(tmp_path / "a.xml", cvat(*(cvat_image(name, shapes) for name in ("a.jpg", "0a1b2c3d-a.jpg"))))
    assert main(["marks", str(export), "--images", str(tmp_path / "images"), "-o", str(tmp_path / "out")]) == 0
    assert list(results(tmp_path / "out")) == ["0a1b2c3d-a.png", "a.png"]


RECTANGLES = {
    "cvat": lambda folder: write(
        folder / "a.xml",
        cvat(
            cvat_image(
                "a.jpg",
                '<points label="car" points="3,3"/><box label="plate" xtl="1" ytl="1" xbr="9" ybr="9"/>'
                '<box label="car" xtl="1" ytl="1" xbr="9" ybr="9"/>',
            )
        ),
    ),
    "labelme": lambda folder: write(
        folder / "a.json",
        labelme([POINT, *(shape(name, "rectangle", [[1, 1], [9, 9]]) for name in ("plate", "car"))], "a.jpg"),
    ),
    "label studio": lambda folder: write(
        folder / "a.json",
        [
            task(
                "a.jpg",
                [
                    region("keypoint", "car", {"x": 30, "y": 30}),
                    *(
                        region("rectangle", name, {"x": 10, "y": 10, "width": 50, "height": 50})
                        for name in ("plate", "car")
                    ),
                ],
            )
        ],
    ),
    "coco": lambda folder: write(
        folder / "a.json",
        coco(
            [
                {"segmentation": [[1, 1, 5, 1, 5, 5]]},
                {"bbox": [1, 1, 8, 8], "category_id": 7},
                {"bbox": [1, 1, 8, 8]},
            ],
            names=("car", "plate"),
        ),
    ),
}


@pytest.mark.parametrize("tool", RECTANGLES)
def test_rectangles_that_are_left_out_need_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tool: str
) -> None:
    export = RECTANGLES[tool](tmp_path)
    command = ["marks", str(export), "--names", "background,car", "-o", str(tmp_path / "out")]
    assert main([*command, "--boxes", "skip"]) == 0
    assert "left out: 2 rectangles (1 of car, 1 of plate)" in capsys.readouterr().out
    assert results(tmp_path / "out")["a.png"].unique().tolist() == [1, 255]
    assert main([*command, "--boxes", "fill"]) == 2
    assert "none for 'plate'" in capsys.readouterr().err
    assert main([*command[:-1], str(tmp_path / "all"), "--boxes", "fill", "--names", "background,car,plate"]) == 0
    assert "left out" not in capsys.readouterr().out


def test_subsets_of_a_project_tell_equal_names_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def element(subset: str, name: str, label: str) -> str:
        shapes = f'<points label="{label}" points="3,3"/>'
        return cvat_image(name, shapes).replace("<image ", f'<image subset="{subset}" ')

    both = [element("train", "a.jpg", "car"), element("val", "a.jpg", "road"), element("val", "b.jpg", "car")]
    export = write(tmp_path / "annotations.xml", cvat(*both, labels=("car", "road")))
    for name in ("train/a.jpg", "val/a.jpg", "val/b.jpg"):
        image(tmp_path / "images" / name)
    command = ["marks", str(export), "--images", str(tmp_path / "images"), "-o", str(tmp_path / "out")]
    assert main(command) == 0
    found = {name: int(marks.min()) for name, marks in results(tmp_path / "out").items()}
    assert found == {"train/a.png": 0, "val/a.png": 1, "val/b.png": 0}
    write(export, cvat(*both, element("val", "a.jpg", "car")))
    assert main([*command, "--overwrite"]) == 2
    assert "got 'val/a.jpg' twice" in (said := capsys.readouterr().err) and "export each task alone" in said
