"""Which image each line of a list names: that one, or an error, and never another."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from closedform_wsss import io
from closedform_wsss.cli import main
from closedform_wsss.cli.common.image_list import ImageList, read_image_list

ACCENT = unicodedata.normalize("NFC", "café")


def read(tmp_path: Path, text: str | bytes, *known: str, beside: tuple[str, ...] = ()) -> ImageList:
    file = tmp_path / "list.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_image_list("--list", file, "GT", known, beside)


@pytest.mark.parametrize(
    ("text", "known", "named"),
    [
        # Names with what might separate columns.
        ("scan (2).png", ["scan", "scan (2)"], ["scan (2)"]),
        ("scan (2)", ["scan", "scan (2)"], ["scan (2)"]),
        ("scan 2", ["scan", "scan 2"], ["scan 2"]),
        ("scan, old.png", ["scan", "scan, old"], ["scan, old"]),
        ("scan (2).png\t1", ["scan", "scan (2)"], ["scan (2)"]),
        ("my scans/scan (2).png", ["scan", "scan (2)"], ["scan (2)"]),
        (" a", [" a", "a"], [" a"]),
        ("  a  ", ["a"], ["a"]),
        ("photos/a.HEIC", ["a"], ["a"]),  # converted since
        # Columns, as data sets have them.
        ("2007_000033  1", ["2007_000033"], ["2007_000033"]),
        ("2007_000033 1 4 0.5", ["2007_000033"], ["2007_000033"]),
        ("JPEGImages/a.jpg SegmentationClass/a.png", ["a", "b"], ["a"]),
        ("images/a.jpg masks/a_mask.png", ["a_mask", "b_mask"], ["a_mask"]),
        ("a.jpg tumour", ["a"], ["a"]),
        ("0 x/a.jpg\n1 x/b.jpg", ["a", "b"], ["a", "b"]),
        ("cat,a.png\ndog,b", ["a", "b"], ["a", "b"]),
        ("0, a.png, cat", ["a", "b"], ["a"]),
        ("0,a.png,cat\n1,b.png,dog", ["a", "b"], ["a", "b"]),
        ("a;1\nb;0", ["a", "b"], ["a", "b"]),
        ('0\t"a b.png"', ["a b"], ["a b"]),
        # Paths, suffixes and dots.
        ("JPEGImages\\a.jpg\nC:\\VOC 2012\\b.PNG", ["a", "b"], ["a", "b"]),
        ("./a\n/data/VOC 2012/b.npy", ["a", "b"], ["a", "b"]),
        ("a.b.png", ["a", "a.b"], ["a.b"]),
        ("scan.2", ["scan", "scan.2"], ["scan.2"]),
        ("a.jpg.png", ["a", "a.jpg"], ["a.jpg"]),
        # What text files begin and end with.
        (b"\xef\xbb\xbfa\r\n\r\nb\r\n", ["a", "b"], ["a", "b"]),
        ("a\nb\n".encode("utf-16"), ["a", "b"], ["a", "b"]),
        ("# train\n#a\nb", ["a", "b"], ["b"]),
        ("# a.png\nb", ["a", "b"], ["b"]),
        ("#1", ["#1", "1"], ["#1"]),
        (unicodedata.normalize("NFD", ACCENT), [ACCENT], [ACCENT]),
    ],
)
def test_what_a_line_names(tmp_path: Path, text: str | bytes, known: list[str], named: list[str]) -> None:
    assert read(tmp_path, text, *known) == ImageList(named, [])


@pytest.mark.parametrize(
    ("text", "known", "message"),
    [
        # Never the image whose name begins the line.
        ("scan (2).png", ["scan"], "got scan (2).png in line 1 of {}; the nearest are scan"),
        ("scan (2)", ["scan"], "got scan (2) in line 1"),
        ("scan copy", ["scan"], "got scan copy in line 1"),
        ("my scan.png", ["scan"], "got my scan.png in line 1"),
        ("images/my scan.png", ["scan"], "got images/my scan.png in line 1 of {}; the nearest are scan"),
        ("scan, old.png", ["scan"], "got scan, old.png in line 1"),
        ("old, scan.png", ["scan"], "got old, scan.png in line 1"),
        ("a\nscan (3).png\nq\n", ["a", "scan", "scan (2)"], "got scan (3).png in line 2 of {}, and 1 more lines"),
        ("scan 2", ["scan", "other scan"], "names of files hold spaces, so columns must be separated by tabs"),
        ("scan.3", ["scan", "scan.2"], "got scan.3 in line 1 of {}; the nearest are scan, scan.2"),
        ("A.PNG", ["a"], "got A.PNG in line 1 of {}; the nearest are a"),
        ("file,label\na,1", ["a"], "got file,label in line 1"),
        ("a/", ["a"], "got a/ in line 1"),
        ("", ["a"], "got no name in {}"),
        ("# only this\n", ["a"], "got no name in {}"),
    ],
)
def test_unknown_names(tmp_path: Path, text: str, known: list[str], message: str) -> None:
    with pytest.raises(ValueError) as error:
        read(tmp_path, text, *known)
    assert str(error.value).startswith("--list must name images in GT, ")
    assert message.format(tmp_path / "list.txt") in str(error.value)


def test_a_space_in_names_beside_separates_nothing_either(tmp_path: Path) -> None:
    assert read(tmp_path, "scan 2", "scan").stems == ["scan"]
    with pytest.raises(ValueError, match="got scan 2 in line 1"):
        read(tmp_path, "scan 2", "scan", beside=("scan", "scan 2"))


@pytest.mark.parametrize("text", ["a,b", "a b", "x/a.jpg y/b.png", "a\tb", "images/a.jpg,masks/b.png"])
def test_lines_that_name_two_images(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"one image in each line, got 2, a and b, in line 2 of .*: " + text):
        read(tmp_path, f"a\n{text}\n", "a", "b")


def test_a_name_with_and_without_its_suffix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"got 2, a and a.png, in line 1"):
        read(tmp_path, "a.png", "a", "a.png")


def test_repeated_names_and_absent_classes_are_warned_of(tmp_path: Path) -> None:
    found = read(tmp_path, "b\na.png\nb.jpg\nx/b\n", "a", "b")
    assert found.stems == ["a", "b"]
    assert found.warnings == ["--list names images more than once, 1 of them, such as b: each counts once"]
    found = read(tmp_path, "a -1\nb  1\nc,-1\n", "a", "b", "c")
    assert found.stems == ["a", "b", "c"]
    (warning,) = found.warnings
    assert "lines that end in -1, 2 of them" in warning and "these images are measured too" in warning
    assert read(tmp_path, "a -1\n", "a -1", "a") == ImageList(["a -1"], [])


@pytest.mark.parametrize(("data", "message"), [(b"a\n\xff", "invalid"), ("a\nb".encode("utf-16-le"), "zero bytes")])
def test_files_in_another_encoding(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=f"--list must be a text file in UTF-8, got .*{message}"):
        read(tmp_path, data, "a")


def test_the_named_image_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = np.zeros((10, 12), np.uint8)
    truth[2:5] = 1
    for folder in ("gt", "pred"):
        (tmp_path / folder).mkdir()
        io.write_label_png(tmp_path / folder / "scan.png", truth)
        io.write_label_png(tmp_path / folder / "scan (2).png", truth if folder == "gt" else 1 - truth)
    # Of 84 pixels of class 0 and 36 of class 1, all are right in one image and all are wrong in the other.
    both = (84 / (168 + 36) + 36 / (72 + 84)) / 2
    for text, mean_iou in (("scan (2).png\n", 0.0), ("scan.png\nscan (2).png\n", both), ("scan\n", 1.0)):
        (tmp_path / "list.txt").write_text(text)
        folders = [str(tmp_path / "pred"), str(tmp_path / "gt")]
        assert main(["eval", *folders, "--list", str(tmp_path / "list.txt")]) == 0
        assert f"mean IoU        {mean_iou:.4f} over 2 classes" in capsys.readouterr().out
