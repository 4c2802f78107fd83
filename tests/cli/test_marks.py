"""``closedform-wsss marks``: whole runs over exports and pictures, and mistakes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.exports import coco, cvat, cvat_image, labelme, region, shape, task, write
from helpers.marks_command import LINE, POINT, data, image, results
from helpers.pictures import save
from PIL import Image

from closedform_wsss.cli import main
from closedform_wsss.cli.common.pattern import name_of_image, stem_pattern
from closedform_wsss.io import read_annotations, read_marks

__all__ = ["data"]  # a fixture


def test_labelme(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["marks", str(data), "-o", str(out)]) == 0
    found = results(out)
    assert list(found) == ["a.png", "sub/b é.png"]
    expected = read_annotations([data / "a.json", data / "sub" / "b é.json"])
    assert torch.equal(found["a.png"], expected["a.jpg"])
    assert torch.equal(found["sub/b é.png"], expected["sub/b é.png"])
    assert torch.equal(read_marks(out / "marks" / "a.png"), found["a.png"])
    assert (out / "classes.txt").read_text("utf-8") == "car\nroad\n"
    said = capsys.readouterr()
    lines = [line.split() for line in said.out.splitlines()]
    assert said.out.startswith("labelme, 2 images; numbers of classes: the order of their names\n")
    car, road = (int((torch.cat([*found.values()]) == label).sum()) for label in (0, 1))
    assert lines[2] == ["0", "car", str(car), f"{car / (car + road):.2%}", "1"]
    assert lines[3] == ["1", "road", str(road), f"{road / (car + road):.2%}", "1"]
    assert lines[4] == f"marked: {(car + road) / 384:.3%} of 384 pixels".split()
    assert said.out.splitlines()[-1] == f"wrote {out / 'sheet.png'}: look whether the marks fit the images"
    assert said.err == ""


def test_the_sheet_shows_images_and_marks(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["marks", str(data), "-o", str(out), "--names", "x,car,road", "--quiet"]) == 0
    sheet = np.asarray(Image.open(out / "sheet.png").convert("RGB"))
    colors = {tuple(color) for color in np.unique(sheet.reshape(-1, 3), axis=0).tolist()}
    assert {(128, 0, 0), (0, 128, 0)} <= colors  # the colours of classes 1 and 2
    # The first panel: the image is 400 x 300, so a pixel is 25 x 25; the line is on rows 2 to 4.
    panel = sheet[12:312, 12:412]
    assert (panel[3 * 25 + 12, 2 * 25 : 13 * 25] == (0, 128, 0)).all()
    pale = np.asarray(Image.open(data / "a.jpg").convert("RGB"))[9, 9] // 2 + 127
    assert (panel[9 * 25 + 12, 9 * 25 + 12] == pale).all()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("annotations.xml", cvat(cvat_image("a.jpg", '<polyline label="road" points="1.5,3.5;14.5,3.5"/>'))),
        (
            "tasks.json",
            [
                task(
                    "/data/upload/1/0a1b2c3d-a.jpg",
                    [region("vector", "road", {"vertices": [{"x": 9.375, "y": 29.17}, {"x": 90.625, "y": 29.17}]})],
                )
            ],
        ),
        ("a.json", labelme([LINE], "a.jpg")),
    ],
)
def test_the_same_line_in_each_tool(tmp_path: Path, name: str, content: Any) -> None:
    export = write(tmp_path / "export" / name, content)
    image(tmp_path / "images" / "deep" / "a.jpg")
    out = tmp_path / "out"
    options = ["--images", str(tmp_path / "images"), "--names", "background,road"]
    assert main(["marks", str(export), "-o", str(out), *options]) == 0
    found = results(out)
    assert list(found) == ["deep/a.png"]
    assert (found["deep/a.png"][2:5, 1:15] == 1).all()
    assert set(found["deep/a.png"].unique().tolist()) == {1, 255}


def test_coco_with_numbers_and_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = {"segmentation": [[1, 1, 9, 1, 9, 9, 1, 9]], "category_id": 3}
    export = write(tmp_path / "c.json", coco([mask, {"bbox": [2, 2, 3, 3], "category_id": 7}]))
    out = tmp_path / "out"
    assert main(["marks", str(export), "-o", str(out)]) == 2
    assert "--boxes on the command line" in capsys.readouterr().err
    assert not out.exists()
    assert main(["marks", str(export), "-o", str(out), "--boxes", "fill", "--names", "car:4,road:255"]) == 0
    marks = results(out)["a.png"]
    assert ((marks == 4).sum(), marks[3, 3]) == (64 - 9, 255)
    assert (out / "classes.txt").read_text() == "class_0\nclass_1\nclass_2\nclass_3\ncar\n"
    said = capsys.readouterr().out
    assert "left unmarked: road" in said
    assert "the marks on grey; --images adds the images" in said


def test_images_that_fail_do_not_stop_the_others(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(data / "c.json", labelme([shape("road", "polygon", [[1, 1]])], "c.jpg"))
    write(data / "d.json", labelme([LINE], "d.jpg"))
    image(data / "d.jpg", 24, 32)
    (data / "e.jpg").write_text("no image")
    write(data / "e.json", labelme([LINE], "e.jpg"))
    assert main(["marks", str(data), "-o", str(tmp_path / "out")]) == 1
    assert list(results(tmp_path / "out")) == ["a.png", "sub/b é.png"]
    said = capsys.readouterr()
    c, d, e = said.err.splitlines()
    assert c.startswith("c.jpg: read_annotations: the shapes of 'c.jpg' in ")
    assert d.startswith("d.jpg: read_annotations: the size of 'd.jpg' must be (H, W) = (12, 16)")
    assert e.startswith("e.jpg: read_image: path must be an image file") and "cannot identify" in e
    assert "failed: 3 images" in said.out


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_that_pillow_finds_too_large_fails_alone(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It refuses large scans with an exception of its own."""
    image(data / "c.jpg", 40, 60)
    write(data / "c.json", labelme([LINE], "c.jpg"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 60 // 3)
    assert main(["marks", str(data), "-o", str(tmp_path / "out"), "--quiet"]) == 1
    assert list(results(tmp_path / "out")) == ["a.png", "sub/b é.png"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("c.jpg: read_image: path must be an image file") and "cut it into tiles" in line
    (tmp_path / "colors").mkdir()
    for name in ("a.png", "b.png"):
        save(tmp_path / "colors" / name, np.full((40 if name == "a.png" else 2, 60, 3), 255, np.uint8))
    colors = ["marks", str(tmp_path / "colors"), "--colors", "000000,ffffff", "--quiet"]
    assert main([*colors, "-o", str(tmp_path / "out2")]) == 1
    assert list(results(tmp_path / "out2")) == ["b.png"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_cvat_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    text = cvat(cvat_image("a.jpg", '<polyline label="road" points="1.5,3.5;14.5,3.5"/>'))
    export = tmp_path / "annotations.xml"
    export.write_text(text.replace("utf-8", encoding.removesuffix("-sig")), encoding)
    assert main(["marks", str(export), "-o", str(tmp_path / "out"), "--quiet"]) == 0
    assert list(results(tmp_path / "out")) == ["a.png"]


def test_a_name_with_line_breaks_is_one_line_of_the_list(tmp_path: Path) -> None:
    export = write(
        tmp_path / "a.json", labelme([shape("zebra\ncrossing", "linestrip", [[1, 1], [9, 9]]), POINT], "a.jpg")
    )
    assert main(["marks", str(export), "-o", str(tmp_path / "out"), "--quiet"]) == 0
    assert (tmp_path / "out" / "classes.txt").read_text("utf-8") == "car\nzebra crossing\n"


def test_images_without_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    point = region("keypoint", "road", {"x": 50, "y": 50})
    tasks = [task("a.jpg", [point]), task("b.jpg", []), task("c.jpg", [])]
    export = write(tmp_path / "x" / "tasks.json", tasks)
    image(tmp_path / "images" / "b.jpg", 7, 9)
    out = tmp_path / "out"
    assert main(["marks", str(export), "-o", str(out), "--images", str(tmp_path / "images")]) == 0
    found = results(out)
    assert {name: tuple(marks.shape) for name, marks in found.items()} == {"a.png": (12, 16), "b.png": (7, 9)}
    assert (found["b.png"] == 255).all()
    said = capsys.readouterr()
    assert "without marks: b.jpg, c.jpg" in said.out
    assert "without image: a.jpg, c.jpg" in said.out
    assert "no label map for c.jpg: they have no marks, and EXPORT does not state their sizes" in said.err


def test_turned_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = write(tmp_path / "data" / "a.json", labelme([LINE], "a.jpg"))
    for suffix in (".jpg", ".png", ".tif"):
        for orientation, stored in ((6, (16, 12)), (3, (12, 16))):
            photo = image(tmp_path / "data" / f"a{suffix}", *stored, orientation)
            out = tmp_path / f"out{suffix}{orientation}"
            assert main(["marks", str(export.parent), "-o", str(out)]) == 0
            assert results(out)["a.png"].shape == (12, 16)
            assert f"warning: the EXIF data turns {photo.name}" in capsys.readouterr().err
            photo.unlink()
    image(tmp_path / "data" / "a.jpg", 16, 12, 6)
    assert main(["marks", str(export.parent), "-o", str(tmp_path / "o"), "--orientation", "ignore"]) == 1
    assert "got (16, 12): one of them was turned as the EXIF data says" in capsys.readouterr().err


def test_a_second_run(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = data / "out"  # in the folder that is read
    command = ["marks", str(data), "-o", str(out), "--quiet"]
    assert main(command) == main(command) == 0
    assert list(results(out)) == ["a.png", "sub/b é.png"]
    assert capsys.readouterr().out == ""
    assert main([*command, "--width", "5"]) == 2
    assert "were made with other options (width 3, now 5)" in capsys.readouterr().err
    before = (results(out)["a.png"] == 1).sum()
    assert main([*command, "--width", "5", "--overwrite"]) == 0
    assert (results(out)["a.png"] == 1).sum() > before
    record = json.loads((out / "marks.json").read_text())["marks"]
    assert (record["export"], record["width"]) == (str(data.resolve()), "5")


def test_label_maps_of_an_earlier_run_are_named(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["marks", str(data), "-o", str(tmp_path / "out"), "--names", "car,road", "--quiet"]
    assert main(command) == 0 and main(command) == 0
    assert "earlier run" not in capsys.readouterr().err
    (data / "a.json").unlink()
    assert main(command) == 0
    assert "warning: 1 label maps of an earlier run are still there, such as " in (err := capsys.readouterr().err)
    assert "a.png: --overwrite deletes them" in err
    assert main([*command, "--overwrite"]) == 0
    assert capsys.readouterr().err == "" and list(results(tmp_path / "out")) == ["sub/b é.png"]


@pytest.mark.parametrize(
    ("names", "note"),
    [
        (None, "class 0 is 'car'; no class is called background: .* put it first: --names background,car,road"),
        ("road:1,car:2", "no class is called background: .* --names background,road,car"),
        ("Background,road,car", "no pixel is marked as background: .*: draw background too"),
        ("car:1,road:2,background:255", "no class is called background"),
        ("_Background_:3,road:1,car:3", ""),
    ],
)
def test_marks_on_objects_alone(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], names: str | None, note: str
) -> None:
    options = [] if names is None else ["--names", names]
    assert main(["marks", str(data), "-o", str(tmp_path / "out"), *options]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert len(notes) == bool(note)
    assert all(re.search(note, line) for line in notes)


def test_masks_and_classes_without_a_name_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = np.zeros((8, 9), np.uint8)
    mask[2:4, 3:7] = 255
    (tmp_path / "maps").mkdir()
    save(tmp_path / "maps" / "a.png", mask)
    command = ["marks", str(tmp_path / "maps"), "-o", str(tmp_path / "out"), "--kind", "labels", "--overwrite"]
    assert main(command) == 0
    assert "warning: class 0 alone is marked: if the files are masks of 0 and 255, --remap 255:1" in (
        capsys.readouterr().err
    )
    assert main([*command, "--remap", "255:2", "--names", "background,road"]) == 0
    said = capsys.readouterr().err
    assert "warning: --names lacks classes that are marked: 2" in said and "class 0 alone" not in said


@pytest.mark.parametrize(
    ("pattern", "path", "name"),
    [
        (None, "sub/a.b_mask.png", "sub/a.b_mask"),
        ("{stem}_mask.png", "a_mask.png", "a"),
        ("{stem}_mask.png", "sub/deep/a.1_mask.png", "sub/deep/a.1"),
        ("{stem}_mask.png", "a_mask_png", None),
        ("{stem}_mask.png", "_mask.png", None),
        ("{stem}_gt*_ids.png", "x/a_gtFine_ids.png", "x/a"),
        ("m?sk_{stem}.*", "mask_a b.gif", "a b"),
        ("masks/{stem}.png", "day/masks/a.png", "day/a"),
        ("masks/{stem}.png", "day/a.png", None),
        ("masks\\{stem}.png", "masks/a.png", "a"),
        ("{stem}(1)[x].png", "a(1)[x].png", "a"),
        ("*/{stem}.png", "day/masks/a.png", "day/a"),
    ],
)
def test_patterns(pattern: str | None, path: str, name: str | None) -> None:
    assert name_of_image(path, None if pattern is None else stem_pattern(pattern)) == name


def test_what_a_killed_run_left_is_removed(data: Path, tmp_path: Path) -> None:
    command = ["marks", str(data), "-o", str(tmp_path / "out")]
    assert main(command) == 0
    folder = tmp_path / "out" / "marks" / "sub"
    mine, other = folder / ".b é.png.0a1b2c3d.tmp", folder / ".else.png.0a1b2c3d.tmp"
    for path in (mine, other):
        path.write_bytes(b"half a file")
    assert main(command) == 0
    assert not mine.exists() and other.exists()


@pytest.mark.parametrize("first", ["export", "export/out"])
@pytest.mark.parametrize("kind", ["annotations", "pictures"])
def test_results_inside_of_the_export_are_not_read(
    tmp_path: Path, kind: str, first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the same command again, and by one with another folder for its results."""
    export = tmp_path / "export"
    export.mkdir()
    image(tmp_path / "images" / "a.jpg")
    if kind == "annotations":
        write(export / "a.json", labelme([LINE], "a.jpg"))
    else:
        save(export / "a.png", np.repeat([[255, 0, 1, 255]], 12, axis=0).repeat(4, axis=1).astype(np.uint8))
    options = ["--images", str(tmp_path / "images"), *(["--kind", "labels"] if kind == "pictures" else [])]
    for out in (tmp_path / first, tmp_path / first, export / "other", tmp_path / "outside"):
        assert main(["marks", str(export), "-o", str(out), "--quiet", *options]) == 0
        assert list(results(out)) == ["a.png"]
    assert "marks.json" not in capsys.readouterr().err


def test_a_list_of_classes_of_another_program_is_kept(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """labelImg and YOLO have theirs beside the images."""
    (data / "classes.txt").write_text("cat\ndog\n")
    assert main(["marks", str(data), "-o", str(data)]) == 2
    wrong = f"-o must not hold a classes.txt of another program, got {data / 'classes.txt'}: choose another folder, or"
    assert capsys.readouterr().err == f"closedform-wsss marks: {wrong} --overwrite it\n"
    assert (data / "classes.txt").read_text() == "cat\ndog\n" and not (data / "marks").exists()
    (data / "classes.txt").write_text("car\r\nroad")  # the same
    command = ["marks", str(data), "-o", str(data), "--quiet"]
    assert main(command) == 0
    assert main([*command, "--names", "road,car", "--overwrite"]) == 0  # its own may change
    assert (data / "classes.txt").read_text() == "road\ncar\n"


@pytest.mark.parametrize("name", ["marks.json", "sheet.png"])
def test_files_of_the_user_are_kept_whatever_their_names(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """The image ``sheet.jpg`` has its annotations in ``sheet.json``; an export may be called ``marks.json``."""
    if name == "marks.json":
        write(data / name, labelme([LINE], "a.jpg"))
        (data / "a.json").unlink()
    else:
        image(data / name)
    before = (data / name).read_bytes()
    for overwrite in ((), ("--overwrite",)):
        assert main(["marks", str(data), "-o", str(data), *overwrite]) == 2
        said = f"-o must not hold a {name} of another program, got {data / name}: choose another folder\n"
        assert capsys.readouterr().err == f"closedform-wsss marks: {said}"
        assert (data / name).read_bytes() == before and not (data / "marks").exists()
    assert main(["marks", str(data), "-o", str(tmp_path / "out"), "--quiet"]) == 0
    for again in ((), ("--overwrite",)):  # its own may change
        assert main(["marks", str(data), "-o", str(tmp_path / "out"), "--quiet", *again]) == 0
