"""Finds the pure colours of the strokes on a scribbled image."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.io._types import UInt8Array

BoolArray: TypeAlias = npt.NDArray[np.bool_]
Color: TypeAlias = tuple[int, int, int]

_MIN_PIXELS = 5  # fewer pixels of one colour are noise
_MIN_FRACTION = 1e-4  # a smaller fraction of all changed pixels is noise too
_BIN = 16  # width of a bin of the colour histogram, whose peaks only start the search
HALO = 8  # pixels, a JPEG block: no stroke spreads its colour farther


def find_stroke_colors(image: UInt8Array, scribbled: UInt8Array, changed: BoolArray, tolerance: int) -> list[Color]:
    """Finds the colours of the strokes, most frequent first; at most 256, one more than can be classes.

    The peaks in the colour histogram of the changed pixels are visited from the highest to the lowest. A peak is a
    stroke colour if its pixels are solid (see ``is_solid``) and most of them are not a blend of a nearby stroke, found
    before, with the image or with another stroke.

    Args:
        image, scribbled: uint8 ``(H, W, 3)``.
        changed: bool ``(H, W)``, where they differ by more than ``tolerance``.
        tolerance: How much noise may change a channel.
    """
    total = int(np.count_nonzero(changed))
    lossy = is_lossy(image, scribbled, changed)
    # Coarse chroma samples give thin parts of a stroke a second, duller colour at about this distance.
    variant = 2 * tolerance if lossy else tolerance
    floor = max(_MIN_PIXELS, int(_MIN_FRACTION * total))
    before, values = image[changed].astype(np.int16), scribbled[changed].astype(np.int16)
    left = np.ones(total, bool)
    found: list[Color] = []
    near: list[BoolArray] = []
    while True:
        color, count = _peak(values[left], tolerance)
        if count < floor or len(found) > IGNORE_INDEX:
            return found
        members = left & is_close(values, color, tolerance)
        left &= ~members
        where = np.zeros_like(changed)
        where[changed] = members
        if not is_solid(where, values[members], color, tolerance, lossy):
            continue
        own, behind = values[members], before[members]
        blend = np.zeros(len(own), bool)
        for i, around in enumerate(near):
            mixed = is_close(own, found[i], variant) | is_blend(own, found[i], behind, tolerance)
            for other in found[:i]:
                mixed |= is_blend(own, found[i], np.array(other, np.int16), tolerance)
            blend |= around[where] & mixed
        if 2 * np.count_nonzero(blend) > len(blend):
            continue
        found.append(color)
        near.append(ndimage.maximum_filter(where, 2 * HALO + 1))


def is_close(values: npt.NDArray[np.int16], color: Color, tolerance: int) -> BoolArray:
    """Where every channel of ``values`` ``(..., 3)`` is within ``tolerance`` of ``color``."""
    return np.asarray(np.abs(values - np.array(color, np.int16)).max(axis=-1) <= tolerance)


def nearest_color(values: npt.NDArray[np.int16], palette: UInt8Array, tolerance: int) -> UInt8Array:
    """The place in a palette ``(C, 3)``, C up to 255, of the colour nearest to each of ``(N, 3)`` values, the first of
    equally near ones; 255 where none is within the tolerance."""
    best = np.full(len(values), tolerance + 1, np.int16)
    label = np.full(len(values), IGNORE_INDEX, np.uint8)
    for index, color in enumerate(palette.astype(np.int16)):
        distance = np.abs(values - color).max(axis=1)
        label[distance < best] = index
        best = np.minimum(best, distance)
    return label


def is_blend(values: npt.NDArray[np.int16], color: Color, behind: npt.NDArray[np.int16], tolerance: int) -> BoolArray:
    """Where ``values`` ``(..., 3)`` are within ``tolerance`` of some fraction of ``color`` over ``behind``."""
    towards = (np.array(color, np.int16) - behind).astype(np.float32)
    moved = (values - behind).astype(np.float32)
    fraction = (moved * towards).sum(-1) / np.maximum((towards * towards).sum(-1), 1)
    rest = moved - fraction.clip(0, 1)[..., None] * towards
    return np.asarray(np.abs(rest).max(axis=-1) <= tolerance)


def is_lossy(image: UInt8Array, scribbled: UInt8Array, changed: BoolArray) -> bool:
    """Whether the pixels around the strokes differ from the image, as after lossy compression."""
    if 2 * int(np.count_nonzero(changed)) > changed.size:
        return False  # these are no strokes on the image, so the stricter rules apply
    beside = ndimage.maximum_filter(changed, HALO + 1) & ~changed
    touched = (image[beside] != scribbled[beside]).any(axis=-1)
    return 4 * int(np.count_nonzero(touched)) > len(touched)


def _peak(values: npt.NDArray[np.int16], tolerance: int) -> tuple[Color, int]:
    """The median colour around the fullest histogram bin, and the number of pixels in the bin."""
    if len(values) == 0:
        return (0, 0, 0), 0
    per_axis = 256 // _BIN
    key = (values // _BIN) @ np.array([per_axis * per_axis, per_axis, 1], np.int16)
    counts = np.bincount(key)
    fullest = int(counts.argmax())
    unique, repeats = unique_colors(values[key == fullest])
    frequent = color = unique[repeats.argmax()]
    for _ in range(2):
        near = values[is_close(values, color, tolerance)]
        # The median of a scattered cluster can be far from all of its pixels.
        color = np.median(near, axis=0).astype(np.int16) if len(near) else frequent
    if not is_close(values, color, tolerance).any():
        color = frequent
    red, green, blue = color.tolist()
    return (red, green, blue), int(counts[fullest])


def is_solid(where: BoolArray, values: npt.NDArray[np.int16], color: Color, tolerance: int, lossy: bool) -> bool:
    """Whether pixels of about one colour look drawn and not photographed.

    Drawn pixels form blocks of 2 x 2. In a lossless copy many of them are also very near their median colour, whereas
    those of a smooth part of a photograph spread evenly. Pixels that are nearly all equal count as drawn too.
    """
    if not lossy:
        if int(unique_colors(values)[1].max()) >= 0.8 * len(values):
            return True
        if int(np.count_nonzero(is_close(values, color, tolerance // 6))) < 0.25 * len(values):
            return False
    full = where[:-1, :-1] & where[1:, :-1] & where[:-1, 1:] & where[1:, 1:]
    return 2 * int(np.count_nonzero(in_blocks(full))) >= len(values)


def in_blocks(chosen: BoolArray) -> BoolArray:
    """The pixels ``(H, W)`` in blocks of 2 x 2, each chosen by its first pixel, ``(H - 1, W - 1)``."""
    padded = np.pad(chosen, 1)
    return padded[1:, 1:] | padded[:-1, 1:] | padded[1:, :-1] | padded[:-1, :-1]


def packed(colors: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Colours ``(..., 3)`` as one number each, 0xRRGGBB."""
    return np.asarray(colors.astype(np.int32) @ np.array([65536, 256, 1], np.int32))


def unique_colors(values: npt.NDArray[np.int16]) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.intp]]:
    """The different colours among ``(N, 3)``, and how often each occurs."""
    unique, repeats = np.unique(packed(values), return_counts=True)
    return np.stack([unique >> 16, (unique >> 8) & 255, unique & 255], axis=-1).astype(np.int16), repeats
