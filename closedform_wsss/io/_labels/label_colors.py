"""Names and colours of classes from text files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from closedform_wsss.io._files.text_file import read_text
from closedform_wsss.io._types import PathLike, UInt8Array

_FN = "read_label_colors"
# Python refuses to convert thousands of digits.
_CVAT = re.compile(r"(.*?):\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*(\d{1,9})\s*(?::.*)?")
_NUMBERS = re.compile(r"(\d{1,9})[\s,;]+(\d{1,9})[\s,;]+(\d{1,9})(?:[\s,;]+(.*))?")
_HEXADECIMAL = re.compile(r"#?([0-9a-fA-F]{6})(?:[\s,;]+(.*))?")


class LabelColors(NamedTuple):
    """The classes of label maps in colour, as :func:`read_label_colors` gives them.

    Attributes:
        names: Their names, in class order; "" where the file gives none.
        colors: Their colours, uint8 ``(C, 3)``.
    """

    names: tuple[str, ...]
    colors: UInt8Array


def read_label_colors(path: PathLike) -> LabelColors:
    """Reads the names and colours of classes, one class a line, in class order.

    A line is ``name:red,green,blue::`` (``labelmap.txt`` of CVAT), ``red green blue name`` (``label_colors.txt`` of
    CamVid) or ``rrggbb name``. The last two may lack the name. Empty lines are skipped, and so are lines that start
    with ``#`` and are no colour.

    Args:
        path: The text file, in UTF-8, or in UTF-16 with a byte order mark.

    Returns:
        The names and the colours, for ``palette`` of :func:`read_label_png` and ``colors`` of :func:`read_marks`.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: A line is none of these, a colour is out of range or occurs twice, or there is none.

    Example:
        >>> import pathlib, tempfile
        >>> from closedform_wsss.io import read_label_colors
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "labelmap.txt"
        ...     _ = path.write_text("# label:color_rgb:parts:actions\\nbackground:0,0,0::\\nroad:128,64,128::\\n")
        ...     names, colors = read_label_colors(path)
        >>> names, colors.tolist()
        (('background', 'road'), [[0, 0, 0], [128, 64, 128]])
    """
    file = os.fspath(path)
    lines = read_text(f"{_FN}: path", Path(path)).splitlines()
    found = [_class(text, number, file) for number, line in enumerate(lines, 1) if (text := line.strip())]
    classes = [entry for entry in found if entry is not None]
    if not classes:
        raise ValueError(f"{_FN}: path must hold names and colours, got none in {file!r}")
    names, colors = zip(*classes, strict=True)
    if len(set(colors)) < len(colors):
        twice = next(color for color in colors if colors.count(color) > 1)
        raise ValueError(f"{_FN}: colours must differ from each other, got {twice} more than once in {file!r}")
    return LabelColors(names, np.array(colors, np.uint8))


def _class(text: str, number: int, file: str) -> tuple[str, tuple[int, int, int]] | None:
    """The name and the colour in a line; None for a comment."""
    if match := _HEXADECIMAL.fullmatch(text):
        red, green, blue = bytes.fromhex(match[1])
        return (match[2] or "").strip(), (red, green, blue)
    if text.startswith("#"):
        return None
    name: str = ""
    channels: tuple[str | Any, ...] = ()
    if match := _NUMBERS.fullmatch(text):
        name, channels = match[4] or "", match.group(1, 2, 3)
    elif match := _CVAT.fullmatch(text):
        name, channels = match[1], match.group(2, 3, 4)
    values = tuple(map(int, channels))
    if len(values) != 3 or max(values) > 255:
        raise ValueError(
            f"{_FN}: line {number} must be a name and a colour, as in road:128,64,128:: or 128 64 128 road, got "
            f"{text[:80]!r} in {file!r}"
        )
    return name.strip(), (values[0], values[1], values[2])
