"""Lines of ScribbleSup's XML files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.scribblesup import annotation

from closedform_wsss import io


def read_xml(tmp_path: Path, text: str, **options: object) -> np.ndarray:
    (tmp_path / "a.xml").write_text(text)
    return io.read_scribblesup_xml(tmp_path / "a.xml", **options)


def test_scribblesup_lines(tmp_path: Path) -> None:
    text = annotation(("background", [(1, 1), (8, 1), (8, 5)]), ("plant", [(2, 6)]))
    marks = read_xml(tmp_path, text, width=1)
    want = np.full((8, 12), 255)
    want[1, 1:9] = want[1:6, 8] = 0
    want[6, 2] = 16
    np.testing.assert_array_equal(marks, want)
    wide = read_xml(tmp_path, text)
    assert (wide[:3, 2:8] == 0).all() and (wide[6, 1:4] == 16).all()


def test_scribblesup_refuses_boxes(tmp_path: Path) -> None:
    boxes = (
        "<annotation><size><width>9</width><height>7</height></size><object><name>cat</name><bndbox><xmin>1</xmin>"
        "<ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object></annotation>"
    )
    (tmp_path / "a.xml").write_text(boxes)
    with pytest.raises(ValueError, match="must hold polygons, got objects with bounding boxes only in"):
        io.read_marks(tmp_path / "a.xml")
    (tmp_path / "a.xml").write_text(boxes.replace("object>", "other>"))
    assert (io.read_marks(tmp_path / "a.xml") == 255).all()


def test_scribblesup_later_lines_cover_earlier_ones_and_leave_the_image(tmp_path: Path) -> None:
    text = annotation(("a", [(-5, 3), (30, 3)]), ("b", [(4, 0), (4, 7)]))
    marks = read_xml(tmp_path, text, width=1, class_names=["a", "b"])
    assert (marks[:, 4] == 1).all() and (np.delete(marks[3], 4) == 0).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (annotation(("unicorn", [(1, 1)])), "tag must be one of .* got 'unicorn'"),
        (annotation(("cat", [("one", 1)])), "X must be a number"),
        (annotation(("cat", [("nan", 1)])), "X must be a number"),
        (annotation(size="<width>12</width>"), "size/height must be a number"),
        (annotation(size="<width>0</width><height>8</height>"), "size must be that of an image"),
        (annotation(size="<width>99999</width><height>99999</height>"), "size must be that of an image"),
        ("<annotation>", "must hold XML"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><annotation/>', "document type declaration"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', "document type declaration"),
    ],
)
def test_scribblesup_errors(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"read_scribblesup_xml: .*{message}"):
        read_xml(tmp_path, text)
