"""Argument types that say what a value must be."""

from __future__ import annotations

import argparse
import math


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


def stroke_colors(text: str) -> tuple[tuple[int, int, int], ...]:
    """Colours as six hexadecimal digits each, with or without a # before them, and commas between them."""
    try:
        colors = [bytes.fromhex(color.removeprefix("#")) for color in text.split(",")]
    except ValueError:
        colors = []
    if not colors or any(len(color) != 3 for color in colors):
        raise argparse.ArgumentTypeError(f"must be colours such as 000000,ff0000, got {text!r}")
    return tuple((color[0], color[1], color[2]) for color in colors)
