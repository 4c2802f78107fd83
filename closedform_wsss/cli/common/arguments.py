"""Arguments of several commands, and types that check values."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from typing import Literal

from closedform_wsss.io import PALETTES

_INTEGER = re.compile(r"-?[0-9]+")


def positive_int(text: str) -> int:
    """A whole number above 0."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, got {text!r}")
    return value


def positive_float(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value


def unit_interval(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, got {text!r}")
    return value


def stroke_colors(text: str) -> tuple[tuple[int, int, int], ...]:
    """Colours with commas between them, each six hexadecimal digits with or without a # before them."""
    try:
        colors = [bytes.fromhex(color.removeprefix("#")) for color in text.split(",")]
    except ValueError:
        colors = []
    if not colors or any(len(color) != 3 for color in colors):
        raise argparse.ArgumentTypeError(f"must be colours such as 000000,ff0000, got {text!r}")
    return tuple((color[0], color[1], color[2]) for color in colors)


def stored_value(text: str) -> int:
    """A whole number, as a label file stores it."""
    if not _INTEGER.fullmatch(text.strip()):
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}")
    return int(text)


def remap(text: str) -> tuple[tuple[int, int], ...] | Literal["reduce_zero"]:
    """Pairs such as ``0:255,1:0``, a stored value and its new label from 0 to 255; or ``reduce_zero``."""
    if text == "reduce_zero":
        return "reduce_zero"
    pairs: dict[int, int] = {}
    for part in text.split(","):
        numbers = [number.strip() for number in part.split(":")]
        if len(numbers) != 2 or not all(map(_INTEGER.fullmatch, numbers)):
            raise argparse.ArgumentTypeError(f"must be pairs such as 0:255,1:0, or reduce_zero, got {text!r}")
        stored, label = map(int, numbers)
        if not 0 <= label <= 255:
            raise argparse.ArgumentTypeError(f"must give labels from 0 to 255, got {label} in {text!r}")
        if pairs.setdefault(stored, label) != label:
            raise argparse.ArgumentTypeError(
                f"must give {stored} one label, got {pairs[stored]} and {label} in {text!r}"
            )
    return tuple(pairs.items())


def window(text: str) -> tuple[float, float]:
    """Two numbers: the values of black and white."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise argparse.ArgumentTypeError(f"must be LOW,HIGH with LOW below HIGH, got {text!r}")
    return low, high


def add_list_argument(parser: argparse.ArgumentParser) -> None:
    """``--list``."""
    parser.add_argument("--list", metavar="FILE", type=Path, help="take only the images named in FILE, one a line")


def add_cam_file_arguments(parser: argparse.ArgumentParser, *, of: str) -> None:
    """``--pattern``, ``--classes-of`` and ``--names``: which files are CAMs, and of which classes."""
    add = parser.add_argument
    add(
        "--pattern",
        metavar="P",
        help=f"read only the files of {of} with this name, as in {{stem}}_cam.npy, where {{stem}} is the name of the "
        "image without suffix, and * stands for anything",
    )
    add(
        "--classes-of",
        metavar="FILE",
        type=Path,
        help=f"the tags of each image, such as a line a,1,15, or cls_labels.npy: the classes of {of} that hold maps "
        "alone, in this order, or to take of maps of all classes (--names says how many); of others, those to read",
    )


def add_names_argument(parser: argparse.ArgumentParser) -> None:
    """``--names``."""
    parser.add_argument(
        "--names",
        metavar="NAMES",
        help="all classes in order, background first, as in background,road; or a file of them, one a line; or voc",
    )


def levels(text: str) -> tuple[float, float]:
    """Two numbers from 0 to 1: what becomes 0 and what becomes 1."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not 0 <= low < high <= 1:
        raise argparse.ArgumentTypeError(f"must be LOW,HIGH with LOW below HIGH, from 0 to 1, got {text!r}")
    return low, high


def add_palette_argument(parser: argparse.ArgumentParser) -> None:
    """``--palette``: whether the labels of a palette file are indices or colours."""
    parser.add_argument(
        "--palette",
        choices=PALETTES,
        default="auto",
        help="the labels of a file with a palette are its indices, or its colours in the VOC palette; default: the "
        "indices, and an error if the colours are other labels",
    )


def add_orientation_argument(parser: argparse.ArgumentParser, *, of: str) -> None:
    """``--orientation``: whether EXIF data is applied."""
    parser.add_argument(
        "--orientation",
        choices=("apply", "ignore"),
        help=f"turn {of} as the EXIF data says, or not; default: apply, with a warning",
    )


def add_picture_arguments(parser: argparse.ArgumentParser, *, of: str) -> None:
    """``--orientation`` and ``--window``, for reading pictures."""
    add_orientation_argument(parser, of=of)
    parser.add_argument(
        "--window",
        metavar="LOW,HIGH",
        type=window,
        help="the values of black and white in grey images, as in --window=-160,240 (default: by the bits in use)",
    )
