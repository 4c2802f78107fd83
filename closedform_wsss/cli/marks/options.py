"""Values of the command's options that may be in files."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from closedform_wsss.cli.common.arguments import remap, stroke_colors
from closedform_wsss.cli.common.names import NUMBERED, entries, is_file
from closedform_wsss.io import VOC_CLASSES, read_label_colors
from closedform_wsss.io._files.text_file import read_text

Colors: TypeAlias = tuple[tuple[int, int, int], ...]
Codes: TypeAlias = dict[int, int] | Literal["reduce_zero"]


@dataclass(frozen=True)
class Palette:
    """Colours in class order, and the names of their classes; "" where they have none."""

    names: tuple[str, ...]
    colors: Colors


def class_names(text: str) -> tuple[str, ...] | dict[str, int]:
    """``--names``: voc, a file with one class a line, or classes with commas between them.

    A class is a name, or a name with its number, as in road:1.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: It is no text, has no names or an empty one, or only some of them have numbers.
    """
    if text == "voc":
        return VOC_CLASSES
    names = entries(text, listed=not is_file(text))
    numbered = [match for name in names if (match := NUMBERED.fullmatch(name))]
    if not numbered and names:
        return tuple(names)
    if not names or len(numbered) < len(names):
        raise ValueError(f"--names must be names, or names that all have a number, as in road:1, got {text!r}")
    found: dict[str, int] = {}
    for match in numbered:
        name, number = match[1].strip(), int(match[2])
        if found.setdefault(name, number) != number:
            raise ValueError(f"--names must give {name!r} one number, got {found[name]} and {number}")
    return found


def colors_of_classes(text: str) -> Palette:
    """``--colors``: colours with commas between them, or a file such as the labelmap.txt of CVAT.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: It is neither.
    """
    if is_file(text):
        names, colors = read_label_colors(text)
        return Palette(names, tuple((red, green, blue) for red, green, blue in colors.tolist()))
    try:
        listed = stroke_colors(text)
    except argparse.ArgumentTypeError as error:
        raise ValueError(f"--colors {error}, or a file") from error
    return Palette(("",) * len(listed), listed)


def new_codes(text: str) -> Codes:
    """``--remap``: reduce_zero, pairs with commas between them, or a file with one pair a line.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: It is none of these.
    """
    if is_file(text):
        lines = read_text("--remap", Path(text)).splitlines()
        text = ",".join(line.strip() for line in lines if line.strip())
    try:
        pairs = remap(text)
    except argparse.ArgumentTypeError as error:
        raise ValueError(f"--remap {error}") from error
    return pairs if isinstance(pairs, str) else dict(pairs)
