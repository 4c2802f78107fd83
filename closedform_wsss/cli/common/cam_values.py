"""CAMs from files, and shares on the command line, in [0, 1]."""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt

_ROUNDING = 0.02  # beyond [0, 1]: what interpolation may add

Maps = npt.NDArray[np.float32]


def share(text: str) -> float:
    """An argument from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, got {text!r}")
    return value


def unit_range(maps: Maps, *, normalize: bool) -> Maps:
    """Maps ``(K, h, w)`` in [0, 1].

    Args:
        maps: Any finite values.
        normalize: Divide each map by its maximum, negative values made 0 first.

    Raises:
        ValueError: Values are outside [0, 1] and not to be normalised.
    """
    if maps.size == 0:
        return maps
    if normalize:
        maps = maps.clip(0)
        peak: Maps = maps.max(axis=(1, 2), keepdims=True)
        peak[peak == 0] = 1
        return maps / peak
    low, high = float(maps.min()), float(maps.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ValueError(
            f"the CAM must be in [0, 1], got values from {low:.4g} to {high:.4g}; "
            "--normalize divides each map by its maximum"
        )
    return maps.clip(0, 1)


def check_upright(maps: Maps, height: int, width: int) -> None:
    """Refuses maps that fit the image only after a quarter turn.

    Photographs may be stored on their side with a note in their EXIF data, which not every program obeys.
    """
    h, w = maps.shape[1:]
    if maps.size and _alike(h, w, width, height) and not _alike(h, w, height, width):
        raise ValueError(
            f"the CAM of {h} x {w} lies on its side beside the image of {height} x {width}: it was made without "
            "obeying the orientation in the image's EXIF data; --orientation ignore (of refine-cams) leaves the image "
            "as it is stored, too"
        )


def _alike(h: int, w: int, height: int, width: int) -> bool:
    """Whether maps may be that picture's: equal proportions, up to a pixel of the smaller ones."""
    return abs(h - w * height / width) <= 1 or abs(w - h * width / height) <= 1
