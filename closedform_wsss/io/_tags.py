"""Tags: the classes of each image, in a table."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from closedform_wsss._arrays import as_array
from closedform_wsss._checks import check_names
from closedform_wsss.io._annotations.classes import is_background
from closedform_wsss.io._files.text_file import read_text
from closedform_wsss.io._maps.array_file import fault_of, load_item
from closedform_wsss.io._types import PathLike

FN = "read_tags"
_VOC_NUMBER = re.compile(r"(20\d\d)(\d{6})")
_JSON_LIST = re.compile(r"\s*\[\s*[\"{\[]")
_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?")
_IMAGE_SUFFIX = re.compile(r"\.(jpe?g|jfif|png|bmp|gif|webp|avif|heic|jp2|tiff?|ppm|pgm|npy|npz|pth?)$", re.IGNORECASE)
# How spreadsheets and pandas write 0 and 1.
_BITS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


def read_tags(path: PathLike, names: Sequence[str] | None = None) -> dict[str, tuple[int, ...]]:
    """Reads the tags (image-level labels) of a data set: the classes that each image holds.

    The content tells the format:

    * Text, a line for each image: its name, then its classes, with commas, semicolons or tabs between them, such as
      ``2007_000032,1,15``, or with spaces if there is none of these. Classes in one column have ``|`` or spaces between
      them. A first line that names the columns, none of them a number or a file, is skipped, and so are lines that
      start with ``#``. Classes are ids of a label map, or names if ``names`` is given.
    * Text with a table of 0 and 1, or of False and True, below a first line that names the columns. With ``names`` a
      column of one of these names is that class. Otherwise the column after the images' names is class 1, the next
      class 2. A column "background" is left out.
    * JSON ``{image: [classes]}``.
    * ``.npy``, a dictionary ``{image: (C,) of 0 and 1}``, as ``cls_labels.npy`` of IRN and its successors; the first
      value is class 1, and an image 2007000032 is 2007_000032.

    Args:
        path: The file, in UTF-8.
        names: All classes in the order of the label map, background first, such as
            :data:`~closedform_wsss.io.VOC_CLASSES`.

    Returns:
        The classes of each image, ascending, from 1. Images are named without folder and without suffix.

    Raises:
        OSError: The file is missing or may not be read.
        TypeError: names are not a sequence of texts.
        ValueError: The file has none of these formats; a class is no number from 1 to 254, or not among the names; a
            table of 0 and 1 has columns that are not among the names; an image comes twice with different classes (the
            message names the line); names has a name twice.

    Example:
        >>> import pathlib, tempfile
        >>> from closedform_wsss.io import read_tags
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "tags.csv"
        ...     _ = path.write_text("2007_000032.jpg,1,15\\n2007_000033.jpg,1\\n")
        ...     read_tags(path)
        {'2007_000032': (1, 15), '2007_000033': (1,)}
    """
    if names is not None:
        check_names(FN, "names", names)
    known = None if names is None else {_folded(name): label for label, name in enumerate(names)}
    where = os.fspath(path)
    if Path(path).suffix.lower() == ".npy":
        rows = _of_vectors(_loaded(path), where, None if names is None else len(names))
    else:
        text = read_text(f"{FN}: path", Path(path))
        if _JSON_LIST.match(text):  # its lines would be names of images
            raise ValueError(f"{FN}: {where!r} must hold an object of JSON, {{image: [classes]}}, got a list")
        rows = _of_json(text, where) if text.lstrip().startswith("{") else _of_lines(text, known, where)
    tags: dict[str, tuple[int, ...]] = {}
    for place, image, cells in rows:
        stem = _stem(image)
        if not stem:
            raise ValueError(
                f"{FN}: the name of an image must come first, got none in {place} of {where!r}; a first column of row "
                "numbers must be left out (index=False of pandas)"
            )
        classes = tuple(sorted({_label(cell, known, place, where) for cell in cells}))
        if tags.setdefault(stem, classes) != classes:
            raise ValueError(f"{FN}: {where!r} must hold each image once, got {stem!r} twice, again in {place}")
    if not tags:
        raise ValueError(f"{FN}: {where!r} must hold a line for each image, got none")
    return tags


_Rows = Iterable[tuple[str, str, Sequence[object]]]  # place in the file, image, classes


def _of_lines(text: str, known: Mapping[str, int] | None, where: str) -> _Rows:
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1)]
    lines = [(n, line) for n, line in lines if line and not line.startswith("#")]
    separators = [sign for sign in "\t;," if any(sign in line for _, line in lines)]
    table = [(f"line {n}", _cells(line, separators)) for n, line in lines]
    if _is_table_of_bits(table):
        numbers = _numbers_of_columns(table[0][1][1:], known, where)
        bits = [(place, row[0], [_BITS[cell.lower()] for cell in row[1:]]) for place, row in table[1:]]
        return [
            (place, image, [n for n, bit in zip(numbers, row, strict=True) if n is not None and bit])
            for place, image, row in bits
        ]
    if len(table) > 1 and _names_columns(table[0][1], table[1][1], known):
        table = table[1:]
    return [(place, row[0], [part for cell in row[1:] for part in _parts(cell, known)]) for place, row in table]


def _numbers_of_columns(columns: Sequence[str], known: Mapping[str, int] | None, where: str) -> list[int | None]:
    """The class of each column of a table of 0 and 1; None for the background.

    Raises:
        ValueError: Only some of the columns have a name that is known, or their number is not that of the names.
    """
    classes = [column for column in columns if not is_background(column)]
    unnamed = [column for column in classes if _folded(column) not in (known or {})]
    if known is not None and len(unnamed) < len(classes):
        if unnamed:
            raise ValueError(
                f"{FN}: the columns of {where!r} must be among the names, got {', '.join(map(repr, unnamed[:5]))}"
            )
        return [None if is_background(column) else known[_folded(column)] for column in columns]
    if known is not None and len(classes) != len(known) - 1:
        raise ValueError(
            f"{FN}: {where!r} must have a column for each of the names but the first, the background, {len(known) - 1} "
            f"columns, got {len(classes)}"
        )
    place = iter(range(1, 1 + len(classes)))
    return [None if is_background(column) else next(place) for column in columns]


def _cells(line: str, separators: Sequence[str]) -> list[str]:
    parts = re.split("[" + "".join(separators) + "]", line) if separators else line.split()
    return [part.strip().strip("\"'") for part in parts]


def _parts(cell: str, known: Mapping[str, int] | None) -> list[str]:
    """The classes in a cell: several have ``|`` between them, or spaces, unless these are in the name of a class."""
    words = cell.split()
    are_classes = all(word.isdigit() or _folded(word) in (known or {}) for word in words)
    parts = words if are_classes and _folded(cell) not in (known or {}) else cell.split("|")
    return [part.strip() for part in parts if part.strip()]


def _names_columns(first: list[str], second: list[str], known: Mapping[str, int] | None) -> bool:
    """Whether the first line names columns: its cells are no classes, and those of the second line are."""

    def are_classes(row: list[str]) -> bool:
        return all(part.isdigit() or _folded(part) in (known or {}) for cell in row[1:] for part in _parts(cell, known))

    return len(first) > 1 and _may_name_columns(first) and not are_classes(first) and are_classes(second)


def _may_name_columns(row: list[str]) -> bool:
    """A row with a file or a number in it is that of an image, perhaps with a class that is not known; and so is a row
    without any class."""
    has_file, has_number = any(map(_IMAGE_SUFFIX.search, row)), any(map(_NUMBER.fullmatch, row[1:]))
    return any(row[1:]) and not has_file and not has_number


def _is_table_of_bits(table: list[tuple[str, list[str]]]) -> bool:
    """Whether there is a line of names, and then only ``_BITS``, as many in each line."""
    if len(table) < 2 or not _may_name_columns(table[0][1]):
        return False
    width = len(table[0][1])
    rows = [row for _, row in table[1:]]
    return width > 1 and all(len(row) == width and all(cell.lower() in _BITS for cell in row[1:]) for row in rows)


def _of_json(text: str, where: str) -> _Rows:
    try:
        pairs = json.loads(text, object_pairs_hook=tuple)  # a dictionary would keep the last of equal names only
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{FN}: {where!r} is damaged ({error})") from error
    return [(repr(image), image, cells if isinstance(cells, list) else [cells]) for image, cells in pairs]


def _loaded(path: PathLike) -> Any:
    with open(path, "rb") as file:
        try:
            return load_item(file)
        except Exception as error:
            raise ValueError(
                f"{FN}: {os.fspath(path)!r} must be a dictionary of images and vectors of 0 and 1, got "
                f"{fault_of(error)}"
            ) from error


def _of_vectors(item: Any, where: str, count: int | None) -> _Rows:
    """``count`` is the number of names, the background's too, if there are names."""
    if not isinstance(item, Mapping):
        raise ValueError(
            f"{FN}: {where!r} must be a dictionary of images and vectors of 0 and 1, got a {type(item).__name__}"
        )
    rows = []
    for image, value in item.items():
        vector = as_array(value)
        if vector.ndim != 1 or vector.dtype.kind not in "biuf" or not np.isin(vector, (0, 1)).all():
            raise ValueError(f"{FN}: {where!r} must hold vectors of 0 and 1, got another value for {image!r}")
        if count is not None and len(vector) != count - 1:
            cure = ": leave out that of the background" if len(vector) == count else ""
            raise ValueError(
                f"{FN}: {where!r} must hold a value for each of the names but the first, the background, {count - 1} "
                f"values, got {len(vector)} for {image!r}{cure}"
            )
        name = str(image)
        number = _VOC_NUMBER.fullmatch(name)
        rows.append((repr(image), "_".join(number.groups()) if number else name, (np.flatnonzero(vector) + 1).tolist()))
    return rows


def _label(cell: object, known: Mapping[str, int] | None, place: str, where: str) -> int:
    text = str(cell).strip()
    if text.isdecimal():
        label = int(text.lstrip("0")[:30] or "0")  # Python refuses to convert thousands of digits
    elif known is not None and _folded(text) in known:
        label = known[_folded(text)]
    else:
        cure = (
            "one of the names"
            if known is not None
            else "a number, or names must be given (--names voc or --names FILE of a command)"
        )
        raise ValueError(f"{FN}: a class must be {cure}, got {text!r} in {place} of {where!r}")
    last = 254 if known is None else max(known.values(), default=0)
    if not 1 <= label <= last:
        hint = "; 0 is the background, and a table of 0 and 1 needs a first line that names its columns"
        raise ValueError(
            f"{FN}: a class must be from 1 to {last}, got {label} in {place} of {where!r}{hint if label == 0 else ''}"
        )
    return label


def _folded(name: str) -> str:
    return name.strip().lower().replace(" ", "").replace("_", "")


def _stem(image: str) -> str:
    return _IMAGE_SUFFIX.sub("", re.split(r"[/\\]", image)[-1])
