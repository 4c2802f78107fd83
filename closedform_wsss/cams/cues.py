"""Maps of saliency and boundaries that another network made: what they are checked for, and their files."""

from __future__ import annotations

import os
from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from closedform_wsss._arrays import as_tensor
from closedform_wsss.cams.methods import REFINERS
from closedform_wsss.cams.values import ROUNDING
from closedform_wsss.io._pictures.image import has_transparency, to_rgb
from closedform_wsss.io._pictures.open import Opened, open_image
from closedform_wsss.io._tensors import image_tensor

CUES = ("saliency", "boundaries")
MAX_COLOR = 32  # between channels: JPEG may leave some
WHITE = {"I": (0.0, 65535.0), "F": (0.0, 1.0)}  # by Pillow's mode, where the format does not state it
Cue = str | os.PathLike[str] | Tensor | npt.ArrayLike


def check_method(method: str, cues: Collection[str]) -> None:
    """Refuses a method that would not look at the cues."""
    for cue in cues:
        able = [name for name, refiner in REFINERS.items() if cue in refiner.cues]
        if method not in able:
            raise ValueError(f"{cue} must be left out for the method {method}: these use it: {', '.join(able)}")


def read_cue(cue: str, path: str | os.PathLike[str], *, orientation: str = "apply") -> Tensor:
    """A grey image file as float32 ``(1, h, w)`` in [0, 1], turned as its EXIF data says, or as stored with "ignore".

    White is what the format states (PGM, 12-bit TIFF), else 255 of 8 bits, 65535 of 16 bits whatever the largest value
    is, and 1 of floating point.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no image, is damaged, has colours or transparent pixels, holds 0 and 1 in place of black and
            white, or floating point outside [0, 1].
    """
    opened = open_image(path, "read_image", orientation=orientation)
    _check_values(cue, opened)
    window = WHITE.get(opened.image.mode.partition(";")[0]) if opened.white is None else None
    image = image_tensor(to_rgb(opened, window=window))
    if int((image.amax(0) - image.amin(0)).max()) > MAX_COLOR:
        raise ValueError(
            f"a file of {cue} must be grey, from black (none) to white (certain), got an image with colours in "
            f"{opened.path!r}: save the map itself, not a picture of it"
        )
    if int(image.max()) == 1:
        raise ValueError(
            f"a file of {cue} must be grey, from black (none) to white (certain), got values of 0 and 1, which are "
            f"both black, in {opened.path!r}: save 255 times the map"
        )
    return image.float().mean(0, keepdim=True) / 255


def _check_values(cue: str, opened: Opened) -> None:
    """Refuses cut-outs, whose surroundings would become white, and floating point outside [0, 1]."""
    image = opened.image
    if has_transparency(image):
        raise ValueError(
            f"a file of {cue} must be grey, from black (none) to white (certain), got transparent pixels in "
            f"{opened.path!r}: save the map itself, not a cut-out"
        )
    values = np.asarray(image) if image.mode == "F" else np.zeros(1)
    low, high = float(values.min()), float(values.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise ValueError(
            f"a file of {cue} in floating point must be in [0, 1], got values from {low:.4g} to {high:.4g} in "
            f"{opened.path!r}: divide the map by its maximum"
        )


def as_cue(cue: str, value: Cue) -> Tensor:
    """The same from a file, and an array or a tensor, ``(h, w)`` or ``(1, h, w)``, uint8 or in [0, 1], as it is."""
    if isinstance(value, (str, os.PathLike)):
        return read_cue(cue, value)
    map = as_tensor("refine_folder", cue, value).detach().cpu()
    map = map[None] if map.ndim == 2 else map
    if map.ndim != 3 or map.shape[0] != 1 or 0 in map.shape:
        raise ValueError(f"{cue} must be (h, w) or (1, h, w), got shape {tuple(map.shape)}")
    return map if map.dtype == torch.uint8 else map.float()
