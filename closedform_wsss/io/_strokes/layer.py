"""Marks from colour strokes on a transparent layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.io._pictures.image import color_distance
from closedform_wsss.io._strokes.colors import HALO, BoolArray
from closedform_wsss.io._strokes.layer_colors import class_of_pixels, find_layer_colors
from closedform_wsss.io._strokes.options import (
    DEFAULT_TOLERANCE,
    MAX_UNEXPLAINED,
    check_tolerance,
    checked_colors,
    class_order,
    describe_colors,
)
from closedform_wsss.io._tensors import as_pixels, label_tensor
from closedform_wsss.io._types import UInt8Array

_FAINT = 8  # an eraser leaves less than an eighth of the strongest alpha


def from_layer(
    layer: UInt8Array | Tensor, *, tolerance: int = DEFAULT_TOLERANCE, colors: Sequence[Sequence[int]] | None = None
) -> tuple[Tensor, Tensor]:
    """Turns a transparent layer of strokes into marks, one class for each stroke colour.

    Alpha decides what is a stroke; the image does not matter. A pixel is drawn if its alpha is at least half of the
    largest alpha within 8 pixels, and at least an eighth of the largest alpha of the layer. So strokes may be half
    transparent, as in label tools, and may have soft edges. The stored colour of a drawn pixel gives its class.

    Args:
        layer: uint8, red, green, blue and alpha: a tensor ``(4, H, W)`` or an array ``(H, W, 4)``.
        tolerance: Colours are the same if no channel differs by more, 0 to 127. Default 24.
        colors: Stroke colours in class order, ``(C, 3)`` integers in 0..255. Default: the colours that are found, in
            the order of :func:`from_scribbles`, black first and white last.

    Returns:
        The marks, int64 ``(H, W)``, the class of every drawn pixel and 255 elsewhere; and the colours in class order,
        uint8 ``(C, 3)``. Pixels at a soft edge where two strokes blend are unmarked.

    Raises:
        TypeError: ``layer`` is not uint8.
        ValueError: It has another shape, nothing is drawn, an option is out of range, or more than 2 % of the
            drawn pixels have no pure colour, or none of ``colors``.

    Example:
        >>> import numpy as np
        >>> from closedform_wsss.io import from_layer
        >>> layer = np.zeros((20, 20, 4), np.uint8)
        >>> layer[2:5, 2:12] = 0, 0, 0, 255        # a black stroke
        >>> layer[12:15, 2:12] = 255, 0, 0, 150    # a red one, 60 % opaque
        >>> marks, colors = from_layer(layer)
        >>> colors.tolist(), marks[[3, 13, 0], 3].tolist()
        ([[0, 0, 0], [255, 0, 0]], [0, 1, 255])
    """
    marks, palette = layer_marks(as_pixels("from_layer", "layer", layer, 4), tolerance=tolerance, colors=colors)
    return label_tensor(marks), torch.from_numpy(palette)


def layer_marks(
    layer: UInt8Array, *, tolerance: int, colors: Sequence[Sequence[int]] | None
) -> tuple[UInt8Array, UInt8Array]:
    """``from_layer`` of an array ``(H, W, 4)``, as arrays."""
    fn = "from_layer"
    check_tolerance(fn, tolerance)
    given = None if colors is None else checked_colors(fn, colors)
    drawn = _drawn(layer[..., 3])
    if not drawn.any():
        raise ValueError(f"{fn}: layer must hold strokes, got alpha 0 everywhere")
    if given is None:
        found = find_layer_colors(layer[..., :3], drawn, tolerance)
        palette = np.array(sorted(found, key=class_order), np.uint8).reshape(-1, 3)
    else:
        palette = given
    marks, unexplained = class_of_pixels(layer[..., :3], drawn, palette, tolerance)
    lost, total = int(np.count_nonzero(unexplained)), int(np.count_nonzero(drawn))
    if lost > MAX_UNEXPLAINED * total or len(palette) > IGNORE_INDEX:
        what = describe_colors(layer[..., :3][unexplained], tolerance)
        if given is not None:
            raise ValueError(
                f"{fn}: colors must name every colour that is drawn, got none for {lost} of {total} pixels, {what}"
            )
        raise ValueError(
            f"{fn}: layer must hold strokes of up to {IGNORE_INDEX} pure colours, got {len(palette)} and {lost} of "
            f"{total} drawn pixels of other colours, {what}: name the colors, or raise tolerance={tolerance}"
        )
    return marks, palette


def is_layer(rgba: UInt8Array, image: UInt8Array) -> bool:
    """Whether a picture with transparent pixels is a layer of strokes, and not a copy of the image with alpha.

    In a copy at least half of the pixels are opaque, and at least half of these agree with the image.

    Args:
        rgba: uint8 ``(H, W, 4)``.
        image: uint8 ``(H, W, 3)``.
    """
    opaque = rgba[..., 3] == 255
    same = opaque & (color_distance(rgba[..., :3], image) <= DEFAULT_TOLERANCE)
    count = int(np.count_nonzero(opaque))
    return 2 * count < opaque.size or 2 * int(np.count_nonzero(same)) < count


def _drawn(alpha: UInt8Array) -> BoolArray:
    wide = alpha.astype(np.int32)
    around = ndimage.maximum_filter(wide, 2 * HALO + 1)
    return (wide > 0) & (2 * wide >= around) & (_FAINT * wide >= wide.max(initial=0))
