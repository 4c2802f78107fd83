"""``closedform-wsss marks`` over pictures: strokes on copies, label maps, and the XML files of ScribbleSup."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.exports import write
from helpers.marks_command import data, image, results
from helpers.pictures import save
from PIL import Image

from closedform_wsss.cli import main
from closedform_wsss.io import read_marks

__all__ = ["data"]  # a fixture


def test_strokes_on_a_copy_that_is_turned_as_its_image(tmp_path: Path) -> None:
    """An editor keeps the orientation of the photograph; both are taken as they are stored."""
    path = image(tmp_path / "images" / "a.png", 12, 16, 6)
    pixels = np.asarray(Image.open(path)).copy()
    pixels[2:5, 2:12], pixels[8:11, 2:12] = 0, 255
    exif = Image.Exif()
    exif[0x0112] = 6
    copy = tmp_path / "copies" / "a.png"
    copy.parent.mkdir()
    Image.fromarray(pixels).save(copy, exif=exif)
    command = ["marks", str(copy), "--images", str(path.parent), "--orientation", "ignore", "--quiet"]
    assert main([*command, "-o", str(tmp_path / "out")]) == 0
    marks = results(tmp_path / "out")["a.png"]
    assert marks.shape == (12, 16) and marks[[3, 9, 6], 6].tolist() == [0, 1, 255]


def strokes(path: Path, photo: Path, *colors: tuple[int, int, int]) -> None:
    pixels = np.array(Image.open(photo).convert("RGB"))
    for number, color in enumerate(colors):
        pixels[1 + 4 * number : 4 + 4 * number, 1:15] = color
    save(path, pixels)


def test_copies_with_strokes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (image(tmp_path / "images" / name) for name in ("a.png", "b.png"))
    (tmp_path / "drawn").mkdir()
    strokes(tmp_path / "drawn" / "a_mask.png", a, (0, 0, 255), (255, 0, 0))
    strokes(tmp_path / "drawn" / "b_mask.png", b, (255, 0, 0))
    save(tmp_path / "drawn" / "other.png", np.zeros((3, 3, 3), np.uint8))
    command = ["marks", str(tmp_path / "drawn"), "--images", str(tmp_path / "images"), "-o", str(tmp_path / "out")]
    assert main([*command, "--colors", "0000ff,ff0000"]) == 2
    assert "such as a_mask, got a.png, b.png in" in capsys.readouterr().err
    command += ["--pattern", "{stem}_mask.png"]
    assert main(command) == 1
    assert capsys.readouterr().err.count("--colors must be given for a folder of strokes") == 2
    (tmp_path / "colors.txt").write_text("sky:0,0,255::\nroad:255,0,0::\n")
    assert main([*command, "--colors", str(tmp_path / "colors.txt"), "--overwrite"]) == 0
    found = results(tmp_path / "out")
    assert {name: sorted(marks.unique().tolist()) for name, marks in found.items()} == {
        "a.png": [0, 1, 255],
        "b.png": [1, 255],
    }
    assert (tmp_path / "out" / "classes.txt").read_text() == "sky\nroad\n"


def test_label_maps_in_colour(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CVAT's export "Segmentation mask"."""
    export = tmp_path / "export"
    export.mkdir()
    image(export / "JPEGImages" / "a.jpg")
    labels = np.zeros((12, 16), int)
    labels[2:5, 3:9] = 2
    colors = np.array([[0, 0, 0], [250, 50, 83], [50, 183, 250]], np.uint8)
    (export / "SegmentationClass").mkdir()
    save(export / "SegmentationClass" / "a.png", colors[labels])
    (export / "labelmap.txt").write_text("".join(f"c{n}:{r},{g},{b}::\n" for n, (r, g, b) in enumerate(colors)))
    assert main(["marks", str(export), "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    words = said[said.index("pass ") + 5 : said.index(", and --unmarked")].split()
    assert main(["marks", *words, "-o", str(tmp_path / "out")]) == 0
    assert results(tmp_path / "out")["a.png"].tolist() == labels.tolist()
    assert "no pixel is unmarked: if 0, the most frequent class, means unmarked" in capsys.readouterr().err
    options = ["--unmarked", "0", "--overwrite", "--images", str(export / "JPEGImages")]
    assert main(["marks", *words, "-o", str(tmp_path / "out"), *options]) == 0
    assert results(tmp_path / "out")["a.png"].tolist() == np.where(labels == 0, 255, labels).tolist()


def test_label_maps_in_colour_of_which_a_colour_is_not_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the image nobody knows whether they are a copy of it."""
    colors = np.zeros((12, 16, 3), np.uint8)
    colors[2:5, 3:9], colors[8, 3:9] = (255, 0, 0), (0, 255, 0)
    (tmp_path / "maps").mkdir()
    save(tmp_path / "maps" / "a.png", colors)
    command = ["marks", str(tmp_path / "maps"), "-o", str(tmp_path / "out"), "--colors", "000000,ff0000"]
    assert main(command) == 1
    said = f"got none for {tmp_path / 'maps' / 'a.png'}; if this is a label map in colour, --colors lacks some of its"
    assert f"a: --images must hold the image that strokes were drawn on, {said}" in capsys.readouterr().err
    assert main([*command, "--kind", "labels"]) == 1
    assert "colours of the given palette, got the colour (0, 255, 0) at x=3, y=8" in capsys.readouterr().err


def test_photographs_beside_their_label_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image(tmp_path / "data" / "a.jpg")
    save(tmp_path / "data" / "a.png", np.repeat([[255, 0, 1, 255]], 12, axis=0).repeat(4, axis=1).astype(np.uint8))
    command = ["marks", str(tmp_path / "data"), "-o", str(tmp_path / "out")]
    assert main(command) == 2
    said = f"one file of marks for each image, got a.jpg and a.png in {tmp_path / 'data'}: --pattern chooses files, as"
    assert capsys.readouterr().err == f"closedform-wsss marks: EXPORT must hold {said} in --pattern '{{stem}}.png'\n"
    assert not (tmp_path / "out").exists()
    assert main([*command, "--pattern", "{stem}.png", "--quiet"]) == 0
    assert list(results(tmp_path / "out")) == ["a.png"] and capsys.readouterr().err == ""


def test_label_maps_with_other_codes(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 2, 7]] * 3, np.uint8)
    (tmp_path / "maps").mkdir()
    (tmp_path / "colors").mkdir()
    for name in ("a.png", "b.png"):
        save(tmp_path / "maps" / name, labels)
    (tmp_path / "codes.txt").write_text("0:255\n1:0\n\n2:1\n")
    for number, remap in enumerate((str(tmp_path / "codes.txt"), "0:255,1:0,2:1")):
        out = tmp_path / f"out{number}"
        assert main(["marks", str(tmp_path / "maps"), "-o", str(out), "--kind", "labels", "--remap", remap]) == 0
        assert results(out)["b.png"].tolist() == [[255, 0, 1, 7]] * 3


@pytest.mark.parametrize(("options", "warns"), [(["--remap", "reduce_zero"], 1), (["--unmarked", "4"], 0)])
def test_a_value_of_unmarked_pixels_that_became_a_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], warns: int
) -> None:
    labels = np.full((20, 20), 4, np.uint8)
    labels[3, 4:9], labels[9, 3:7] = 0, 1
    (tmp_path / "maps").mkdir()
    save(tmp_path / "maps" / "a.png", labels)
    command = ["marks", str(tmp_path / "maps"), "-o", str(tmp_path / "out"), "--kind", "labels", *options]
    assert main(command) == 0
    assert capsys.readouterr().err.count("97.8% of the pixels are marks of class 3: if it means unmarked") == warns


def test_scribblesup(tmp_path: Path) -> None:
    text = (
        "<annotation><size><width>16</width><height>12</height></size><polygon><tag>cat</tag>"
        "<point><X>1</X><Y>4</Y></point><point><X>13</X><Y>4</Y></point></polygon></annotation>"
    )
    write(tmp_path / "xml" / "2007.xml", text)
    assert main(["marks", str(tmp_path / "xml"), "-o", str(tmp_path / "out"), "--names", "voc"]) == 0
    assert torch.equal(results(tmp_path / "out")["2007.png"], read_marks(tmp_path / "xml" / "2007.xml"))
    assert main(["marks", str(tmp_path / "xml" / "2007.xml"), "-o", str(tmp_path / "one")]) == 0
    assert list(results(tmp_path / "one")) == ["2007.png"]


@pytest.mark.parametrize(("names", "number"), [("sky,cat", 1), ("sky:0,cat:5", 5), ("sky:3,cat:255", 255)])
def test_names_and_width_of_scribblesup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: str, number: int
) -> None:
    text = (
        "<annotation><size><width>16</width><height>12</height></size><polygon><tag>cat</tag>"
        "<point><X>1</X><Y>4</Y></point><point><X>13</X><Y>4</Y></point></polygon></annotation>"
    )
    write(tmp_path / "xml" / "a.xml", text)
    command = ["marks", str(tmp_path / "xml"), "-o", str(tmp_path / "out"), "--names"]
    assert main([*command, names, "--width", "1"]) == 0
    expected = np.full((12, 16), 255)
    expected[4, 1:14] = number
    assert results(tmp_path / "out")["a.png"].tolist() == expected.tolist()
    capsys.readouterr()
    assert main([*command, "sky,dog", "--overwrite"]) == 1
    assert "a: read_scribblesup_xml: tag must be one of sky, dog, got 'cat' in" in capsys.readouterr().err
    assert main([*command, "sky,cat", "--overwrite", "--unmarked", "0"]) == 2
    assert "--unmarked goes with pictures of marks, got it for ScribbleSup" in capsys.readouterr().err
    image(tmp_path / "images" / "a.png", 20, 30)
    assert main([*command, "sky,cat", "--overwrite", "--images", str(tmp_path / "images")]) == 1
    assert (
        "a: read_scribblesup_xml: marks must have the size of image (H, W) = (20, 30), got (12, 16)"
        in capsys.readouterr().err
    )
