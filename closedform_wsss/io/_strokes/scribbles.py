"""Marks from colour strokes that somebody drew on a copy of the image."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss._warn import warn_user
from closedform_wsss.io._pictures.image import color_distance, has_transparency, to_rgb
from closedform_wsss.io._pictures.open import Opened, check_lossless, open_image
from closedform_wsss.io._strokes.colors import (
    HALO,
    BoolArray,
    find_stroke_colors,
    is_blend,
    is_close,
    is_lossy,
    nearest_color,
    packed,
    unique_colors,
)
from closedform_wsss.io._strokes.layer import is_layer, layer_marks
from closedform_wsss.io._strokes.options import (
    DEFAULT_TOLERANCE,
    MAX_UNEXPLAINED,
    check_tolerance,
    checked_colors,
    class_order,
    color_names,
    describe_colors,
    impure,
    none_fits,
)
from closedform_wsss.io._tensors import as_pixels, label_tensor
from closedform_wsss.io._types import PathLike, UInt8Array

_NAMED = 8  # colours that a message names
_REDUCED = 256  # colours of a file with a palette


def from_scribbles(
    image: UInt8Array | Tensor,
    scribbled: UInt8Array | Tensor,
    *,
    tolerance: int = DEFAULT_TOLERANCE,
    colors: Sequence[Sequence[int]] | None = None,
) -> tuple[Tensor, Tensor]:
    """Turns strokes drawn on a copy of an image into marks, one class for each stroke colour.

    A pixel has changed if some channel of the copy differs from the image by more than ``tolerance``. The stroke
    colours are the peaks in the colour histogram of the changed pixels. A changed pixel is marked if every channel is
    within ``tolerance`` of a stroke colour. The other changed pixels stay unmarked: the soft edge of a stroke, where
    its colour is mixed with the image, the halo of JPEG compression, and noise. A stroke colour needs at least 5
    pixels. In a lossless copy hard strokes may be 1 pixel wide; soft strokes need 3 pixels, and coloured strokes in a
    JPEG file 5.

    **Class order.** Colours are sorted by red, then green, then blue. Each is first rounded to 0, 128 or 255, so that
    compression does not change the order. So black is first and white is last: black and white strokes become 0
    background and 1 foreground, the convention of Levin et al. For the same order over many images, some of which lack
    a colour, pass ``colors``.

    Args:
        image: The original, uint8: a tensor ``(3, H, W)`` as from ``read_image``, or an array ``(H, W, 3)``.
        scribbled: The copy with strokes, as ``image``.
        tolerance: How much noise may change a channel, 0 to 127. Raise it for strongly compressed copies; lower it if
            strokes cross parts of the image with nearly the same colour. Default 24.
        colors: Stroke colours in class order, ``(C, 3)`` integers in 0..255. Default: found as described. Strokes of
            another colour are then an error, so that no stroke is lost without notice.

    Returns:
        The marks, int64 ``(H, W)``, the class of every marked pixel and 255 elsewhere; and the colours in
        class order, uint8 ``(C, 3)``.

    Raises:
        TypeError: ``image`` or ``scribbled`` is not uint8.
        ValueError: Their shapes are wrong or differ, an option is out of range, nothing was drawn, or more than 2 %
            of the drawn pixels have no pure colour, or none of ``colors``.

    Warns:
        UserWarning: Pixels beside the strokes differ from the image too, and a colour that was found is no usual one
            of a brush: a soft brush may have mixed it with the image. Or the copy has at most 256 colours, as a GIF.

    Example:
        >>> import numpy as np
        >>> from closedform_wsss.io import from_scribbles
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
    pixels, copy = as_pixels("from_scribbles", "image", image), as_pixels("from_scribbles", "scribbled", scribbled)
    marks, palette = copy_marks(pixels, copy, tolerance=tolerance, colors=colors)
    return label_tensor(marks), torch.from_numpy(palette)


def copy_marks(
    image: UInt8Array, scribbled: UInt8Array, *, tolerance: int, colors: Sequence[Sequence[int]] | None
) -> tuple[UInt8Array, UInt8Array]:
    """``from_scribbles`` of arrays ``(H, W, 3)``, as arrays."""
    if image.shape != scribbled.shape:
        raise ValueError(
            "from_scribbles: scribbled must have the size of image (H, W) = "
            f"{image.shape[:2]}, got {scribbled.shape[:2]}"
        )
    check_tolerance("from_scribbles", tolerance)
    distance = color_distance(image, scribbled)
    changed: BoolArray = distance > tolerance
    if not changed.any():
        raise ValueError(
            "from_scribbles: scribbled must be a copy of image with strokes drawn on it, "
            f"got no pixel that differs by more than tolerance={tolerance}"
        )
    _refuse_canvas(scribbled, changed)
    if colors is None:
        found = find_stroke_colors(image, scribbled, changed, tolerance)
        palette = np.array(sorted(found, key=class_order), np.uint8).reshape(-1, 3)
        if len(palette) > IGNORE_INDEX:
            raise ValueError(
                f"from_scribbles: scribbled must be a copy of image with strokes of up to {IGNORE_INDEX} pure colours, "
                f"got {len(palette)}: name the colors, or are the two of different pictures?"
            )
    else:
        palette = checked_colors("from_scribbles", colors)
        _check_all_named(image, scribbled, changed, palette, tolerance)
    marks = _assign(image, scribbled, changed, palette, tolerance)
    marked = marks != IGNORE_INDEX
    # Noise rarely exceeds three times the tolerance, and soft edges are beside marked pixels.
    drawn = distance > min(3 * tolerance, 254)
    lost = int(np.count_nonzero(drawn & ~ndimage.maximum_filter(marked, 2 * HALO + 1)))
    if not marked.any() or lost > MAX_UNEXPLAINED * np.count_nonzero(drawn):
        unexplained = lost if marked.any() else int(np.count_nonzero(changed))
        which = f" ({', '.join(color_names(palette[:_NAMED]))}{', ...' * (len(palette) > _NAMED)})" * (len(palette) > 0)
        raise ValueError(
            "from_scribbles: scribbled must be a copy of image with opaque strokes of pure colours, 3 or more "
            f"pixels wide, got {len(palette)} such colours{which}, which leave {unexplained} changed pixels "
            f"unexplained: raise tolerance={tolerance} for a compressed copy"
            f"{', name the colors' if colors is None else ''}, or save the strokes as a transparent layer; "
            "or are image and scribbled in the wrong order?"
        )
    if colors is None and is_lossy(image, scribbled, changed):
        _warn_of_colors(scribbled, palette)
    return marks, palette


def _warn_of_colors(scribbled: UInt8Array, palette: UInt8Array) -> None:
    """Colours of a copy with losses that may be no strokes."""
    # The nearest of few colours may be any, so that a pure one says nothing.
    if len(np.unique(packed(scribbled))) <= _REDUCED:
        warn_user(
            f"from_scribbles: the colours {', '.join(color_names(palette[:_NAMED]))} became classes, but scribbled has "
            f"at most {_REDUCED} colours, as a GIF or PNG8, so that parts of the image that changed may be among them: "
            "save the copy in all colours, or, if they are right, name the colors (--colors on the command line)",
            UserWarning,
        )
    elif len(mixed := impure(palette)):
        warn_user(
            f"from_scribbles: the colours {', '.join(color_names(mixed))} became classes, but a soft brush or "
            "compression may have mixed them with the image, or image and scribbled are swapped: draw with a hard "
            "brush, save the strokes as a transparent layer, or, if they are right, name the colors (--colors on the "
            "command line)",
            UserWarning,
        )


def _refuse_canvas(scribbled: UInt8Array, changed: BoolArray) -> None:
    """Refuses strokes on paper of one colour in place of the image: the paper would be a class."""
    sample, counts = unique_colors(scribbled[::8, ::8].reshape(-1, 3).astype(np.int16))
    paper_color = sample[[counts.argmax()]].astype(np.uint8)
    paper = (scribbled == paper_color).all(-1)
    kept = int(np.count_nonzero(~paper & ~changed))
    strokes = changed & ~paper  # without any, one class was painted over the whole image
    replaced = changed[paper].any() and kept <= 0.01 * paper.size
    if 2 * int(np.count_nonzero(paper)) > paper.size and replaced and strokes.any():
        raise ValueError(
            "from_scribbles: scribbled must be a copy of image with strokes drawn on it, got strokes on a canvas of "
            f"one colour, {color_names(paper_color)[0]}: draw on the image, or save the strokes as a transparent "
            "layer"
        )


def read_scribbles(
    path: PathLike,
    image: UInt8Array | Tensor,
    *,
    tolerance: int = DEFAULT_TOLERANCE,
    colors: Sequence[Sequence[int]] | None = None,
    orientation: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Reads strokes: on a copy of an image (``from_scribbles``), or on a transparent layer (``from_layer``).

    A file with transparent pixels is a copy if at least half of its pixels are opaque and at least half of these agree
    with the image. Then transparent pixels are unmarked. Other files with transparent pixels are layers.

    Args:
        path: The copy, or a layer of the same size.
        image: The original, uint8: a tensor ``(3, H, W)`` as from ``read_image``, or an array ``(H, W, 3)``.
        tolerance: See ``from_scribbles`` and ``from_layer``. Default 24.
        colors: Stroke colours in class order; see ``from_scribbles`` and ``from_layer``.
        orientation: What to do if the EXIF data says that the file is turned: see :func:`read_image`.

    Returns:
        Marks int64 ``(H, W)`` and colours uint8 ``(C, 3)``; see ``from_scribbles``.

    Raises:
        OSError: The file is missing or may not be read.
        TypeError, ValueError: The file is not an image, or see ``from_scribbles`` and ``from_layer``.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> from closedform_wsss.io import read_scribbles
        >>> image = np.full((20, 20, 3), 120, np.uint8)
        >>> scribbled = image.copy()
        >>> scribbled[2:5, 2:12], scribbled[14:17, 2:12] = 0, 255  # black and white
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "scribbles.png"
        ...     Image.fromarray(scribbled).save(path)
        ...     marks, colors = read_scribbles(path, image)
        >>> marks.unique().tolist(), colors.tolist()
        ([0, 1, 255], [[0, 0, 0], [255, 255, 255]])
    """
    pixels = as_pixels("read_scribbles", "image", image)
    opened = open_image(path, "read_scribbles", orientation=orientation)
    marks, palette = strokes(opened, pixels, tolerance=tolerance, colors=colors)
    return label_tensor(marks), torch.from_numpy(palette)


def strokes(
    opened: Opened, image: UInt8Array, *, tolerance: int, colors: Sequence[Sequence[int]] | None
) -> tuple[UInt8Array, UInt8Array]:
    """``read_scribbles`` of a decoded file, as arrays."""
    check_size(opened.caller, opened.path, opened.image.size[::-1], image)
    try:
        if has_transparency(opened.image):
            rgba = np.array(opened.image.convert("RGBA"))
            if is_layer(rgba, image):
                if colors is None:
                    check_lossless(opened)
                return layer_marks(rgba, tolerance=tolerance, colors=colors)
            _check_copy(rgba)
        scribbled = to_rgb(opened, image)
        return copy_marks(image, scribbled, tolerance=tolerance, colors=colors)
    except ValueError as error:
        if str(error).startswith(f"{opened.caller}: "):
            raise
        raise ValueError(
            f"{opened.caller}: path must hold strokes drawn on image, got {opened.path!r} ({error})"
        ) from error


def _check_copy(rgba: UInt8Array) -> None:
    """Refuses pictures that may be a copy, for example of a dark image, but have few colours, as layers have."""
    colors = np.unique(packed(rgba[rgba[..., 3] > 0][:, :3]))
    if len(colors) <= IGNORE_INDEX:
        raise ValueError(
            "scribbled must be a copy of image or a layer of strokes, got transparent pixels, "
            f"{len(colors)} colours and many pixels as in image, which may be either: remove the transparency of a "
            "copy, and draw strokes of a layer over less than half of it"
        )


def check_size(fn: str, path: PathLike, shape: tuple[int, ...], image: UInt8Array) -> None:
    """Refuses marks whose size is not that of the image."""
    if shape == image.shape[:2]:
        return
    turned = shape[::-1] == image.shape[:2]
    cure = ": one of them was turned as its EXIF data says, see orientation (--orientation on the command line)"
    raise ValueError(
        f"{fn}: marks must have the size of image (H, W) = {image.shape[:2]}, got {shape} in "
        f"{os.fspath(path)!r}{cure if turned else ''}"
    )


def _check_all_named(
    image: UInt8Array, scribbled: UInt8Array, changed: BoolArray, palette: UInt8Array, tolerance: int
) -> None:
    """Refuses strokes whose colour is not in the palette."""
    found = find_stroke_colors(image, scribbled, changed, tolerance)
    others = [color for color in found if none_fits(color, palette, tolerance)]
    values = scribbled[changed].astype(np.int16)
    unnamed, named = (
        np.logical_or.reduce([np.zeros(len(values), bool), *(is_close(values, color, tolerance) for color in colors)])
        for colors in (others, [(red, green, blue) for red, green, blue in palette.tolist()])
    )
    unnamed &= ~named
    lost, total = int(np.count_nonzero(unnamed)), int(np.count_nonzero(unnamed | named))
    if lost > MAX_UNEXPLAINED * total:
        raise ValueError(
            f"from_scribbles: colors must name every colour that is drawn, got none for {lost} of {total} pixels, "
            f"{describe_colors(scribbled[changed][unnamed], tolerance)}"
        )


def _assign(
    image: UInt8Array, scribbled: UInt8Array, changed: BoolArray, palette: UInt8Array, tolerance: int
) -> UInt8Array:
    """Gives every changed pixel the class of the nearest stroke colour within the tolerance."""
    values, before = scribbled[changed].astype(np.int16), image[changed].astype(np.int16)
    marks = np.full(changed.shape, IGNORE_INDEX, np.uint8)
    label = nearest_color(values, palette, tolerance)
    marks[changed] = label
    # The soft edge of one stroke can have the colour of another (grey around black on white): unmark it.
    for index, color in enumerate(palette.tolist()):
        beside = ndimage.maximum_filter(marks == index, 3)[changed]
        edge = beside & (label != index) & (label != IGNORE_INDEX)
        red, green, blue = color
        edge &= is_blend(values, (red, green, blue), before, tolerance // 4)
        label[edge] = IGNORE_INDEX
    marks[changed] = label
    return marks
