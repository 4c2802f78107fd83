"""The colours of PASCAL VOC label maps, and the labels of files with a palette: the indices or the colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from closedform_wsss._checks import check_option
from closedform_wsss.io._pictures.open import Opened
from closedform_wsss.io._strokes.colors import packed
from closedform_wsss.io._strokes.options import checked_colors
from closedform_wsss.io._types import UInt8Array

Palette: TypeAlias = str | Sequence[Sequence[int]]

PALETTES = ("auto", "index", "voc")

_VOC_CURE = (
    "'voc' takes the colours, for files of programs that reduce or sort them, 'index' the indices, for other palettes "
    "(--palette on the command line)"
)
_GREY_CURE = (
    "'index' takes the indices (--palette on the command line); if the greys are the labels, because a program stored "
    "a grey file with a palette, convert it to a grey file"
)


def voc_palette() -> UInt8Array:
    """The 256 colours of PASCAL VOC label maps.

    The bits of a label go to red, green, blue, red, ... in turn, from the highest bit of each channel down. So small
    labels get very different colours.

    Returns:
        uint8 ``(256, 3)``, an array, which labels of every integer type can index. Label 255, void, is (224, 224, 192).

    Example:
        >>> from closedform_wsss.io import voc_palette
        >>> voc_palette()[[0, 1, 15, 255]].tolist()
        [[0, 0, 0], [128, 0, 0], [192, 128, 128], [224, 224, 192]]
    """
    labels = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= (((labels >> bit) & 1) << (7 - bit // 3)).astype(np.uint8)
    return palette


VOC_COLORS = voc_palette()


def check_palette(fn: str, palette: Palette) -> UInt8Array | None:
    """One of ``PALETTES``; or colours in class order, which are returned as uint8 ``(C, 3)``.

    Raises:
        ValueError: It is neither.
    """
    if not isinstance(palette, str):
        return checked_colors(fn, palette, "palette")
    check_option(fn, "palette", palette, PALETTES)
    return None


def in_voc_palette(image: Image.Image) -> bool:
    """Whether every pixel has a colour of the VOC palette."""
    known = set(map(tuple, VOC_COLORS.tolist()))
    colors = image.convert("RGB").getcolors(len(known))  # None if there are more
    return colors is not None and all(color in known for _, color in colors)


def check_indices(opened: Opened, indices: UInt8Array) -> None:
    """Refuses a palette file whose indices and colours are different labels.

    Programs that reduce the colours of a picture give them new indices. Then the colours are the labels. This may be so
    if all colours that occur are of the VOC palette, or are greys, and the index of some colour is not its label. Greys
    that rise evenly from black to white only make classes visible; a grey whose index is its value is consistent.

    Raises:
        ValueError: Names the file, an index, its colour, the label of this colour, and what to do.
    """
    colors = np.array(opened.image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    used = np.unique(indices)
    used = used[used < len(colors)]  # an index beyond the palette has no colour
    seen = colors[used]
    greys, of_voc = seen[:, 0].astype(np.int16), label_of_color(seen)
    are_grey = bool((seen == seen[:, :1]).all())
    if are_grey and ((greys == used).all() or _rises_evenly(colors)):
        return
    if (of_voc >= 0).all():
        _refuse_contradiction(opened, used, seen, of_voc, "index or voc", " of the VOC palette", _VOC_CURE)
    elif are_grey:
        _refuse_contradiction(opened, used, seen, greys, "index", " as a grey value", _GREY_CURE)


def _refuse_contradiction(
    opened: Opened,
    used: UInt8Array,
    seen: UInt8Array,
    labels: npt.NDArray[np.int16],
    options: str,
    whose: str,
    cure: str,
) -> None:
    wrong = np.flatnonzero(labels != used)
    if len(wrong):
        first = int(wrong[0])
        raise ValueError(
            f"{opened.caller}: palette must be {options} for {opened.path!r}, because its indices and colours are "
            f"different labels, got auto and index {used[first]} with the colour {tuple(seen[first].tolist())}, which "
            f"is label {labels[first]}{whose}: {cure}"
        )


def _rises_evenly(colors: UInt8Array) -> bool:
    """Whether a palette is greys from black to white in even steps, with only black after them."""
    last = int(np.flatnonzero(colors.any(axis=1)).max(initial=0))
    even = np.linspace(0, 255, last + 1)[:, None]
    return last > 0 and bool((np.abs(colors[: last + 1] - even) <= 1).all())


def look_up(opened: Opened, colors: UInt8Array, palette: UInt8Array | None) -> UInt8Array:
    """Labels ``(H, W)`` of colours ``(H, W, 3)`` in a palette ``(C, 3)``; None: that of VOC.

    Raises:
        ValueError: A colour is not in the palette.
    """
    labels = label_of_color(colors, VOC_COLORS if palette is None else palette)
    if (labels < 0).any():
        row, column = np.argwhere(labels < 0)[0].tolist()
        cure = ""
        if palette is not None:
            cure = ": is it a copy of the image with strokes, kind='scribbles', or from another export?"
        elif opened.image.mode != "P" and bool((colors == colors[..., :1]).all()):
            cure = ": palette='index' takes the grey values as labels (--palette on the command line)"
        raise ValueError(
            f"{opened.caller}: path must hold labels or colours of {'the VOC' if palette is None else 'the given'} "
            "palette, got the colour "
            f"{tuple(colors[row, column].tolist())} at x={column}, y={row} in {opened.path!r}{cure}"
        )
    return labels.astype(np.uint8)


def label_of_color(colors: UInt8Array, palette: UInt8Array = VOC_COLORS) -> npt.NDArray[np.int16]:
    """Labels of colours ``(..., 3)`` in a palette ``(C, 3)``; -1 for other colours."""
    known = packed(palette)
    order = known.argsort()
    wanted = packed(colors)
    at = np.searchsorted(known[order], wanted).clip(max=len(known) - 1)
    return np.where(known[order][at] == wanted, order[at], -1).astype(np.int16)
