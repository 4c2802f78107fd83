"""Pictures and labels between files, which are arrays ``(H, W, 3)`` and ``(H, W)``, and the functions' tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from closedform_wsss._arrays import as_array, as_tensor
from closedform_wsss.io._types import UInt8Array


def from_array(pixels: npt.ArrayLike | Image.Image) -> Tensor:
    """Turns a picture of another library (Pillow, scikit-image, OpenCV) into an image tensor.

    Args:
        pixels: ``(H, W, D)``, or ``(H, W)`` for one channel; uint8 or floating point. An array or a Pillow image. A
            Pillow image with a palette, or with other colours than RGB, such as CMYK, is converted to RGB, or to RGBA
            if its palette has transparent colours.

    Returns:
        ``(D, H, W)`` of the same type, a view where ``pixels`` is contiguous and can be written to.

    Raises:
        TypeError: The type is neither uint8 nor floating point.
        ValueError: ``pixels`` is neither ``(H, W, D)`` nor ``(H, W)``, such as ``(3, H, W)``.

    Example:
        >>> import numpy as np
        >>> from closedform_wsss.io import from_array
        >>> from_array(np.zeros((480, 640, 3), np.uint8)).shape
        torch.Size([3, 480, 640])
    """
    array = np.asarray(_in_rgb(pixels) if isinstance(pixels, Image.Image) else pixels)
    return pixels_tensor("from_array", "pixels", "(H, W, D)", array)


def _in_rgb(image: Image.Image) -> Image.Image:
    """Its values as grey or RGB, with alpha if it has one: no indices of a palette, and no other kind of colours."""
    mode = image.mode
    if mode in ("L", "LA", "RGB", "RGBA") or mode[0] in "IF":
        return image
    others = {"1": "L", "La": "LA", "RGBa": "RGBA", "PA": "RGBA"}
    if mode == "P" and "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert(others.get(mode, "RGB"))


def pixels_tensor(fn: str, name: str, wanted: str, array: npt.NDArray[Any]) -> Tensor:
    """:func:`from_array` for the argument ``name`` of the function ``fn``."""
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise TypeError(
            f"{fn}: {name} must be uint8 or floating point, got {array.dtype}: closedform_wsss.io.to_unit_range maps "
            "other values to [0, 1]"
        )
    if array.ndim not in (2, 3):
        raise ValueError(f"{fn}: {name} must be {wanted} or (H, W), got shape {array.shape}")
    # Any number of channels is allowed, so (3, H, W) would become an image of three rows.
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] > 16:
        raise ValueError(
            f"{fn}: {name} must be {wanted} or (H, W), got shape {array.shape} with the channels first: "
            f"pass numpy.moveaxis({name}, 0, 2)"
        )
    return as_tensor(fn, name, array if array.ndim == 3 else array[..., None]).permute(2, 0, 1)


def image_tensor(pixels: npt.NDArray[Any]) -> Tensor:
    """``(H, W, D)`` as ``(D, H, W)``, a view."""
    return torch.from_numpy(pixels).permute(2, 0, 1)


def label_tensor(labels: npt.NDArray[Any]) -> Tensor:
    """Marks or labels in int64, which every function takes."""
    return torch.from_numpy(labels.astype(np.int64))


def as_pixels(fn: str, name: str, image: object, channels: int = 3) -> UInt8Array:
    """A uint8 picture, a tensor ``(channels, H, W)`` or an array ``(H, W, channels)``, as an array; no copy."""
    wanted = f"a uint8 tensor ({channels}, H, W) or array (H, W, {channels})"
    if not isinstance(image, (Tensor, np.ndarray)):
        raise TypeError(f"{fn}: {name} must be {wanted}, got {type(image).__name__}")
    pixels = as_array(image)
    if pixels.dtype != np.uint8:
        raise TypeError(f"{fn}: {name} must be {wanted}, got {image.dtype}")
    if isinstance(image, Tensor) and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.ndim != 3 or pixels.shape[2] != channels:
        kind = "a tensor" if isinstance(image, Tensor) else "an array"
        raise ValueError(f"{fn}: {name} must be {wanted}, got {kind} of shape {tuple(image.shape)}")
    return pixels
