"""Tables of image tags, as people and projects write them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closedform_wsss.io import VOC_CLASSES, read_scribblesup_xml, read_tags

WANTED = {"2007_000032": (1, 15), "b.c": (3,), "none": ()}


def table(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "tags.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "2007_000032,1,15\nb.c,3\nnone\n",
        "# my tags\n\nJPEGImages/2007_000032.jpg;15;1;1\r\nb.c.png;3\r\nnone.PNG;\r\n",
        "2007_000032\t1\t15\nb.c\t3\nnone\t\n",
        "2007_000032 1 15\nb.c 3\nnone",
        "image,classes\n2007_000032,1|15\nb.c,3\nnone,\n",
        'image,classes\n"2007_000032","1 15"\n"b.c","3"\n"none",""\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_of_classes(tmp_path: Path, text: str, encoding: str) -> None:
    assert read_tags(table(tmp_path, text, encoding)) == WANTED


def test_names_of_classes(tmp_path: Path) -> None:
    text = "file,tags\n2007_000032.jpg,aeroplane,Person\nb,dining table|tv_monitor\nc,7\n"
    assert read_tags(table(tmp_path, text), VOC_CLASSES) == {"2007_000032": (1, 15), "b": (11, 20), "c": (7,)}


def test_names_with_spaces_between_them(tmp_path: Path) -> None:
    text = "a,aeroplane person\nb,dining table\nc,dining table|cat\n"
    assert read_tags(table(tmp_path, text), VOC_CLASSES) == {"a": (1, 15), "b": (11,), "c": (8, 11)}


@pytest.mark.parametrize("place", [None, 0, 1, 3])
def test_table_of_bits(tmp_path: Path, place: int | None) -> None:
    rows = [["cat", "dog", "sky"], ["0", "1", "1"], ["0", "0", "0"]]
    if place is not None:
        for row, cell in zip(rows, ("background", "1", "1"), strict=True):
            row.insert(place, cell)
    text = "".join(",".join((name, *row)) + "\n" for name, row in zip(("image", "a", "b"), rows, strict=True))
    assert read_tags(table(tmp_path, text)) == {"a": (2, 3), "b": ()}


@pytest.mark.parametrize("bits", [("True", "False"), ("TRUE", "FALSE"), ("1.0", "0.0")])
def test_bits_as_spreadsheets_and_pandas_write_them(tmp_path: Path, bits: tuple[str, str]) -> None:
    one, zero = bits
    text = f",cat,dog\na,{one},{zero}\nb,{zero},{zero}\n"
    assert read_tags(table(tmp_path, text)) == {"a": (1,), "b": ()}


@pytest.mark.parametrize("text", ["a,\nb,1\n", "a,,\nb,1,1\n", "a;\nb;1\n"])
def test_a_first_image_without_classes_is_no_line_of_names(tmp_path: Path, text: str) -> None:
    """Above lines of 0 and 1 it would be lost."""
    assert read_tags(table(tmp_path, text)) == {"a": (), "b": (1,)}


def test_names_of_files_of_every_format(tmp_path: Path) -> None:
    assert read_tags(table(tmp_path, "a.gif,1\nb.JP2,2\nc.jfif,3\nd.1,4\n")) == {
        "a": (1,),
        "b": (2,),
        "c": (3,),
        "d.1": (4,),
    }


def test_columns_of_bits_are_the_classes_that_they_name(tmp_path: Path) -> None:
    names = ("background", "dog", "potted plant", "cat")
    text = "image,cat,Dog,background,potted_plant\na,1,0,1,0\nb,0,1,1,1\n"
    assert read_tags(table(tmp_path, text), names) == {"a": (3,), "b": (1, 2)}
    assert read_tags(table(tmp_path, "image,cat\na,1\nb,0\n"), names) == {"a": (3,), "b": ()}
    assert read_tags(table(tmp_path, "image,x,y,z\na,1,0,0\nb,0,1,1\n"), names) == {"a": (1,), "b": (2, 3)}
    with pytest.raises(ValueError, match=r"the columns of '.*tags\.csv' must be among the names, got 'mouse'"):
        read_tags(table(tmp_path, "image,cat,mouse\na,1,0\nb,0,1\n"), names)
    for columns, bits in (("w,x,y,z", "1,0,0,1"), ("x,y", "1,0")):  # of which classes?
        with pytest.raises(
            ValueError, match=rf"must have a column for each of the names .* 3 columns, got {len(bits) // 2 + 1}"
        ):
            read_tags(table(tmp_path, f"image,{columns}\na,{bits}\n"), names)


def test_numbers_beyond_the_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a class must be from 1 to 20, got 21 in line 1"):
        read_tags(table(tmp_path, "a,21\n"), VOC_CLASSES)
    for count in (25, 15):  # of other classes
        np.save(tmp_path / "cls_labels.npy", {"a": np.eye(count)[3]})
        with pytest.raises(ValueError, match=rf"the background, 20 values, got {count} for 'a'$"):
            read_tags(tmp_path / "cls_labels.npy", VOC_CLASSES)


def test_json_and_vectors_of_irn(tmp_path: Path) -> None:
    path = tmp_path / "tags.json"
    path.write_text(json.dumps({"2007_000032.jpg": [15, 1], "b.c": 3, "none": []}))
    assert read_tags(path) == WANTED
    vectors = {2007000032: np.eye(20, dtype=np.float32)[0] + np.eye(20)[14], "b.c": np.eye(20)[2], "none": np.zeros(20)}
    np.save(tmp_path / "cls_labels.npy", vectors)
    assert read_tags(tmp_path / "cls_labels.npy") == WANTED


def test_vectors_with_a_value_of_the_background(tmp_path: Path) -> None:
    """Each class would be one too high, and the background the first of them."""
    path = tmp_path / "cls_labels.npy"
    np.save(path, {"a": np.eye(21)[0] + np.eye(21)[15]})
    with pytest.raises(ValueError, match=r"but the first, the background, 20 values, got 21 for 'a': leave out that"):
        read_tags(path, VOC_CLASSES)
    np.save(path, {"a": np.eye(20)[14]})
    assert read_tags(path, VOC_CLASSES) == {"a": (15,)}


def test_an_image_may_come_twice_with_the_same_tags_only(tmp_path: Path) -> None:
    assert read_tags(table(tmp_path, "a,1\na.jpg,1\n")) == {"a": (1,)}
    with pytest.raises(ValueError, match="each image once, got 'a' twice, again in line 2"):
        read_tags(table(tmp_path, "a,1\na.jpg,2\n"))
    assert read_tags(table(tmp_path, '{"a": [1], "a.jpg": 1}')) == {"a": (1,)}
    for first in ("a", "x/a.jpg"):
        with pytest.raises(ValueError, match="each image once, got 'a' twice, again in 'a'"):
            read_tags(table(tmp_path, f'{{"{first}": [1], "a": [2]}}'))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold a line for each image, got none"),
        ("a,0,1\nb,1,0\n", "from 1 to 254, got 0 in line 1 .*a table of 0 and 1 needs a first line"),
        ("a,1\nb,255\n", "from 1 to 254, got 255 in line 2"),
        ("a,1\nb,cat\n", "must be a number, or names must be given .--names voc .*, got 'cat' in line 2"),
        ("a,1\nb,-1\n", "got '-1' in line 2"),
        ("a,1\nb,1.5\n", "got '1.5' in line 2"),
        ("a,-1\nb,1\n", "got '-1' in line 1"),
        ("a,1.0\nb,1\n", "got '1.0' in line 1"),
        ("my photo.jpg 1\nb.jpg 2\n", "got 'photo.jpg' in line 1"),
        ("x/a.JPEG,cat\nb,1\n", "got 'cat' in line 1"),
        ("{broken", "is damaged"),
        ('{"a": ' + "[" * 100_000, "is damaged"),
        ('{"a": [[1]]}', r"got '\[1\]' in 'a'"),
        ('{"a": {"b": 1}}', r"got .* in 'a'"),
        ('{"a": {}}', r"got .* in 'a'"),
        ('[{"image": "a", "labels": [1]}]', "must hold an object of JSON, {image: .classes.}, got a list$"),
        ('[\n  "a.jpg",\n  "b.jpg"\n]\n', "must hold an object of JSON, {image: .classes.}, got a list$"),
        ('{"": [1]}', "the name of an image must come first, got none in ''"),
        (",1\na,2\n", "the name of an image must come first, got none in line 1"),
        (",image,labels\n0,a.jpg,1\n1,b.jpg,2\n", "in line 1 .*; a first column of row numbers must be left out"),
    ],
)
def test_mistakes_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"read_tags: .*{message}"):
        read_tags(table(tmp_path, text))


@pytest.mark.parametrize("names", [5, "voc", [1, 2], {"background", "cat"}])
def test_names_that_are_none(names: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"^read_tags: names must be a sequence of names, got"):
        read_tags(table(tmp_path, "a,cat\n"), names)
    with pytest.raises(TypeError, match=r"^read_scribblesup_xml: class_names must be a sequence of names, got"):
        read_scribblesup_xml(table(tmp_path, "<annotation/>"), class_names=names)


def test_names_that_come_twice(tmp_path: Path) -> None:
    """A class would get the number of the last of them."""
    names = ["background", "cat", "dog", "cat"]
    with pytest.raises(ValueError, match=r"^read_tags: names must be different names, got 'cat' more than once$"):
        read_tags(table(tmp_path, "a,cat\n"), names)
    with pytest.raises(ValueError, match=r"^read_scribblesup_xml: class_names must be different names, got 'cat' more"):
        read_scribblesup_xml(table(tmp_path, "<annotation/>"), class_names=np.array(names))


@pytest.mark.parametrize("width", ["3", 0, 1.5, None])
def test_widths_of_scribbles_that_are_none(width: Any, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^read_scribblesup_xml: width must be an integer >= 1, got"):
        read_scribblesup_xml(table(tmp_path, "<annotation/>"), width=width)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got an empty file$"),
        (b"a,1\nb,2\n", r"got a file that starts with b'a,1.nb,'$"),
        (pickle.dumps({"a": [0, 1]}), r"got a plain pickle, .* \(save it again with numpy\.save or torch\.save\)$"),
        (b"\x93NUMPY\x01\0", "got a damaged .npy header"),
        (b"PK\x03\x04", r"got a damaged file \(BadZipFile: "),
    ],
)
def test_files_that_are_no_vectors_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "cls_labels.npy"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^read_tags: '.*cls_labels\.npy' must be a dictionary of .*, {message}"):
        read_tags(path)


def test_a_name_may_start_with_a_bracket(tmp_path: Path) -> None:
    assert read_tags(table(tmp_path, "[1].jpg,1\n[2].jpg,2\n")) == {"[1]": (1,), "[2]": (2,)}


def test_names_in_an_array(tmp_path: Path) -> None:
    assert read_tags(table(tmp_path, "a,cat\n"), np.array(["background", "dog", "cat"])) == {"a": (2,)}


def test_other_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be one of the names, got 'catt' in line 1"):
        read_tags(table(tmp_path, "a.jpg,catt\nb.jpg,dog\n"), VOC_CLASSES)
    with pytest.raises(ValueError, match="must be one of the names, got 'horse2' in line 1"):
        read_tags(table(tmp_path, "a,horse2\n"), VOC_CLASSES)
    with pytest.raises(FileNotFoundError):
        read_tags(tmp_path / "missing.csv")
    with pytest.raises(ValueError, match="text file in UTF-8"):
        read_tags(table(tmp_path, "ä,1\n", "latin-1"))
    np.save(tmp_path / "plain.npy", np.eye(3))
    with pytest.raises(ValueError, match="must be a dictionary of images and vectors"):
        read_tags(tmp_path / "plain.npy")
    np.save(tmp_path / "scores.npy", {"a": np.array([0.2, 1.0])})
    with pytest.raises(ValueError, match="vectors of 0 and 1, got another value for 'a'"):
        read_tags(tmp_path / "scores.npy")
