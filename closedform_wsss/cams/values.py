"""The values and the shape of CAMs from files."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from torch import Tensor

from closedform_wsss.io._pictures.orientation import stored_orientation

ROUNDING = 0.02  # interpolation may exceed [0, 1] by this much


def unit_range(maps: Tensor, *, normalize: bool) -> Tensor:
    """Maps ``(K, h, w)`` in [0, 1].

    Args:
        maps: Any finite values.
        normalize: Set negative values to 0, then divide each map by its maximum.

    Raises:
        ValueError: Values are outside [0, 1] and ``normalize`` is False.
    """
    if maps.numel() == 0:
        return maps
    if normalize:
        maps = maps.clamp(min=0)
        peak = maps.amax((1, 2), keepdim=True)
        return maps / peak.masked_fill(peak == 0, 1)
    low, high = maps.min().item(), maps.max().item()
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise ValueError(
            f"the CAM must be in [0, 1], got values from {low:.4g} to {high:.4g}; "
            "--normalize divides each map by its maximum (normalize=True in Python)"
        )
    return maps.clamp(0, 1)


def check_upright(maps: Tensor, height: int, width: int, what: str = "CAM", *, image: Path | None = None) -> None:
    """Refuses maps that fit the image only after a quarter turn, or with the classes last.

    A camera may store a photograph turned and note that in its EXIF data. Not every program applies the note. Without
    the file of the image, the message cannot say whether this is the cause.
    """
    count, h, w = maps.shape
    if (count, h) == (height, width) and w != h and count > 1:
        raise ValueError(
            f"the {what} must be (classes, h, w), got shape ({count}, {h}, {w}) for an image of {height} x {width}: "
            "the classes are last, numpy.moveaxis(maps, 2, 0) puts them first"
        )
    if maps.numel() and _alike(h, w, width, height) and not _alike(h, w, height, width):
        causes = [
            "its rows and columns are swapped",
            "its program did not apply the orientation in the image's EXIF data; --orientation ignore (of the commands "
            "that read images) does not apply it either",
        ]
        cause = " or ".join(causes) if image is None else causes[_has_orientation(image)]
        raise ValueError(
            f"the {what} of {h} x {w} is turned by 90 degrees against the image of {height} x {width}: {cause}"
        )


def _has_orientation(path: Path) -> bool:
    with Image.open(path) as image:
        return stored_orientation(image) != 1


def _alike(h: int, w: int, height: int, width: int) -> bool:
    """Whether both have the same proportions, up to one pixel of the maps."""
    return abs(h - w * height / width) <= 1 or abs(w - h * width / height) <= 1
