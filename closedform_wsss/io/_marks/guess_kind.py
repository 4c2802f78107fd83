"""Finds the kind of marks that a decoded picture holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from closedform_wsss._checks import hints
from closedform_wsss.io._labels.palette import in_voc_palette
from closedform_wsss.io._labels.remap_labels import Remap, remap_marks
from closedform_wsss.io._pictures.bit_depth import grey_as_bytes
from closedform_wsss.io._pictures.image import color_distance, has_transparency, to_rgb
from closedform_wsss.io._pictures.open import Opened
from closedform_wsss.io._strokes.options import DEFAULT_TOLERANCE
from closedform_wsss.io._strokes.scribbles import check_size
from closedform_wsss.io._types import UInt8Array


def kind_of_file(opened: Opened, image: UInt8Array | None, remap: Remap | None) -> str:
    """``guess_kind`` of a decoded file whose stored samples ``remap`` replaces.

    Raises:
        ValueError: No description fits, or more than one, or ``image`` has another size.
    """
    where = " to read_marks" if opened.caller == "guess_kind" else ""
    if remap is None:
        _refuse_negative(opened, where)
    fitting = [
        kind
        for kind, fits in (
            ("scribbles", remap is None and _could_be_scribbles(opened, image)),
            ("labels", _could_be_labels(opened, remap)),
            ("trimap", _could_be_trimap(opened, remap)),
        )
        if fits
    ]
    if len(fitting) == 1:
        return fitting[0]
    if image is not None:  # a copy of another size fits nothing, and the kind would be no cure
        check_size(opened.caller, opened.path, opened.image.size[::-1], image)
    what = " or ".join(fitting) if fitting else "nothing known"
    cure = ""
    if not fitting and not opened.is_deep and _shown(opened) is None:
        cure = (
            ": strokes must be on a copy of the image or on a transparent layer, and a label map in colours needs "
            "them in class order (palette; --colors of closedform-wsss marks)"
        )
    elif not fitting and _is_mask(opened):
        cure = (
            ": 0 and 255 alone may be class 0 and unmarked pixels (labels), or the mask of an object, in which no "
            "pixel is unmarked"
        )
    hint = " or the image that was drawn on" if image is None else ""
    raise ValueError(
        f"{opened.caller}: kind must be given{where} (scribbles, labels or trimap; --kind on the command line){hint}, "
        f"because {opened.path!r} looks like {what}{cure}"
    )


def _is_mask(opened: Opened) -> bool:
    shown = _shown(opened)
    return shown is not None and np.unique(shown).tolist() == [0, 255]


def _refuse_negative(opened: Opened, where: str) -> None:
    """Refuses values below 0, which only a label map has."""
    if not opened.is_deep or opened.image.mode == "F":
        return
    values = opened.samples()
    low = int(values.min(initial=0))
    if low < 0:
        raise ValueError(
            f"{opened.caller}: unmarked must be given{where} for a label map with values below 0, such as "
            f"unmarked={low} (--unmarked {low} on the command line), got values from {low} to {values.max()} in "
            f"{opened.path!r}"
        )


def grey_values(opened: Opened, remap: Remap | None = None) -> UInt8Array:
    """The values of a grey picture, uint8 ``(H, W)``: as a viewer shows them, or the stored values after ``remap``.

    Raises:
        ValueError: It has colours.
    """
    # Trimaps are often stored with a palette of greys. Then the colours count, not the indices.
    grey = _shown(opened) if remap is None else _stored(opened)
    if grey is None:
        raise ValueError(f"{opened.caller}: a trimap must be grey, got colours in {opened.path!r}")
    return grey if remap is None else remap_marks(opened.caller, grey, remap, None, opened.path)


def _shown(opened: Opened) -> UInt8Array | None:
    """The values of a picture that shows only grey, even if stored in colours; None for other pictures."""
    if opened.is_deep:
        return grey_as_bytes(opened, None, warns=False)
    red, green, blue = np.moveaxis(to_rgb(opened), 2, 0)
    return red if np.array_equal(red, green) and np.array_equal(red, blue) else None


def _stored(opened: Opened) -> npt.NDArray[Any] | None:
    """The stored samples of a grey file, or the values of another file that shows only grey."""
    if opened.image.mode == "F":
        return None
    return opened.samples() if opened.is_deep or opened.image.mode in ("1", "L") else _shown(opened)


def _could_be_scribbles(opened: Opened, image: UInt8Array | None) -> bool:
    if has_transparency(opened.image):
        return True
    if image is None or opened.image.mode == "F" or opened.image.size != (image.shape[1], image.shape[0]):
        return False
    grey = _shown(opened)
    colors = to_rgb(opened) if grey is None else np.repeat(grey[..., None], 3, axis=2)
    same = int(np.count_nonzero(color_distance(colors, image) <= DEFAULT_TOLERANCE))
    return 2 * same >= image.shape[0] * image.shape[1]


def _could_be_labels(opened: Opened, remap: Remap | None) -> bool:
    mode = opened.image.mode
    if mode in ("P", "1"):
        return mode == "P"
    samples = _stored(opened)
    if samples is None:
        return mode in ("RGB", "RGBA") and in_voc_palette(opened.image)
    if remap is not None:
        samples = remap_marks(opened.caller, samples, remap, None, opened.path)
    values = np.unique(samples)
    return bool(((values >= 0) & ((values < 64) | (values == 255))).all() and ((values > 0) & (values < 64)).any())


def _could_be_trimap(opened: Opened, remap: Remap | None) -> bool:
    if opened.image.mode == "F" or (_shown(opened) if remap is None else _stored(opened)) is None:
        return False
    values: list[int] = np.unique(grey_values(opened, remap)).tolist()
    return hints.is_trimap(values)
