"""Shared by copies with strokes and layers of strokes: options, the order of classes, messages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.io._strokes.colors import BoolArray, Color, is_close, unique_colors
from closedform_wsss.io._types import UInt8Array

DEFAULT_TOLERANCE = 24
MAX_UNEXPLAINED = 0.02

_LEVELS = 3  # compression changes no channel of a pure colour to another of three levels
_FAR = 32  # compression moves a channel of a stroke of 5 pixels by less
_NAMED = 5  # colours that a message names


def check_tolerance(fn: str, tolerance: int) -> None:
    """0 to 127."""
    if not 0 <= tolerance <= 127:
        raise ValueError(f"{fn}: tolerance must be in 0..127, got {tolerance}")


def checked_colors(fn: str, colors: Sequence[Sequence[int]], name: str = "colors") -> UInt8Array:
    """Colours in class order as uint8 ``(C, 3)``."""
    array = np.asarray(colors)
    if array.ndim != 2 or array.shape[1] != 3 or not 1 <= len(array) <= IGNORE_INDEX:
        raise ValueError(f"{fn}: {name} must be (C, 3) with C in 1..{IGNORE_INDEX}, got shape {array.shape}")
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() > 255:
        raise ValueError(f"{fn}: {name} must be integers in 0..255, got {array.tolist()}")
    if len(np.unique(array, axis=0)) < len(array):
        raise ValueError(f"{fn}: {name} must differ from each other, got {array.tolist()}")
    return array.astype(np.uint8)


def class_order(color: Color) -> tuple[list[int], Color]:
    """A key that sorts by red, then green, then blue, each first rounded to 0, 128 or 255."""
    return [round(channel * (_LEVELS - 1) / 255) for channel in color], color


def none_fits(color: Color, palette: UInt8Array, tolerance: int) -> bool:
    """Whether no colour of a palette ``(C, 3)`` is within the tolerance."""
    return not is_close(palette.astype(np.int16), color, tolerance).any()


def impure(palette: UInt8Array) -> UInt8Array:
    """The colours of a palette ``(C, 3)`` that are far from those of three levels a channel, as mixtures often are."""
    levels = np.array([0, 128, 255])
    return palette[np.abs(palette[..., None].astype(int) - levels).min(-1).max(-1) > _FAR]


def color_names(palette: UInt8Array) -> list[str]:
    """The colours of a palette ``(C, 3)`` in hexadecimal digits."""
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in palette.tolist()]


def describe_colors(values: UInt8Array, tolerance: int) -> str:
    """The most frequent of colours ``(N, 3)`` and how many pixels have each: "#ff8000 (120 pixels)"."""
    exact, counts = unique_colors(values.astype(np.int16))
    left: BoolArray = np.ones(len(exact), bool)
    found: list[tuple[Color, int]] = []
    while left.any() and len(found) < _NAMED:
        masked: npt.NDArray[np.intp] = np.where(left, counts, 0)
        red, green, blue = exact[masked.argmax()].tolist()
        members = left & is_close(exact, (red, green, blue), tolerance)
        found.append(((red, green, blue), int(counts[members].sum())))
        left &= ~members
    names = (f"#{red:02x}{green:02x}{blue:02x} ({count} pixels)" for (red, green, blue), count in found)
    return ", ".join(names) + (", ..." if left.any() else "")
