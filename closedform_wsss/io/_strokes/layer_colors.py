"""The colours of the strokes on a transparent layer, and the class of each pixel.

The colours of a layer are exact, or nearly so: it is not blended with an image and has no lossy compression. A colour
between those of two strokes is the soft edge of one over the other.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy import ndimage

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.io._strokes.colors import (
    HALO,
    BoolArray,
    Color,
    in_blocks,
    is_blend,
    is_close,
    is_solid,
    nearest_color,
    packed,
    unique_colors,
)
from closedform_wsss.io._types import UInt8Array

_TINY = 5  # fewer pixels beside other strokes count as their mixture
_BESIDE = 2  # pixels
_IN_VAIN = 16  # colours


def find_layer_colors(rgb: UInt8Array, drawn: BoolArray, tolerance: int) -> list[Color]:
    """Finds the colours of the strokes, the most frequent first; at most 256, one more than can be classes.

    Args:
        rgb: uint8 ``(H, W, 3)``.
        drawn: bool ``(H, W)``, where there are strokes.
        tolerance: Colours are the same if no channel differs by more.
    """
    values = rgb[drawn].astype(np.int16)
    exact, counts = unique_colors(values)
    exact = exact[np.argsort(-counts, kind="stable")]
    left = np.ones(len(exact), bool)
    found: list[Color] = []
    strokes = np.zeros_like(drawn)
    near: list[BoolArray] = []
    for visited in range(2 * IGNORE_INDEX):
        # With so many colours, or none among the first ones, this is a photograph and would take long.
        if not left.any() or len(found) > IGNORE_INDEX or (visited == _IN_VAIN and not found):
            break
        red, green, blue = exact[left.argmax()].tolist()
        color = red, green, blue
        left &= ~is_close(exact, color, tolerance)
        members = is_close(values, color, tolerance)
        where = np.zeros_like(drawn)
        where[drawn] = members
        if len(found) >= 2 and _is_edge(rgb, where, found, near, tolerance):
            continue
        if not is_solid(where, values[members], color, tolerance, lossy=False):
            continue
        count = np.count_nonzero(where)
        if count < _TINY and (ndimage.maximum_filter(strokes, 2 * _BESIDE + 1) & where).any():
            continue
        found.append(color)
        strokes |= where
        near.append(ndimage.maximum_filter(where, 2 * HALO + 1))
    return found


def class_of_pixels(
    rgb: UInt8Array, drawn: BoolArray, palette: UInt8Array, tolerance: int
) -> tuple[UInt8Array, BoolArray]:
    """The class of every drawn pixel (255 elsewhere, and at edges where two strokes blend), and the unexplained pixels.

    Args:
        rgb: uint8 ``(H, W, 3)``.
        drawn: bool ``(H, W)``, where there are strokes.
        palette: uint8 ``(C, 3)``; of more than 255 colours the first 255.
        tolerance: The largest distance of a pixel's colour from that of its class.
    """
    label = nearest_color(rgb[drawn].astype(np.int16), palette[:IGNORE_INDEX], tolerance)
    marks = np.full(drawn.shape, IGNORE_INDEX, np.uint8)
    marks[drawn] = label
    present = np.unique(label[label != IGNORE_INDEX]).tolist()
    thin = drawn & ~_in_flat_block(rgb, drawn)
    beside = {index: ndimage.maximum_filter(marks == index, 2 * _BESIDE + 1)[thin] for index in present}
    edge = np.zeros_like(drawn)
    edge[thin] = _are_mixed(rgb[thin], marks[thin], {index: palette[index] for index in present}, beside, tolerance)
    unexplained = drawn & (marks == IGNORE_INDEX) & ~edge
    marks[edge] = IGNORE_INDEX
    return marks, unexplained


def _is_edge(rgb: UInt8Array, where: BoolArray, found: list[Color], near: list[BoolArray], tolerance: int) -> bool:
    """Whether most of these pixels are mixtures of two strokes nearby, and no stroke of their own."""
    flat = _in_flat_block(rgb, where)
    total = int(np.count_nonzero(where))
    if 2 * int(np.count_nonzero(flat)) >= total:
        return False
    colors = {index: np.array(color, np.uint8) for index, color in enumerate(found)}
    beside = {index: mask[where] for index, mask in enumerate(near)}
    mixed = _are_mixed(rgb[where], np.full(total, IGNORE_INDEX, np.uint8), colors, beside, tolerance)
    return 2 * int(np.count_nonzero(mixed)) > total


def _are_mixed(
    values: UInt8Array, marks: UInt8Array, colors: dict[int, UInt8Array], beside: dict[int, BoolArray], tolerance: int
) -> BoolArray:
    """Which of N pixels are mixtures of two classes beside them, both other than their own.

    Args:
        values: uint8 ``(N, 3)``.
        marks: uint8 ``(N,)``, the pixels' own classes.
        colors: uint8 ``(3,)`` of each class.
        beside: bool ``(N,)`` for each class, where it is near.
    """
    mixed = np.zeros(len(values), bool)
    for one, other in combinations(colors, 2):
        candidates = beside[one] & beside[other] & (marks != one) & (marks != other)
        if candidates.any():
            red, green, blue = colors[one].tolist()
            behind = colors[other].astype(np.int16)
            mixed[candidates] |= is_blend(values[candidates].astype(np.int16), (red, green, blue), behind, tolerance)
    return mixed


def _in_flat_block(rgb: UInt8Array, where: BoolArray) -> BoolArray:
    """The pixels in blocks of 2 x 2 of one colour. Edges of strokes are too thin for such blocks."""
    color = packed(rgb)
    color[~where] = -1
    first = color[:-1, :-1]
    return in_blocks((first >= 0) & (first == color[1:, :-1]) & (first == color[:-1, 1:]) & (first == color[1:, 1:]))
