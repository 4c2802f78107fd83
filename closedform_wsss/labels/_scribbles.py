"""Marks from colour strokes that somebody drew on a copy of the image."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from closedform_wsss.labels._image import PathLike, UInt8Array, color_distance, open_image, to_rgb
from closedform_wsss.labels._stroke_colors import HALO, BoolArray, find_stroke_colors, is_blend

UNMARKED = 255
DEFAULT_TOLERANCE = 24

_LEVELS = 3  # compression moves no channel of a pure colour to another of three levels
_MAX_UNEXPLAINED = 0.02


def from_scribbles(
    image: UInt8Array,
    scribbled: UInt8Array,
    *,
    tolerance: int = DEFAULT_TOLERANCE,
    colors: Sequence[Sequence[int]] | None = None,
) -> tuple[UInt8Array, UInt8Array]:
    """Turns strokes drawn on a copy of an image into marks, one class for each stroke colour.

    A pixel has changed where some channel of the copy differs from the image by more than ``tolerance``. The
    stroke colours are the peaks of the changed pixels' colour histogram, and a changed pixel is marked if
    every channel is within ``tolerance`` of one of them. The rest is dropped: the soft edge of a stroke,
    where its colour is mixed with what is behind it, the halo that JPEG compression puts round it, and noise.
    At least 5 pixels make a stroke colour. In a lossless copy hard strokes may be 1 pixel wide; soft ones
    need 3, and coloured ones in a JPEG file 5.

    **Class order.** Colours are numbered by value: by red, then green, then blue, each first rounded to 0,
    128 or 255 so that compression does not change the order. Black is therefore first and white last, and
    black and white strokes become 0 background and 1 foreground, the convention of Levin et al. For one order
    over many images, in each of which some colours may be missing, pass ``colors``.

    Args:
        image: The original, uint8 ``(H, W, 3)``.
        scribbled: The copy with strokes, uint8 ``(H, W, 3)``.
        tolerance: How far noise may move a channel, 0 to 127. Raise it for strongly compressed copies; lower
            it if strokes cross parts of the image that have nearly their own colour.
        colors: Stroke colours in class order, ``(C, 3)`` integers in 0..255. Default: found as described.

    Returns:
        The marks, uint8 ``(H, W)``, the class of every marked pixel and 255 elsewhere; and the colours in
        class order, uint8 ``(C, 3)``.

    Raises:
        TypeError: ``image`` or ``scribbled`` is not uint8.
        ValueError: Their shapes are wrong or differ, an option is out of range, nothing was drawn, or what
            was drawn is not in pure colours.

    Example:
        >>> import numpy as np
        >>> image = np.full((20, 20, 3), 120, np.uint8)
        >>> scribbled = image.copy()
        >>> scribbled[2:5, 2:12] = 255
        >>> scribbled[12:15, 2:12] = 0
        >>> marks, colors = from_scribbles(image, scribbled)
        >>> colors.tolist()
        [[0, 0, 0], [255, 255, 255]]
        >>> marks[[3, 13, 0], 3].tolist()
        [1, 0, 255]
    """
    _check(image, scribbled, tolerance)
    distance = color_distance(image, scribbled)
    changed: BoolArray = distance > tolerance
    if not changed.any():
        raise ValueError(
            "from_scribbles: scribbled must be a copy of image with strokes drawn on it, "
            f"got no pixel that differs by more than tolerance={tolerance}"
        )
    if colors is None:
        found = find_stroke_colors(image, scribbled, changed, tolerance)
        palette = np.array(sorted(found, key=_class_order), np.uint8).reshape(-1, 3)
    else:
        palette = _checked_colors(colors)
    marks = _assign(image, scribbled, changed, palette, tolerance)
    marked = marks != UNMARKED
    # Noise seldom goes three times as far as it should; soft edges lie beside what was marked.
    drawn = distance > min(3 * tolerance, 254)
    lost = int(np.count_nonzero(drawn & ~ndimage.maximum_filter(marked, 2 * HALO + 1))) if colors is None else 0
    if not marked.any() or lost > _MAX_UNEXPLAINED * np.count_nonzero(drawn):
        unexplained = lost if marked.any() else int(np.count_nonzero(changed))
        raise ValueError(
            "from_scribbles: scribbled must be a copy of image with strokes of pure colours, 3 or more "
            f"pixels wide, got {len(palette)} such colours, which leave {unexplained} changed pixels "
            f"unexplained; raise tolerance={tolerance} for a compressed copy, or pass colors"
        )
    return marks, palette


def read_scribbles(
    path: PathLike,
    image: UInt8Array,
    *,
    tolerance: int = DEFAULT_TOLERANCE,
    colors: Sequence[Sequence[int]] | None = None,
) -> tuple[UInt8Array, UInt8Array]:
    """Reads a scribbled copy of an image, or a transparent layer of strokes, and applies ``from_scribbles``.

    Args:
        path: The copy, or a layer of the same size whose transparent pixels are unmarked.
        image: The original, uint8 ``(H, W, 3)``, as from ``read_image``.
        tolerance: See ``from_scribbles``.
        colors: Stroke colours in class order; see ``from_scribbles``.

    Returns:
        Marks uint8 ``(H, W)`` and colours uint8 ``(C, 3)``; see ``from_scribbles``.

    Raises:
        OSError: The file is missing or may not be read.
        TypeError, ValueError: The file is no image, or see ``from_scribbles``.
    """
    layer = open_image(path, "read_scribbles")
    same_size = layer.size == (image.shape[1], image.shape[0])
    scribbled = to_rgb(layer, "read_scribbles", path, image if same_size else None)
    try:
        return from_scribbles(image, scribbled, tolerance=tolerance, colors=colors)
    except ValueError as error:
        raise ValueError(
            f"read_scribbles: path must hold strokes drawn on image, got {os.fspath(path)!r} ({error})"
        ) from error


def _check(image: UInt8Array, scribbled: UInt8Array, tolerance: int) -> None:
    for name, array in (("image", image), ("scribbled", scribbled)):
        if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"from_scribbles: {name} must be a uint8 array, got {kind}")
        if array.ndim != 3 or array.shape[2] != 3:
            raise ValueError(f"from_scribbles: {name} must be (H, W, 3), got shape {array.shape}")
    if image.shape != scribbled.shape:
        raise ValueError(
            "from_scribbles: scribbled must have the size of image (H, W) = "
            f"{image.shape[:2]}, got {scribbled.shape[:2]}"
        )
    if not 0 <= tolerance <= 127:
        raise ValueError(f"from_scribbles: tolerance must be in 0..127, got {tolerance}")


def _checked_colors(colors: Sequence[Sequence[int]]) -> UInt8Array:
    array = np.asarray(colors)
    if array.ndim != 2 or array.shape[1] != 3 or not 1 <= len(array) <= UNMARKED:
        raise ValueError(f"from_scribbles: colors must be (C, 3) with C in 1..{UNMARKED}, got shape {array.shape}")
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() > 255:
        raise ValueError(f"from_scribbles: colors must be integers in 0..255, got {array.tolist()}")
    if len(np.unique(array, axis=0)) < len(array):
        raise ValueError(f"from_scribbles: colors must differ from each other, got {array.tolist()}")
    return array.astype(np.uint8)


def _class_order(color: tuple[int, int, int]) -> tuple[list[int], tuple[int, int, int]]:
    return [round(channel * (_LEVELS - 1) / 255) for channel in color], color


def _assign(
    image: UInt8Array, scribbled: UInt8Array, changed: BoolArray, palette: UInt8Array, tolerance: int
) -> UInt8Array:
    """Gives every changed pixel the class of the nearest stroke colour, if one is near enough."""
    values, before = scribbled[changed].astype(np.int16), image[changed].astype(np.int16)
    marks = np.full(changed.shape, UNMARKED, np.uint8)
    best = np.full(len(values), tolerance + 1, np.int16)
    label = np.full(len(values), UNMARKED, np.uint8)
    for index, color in enumerate(palette.astype(np.int16)):
        distance = np.abs(values - color).max(axis=1)
        label[distance < best] = index
        best = np.minimum(best, distance)
    marks[changed] = label
    # The soft edge of one stroke can have the colour of another (grey round black on white): drop it.
    for index, color in enumerate(palette.tolist()):
        beside = ndimage.maximum_filter(marks == index, 3)[changed]
        edge = beside & (label != index) & (label != UNMARKED)
        red, green, blue = color
        edge &= is_blend(values, (red, green, blue), before, tolerance // 4)
        label[edge] = UNMARKED
    marks[changed] = label
    return marks
