"""Images from files: every mode Pillow can decode becomes 8-bit RGB, the way up that a viewer shows it."""

from __future__ import annotations

import os
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

PathLike: TypeAlias = "str | os.PathLike[str]"
UInt8Array: TypeAlias = npt.NDArray[np.uint8]

_LOSSY_FORMATS = frozenset({"JPEG", "MPO", "JPEG2000", "WEBP", "AVIF"})


def open_image(path: PathLike, caller: str, *, lossless: bool = False) -> Image.Image:
    """Decodes a whole image file and turns it upright.

    Decoding here, and not when the pixels are first used, lets a truncated file fail with its name.

    Args:
        path: An image file.
        caller: The public function to name in an error.
        lossless: Refuse the formats that alter values, for files whose values are labels.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: It is no image, is damaged, or is lossy where it may not be.
    """
    try:
        with open(path, "rb") as file:
            try:
                with Image.open(file) as image:
                    file_format = image.format
                    # This copies, and so decodes, all of it.
                    upright = ImageOps.exif_transpose(image)
            except Exception as error:  # Pillow's decoders fail in any way
                raise ValueError(
                    f"{caller}: path must be an image file that Pillow can read, got {os.fspath(path)!r} ({error})"
                ) from error
    except IsADirectoryError as error:
        raise ValueError(f"{caller}: path must be an image file, got the directory {os.fspath(path)!r}") from error
    if lossless and file_format in _LOSSY_FORMATS:
        raise ValueError(
            f"{caller}: path must be in a lossless format such as PNG, because its values are labels, "
            f"got {file_format} in {os.fspath(path)!r}"
        )
    return upright


def has_transparency(image: Image.Image) -> bool:
    """Whether some pixel of the image lets what is behind it through."""
    if "A" not in image.getbands() and "a" not in image.getbands() and "transparency" not in image.info:
        return False
    return int(np.asarray(image.convert("RGBA"))[..., 3].min(initial=255)) < 255


def to_rgb(image: Image.Image, caller: str, path: PathLike, backdrop: UInt8Array | None = None) -> UInt8Array:
    """Converts a decoded image to uint8 ``(H, W, 3)``, transparent pixels over ``backdrop`` or white.

    Raises:
        ValueError: It has more than 16 bits per channel; the error names ``caller`` and ``path``.
    """
    if image.mode == "F":
        raise ValueError(
            f"{caller}: path must hold 8 or 16 bits per channel, got floating point in {os.fspath(path)!r}"
        )
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = _sixteen_to_eight_bits(np.asarray(image), caller, path)
        return np.repeat(grey[..., None], 3, axis=2)
    if not has_transparency(image):
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    behind = Image.new("RGB", image.size, "white") if backdrop is None else Image.fromarray(backdrop)
    # Paste rather than alpha_composite: it keeps opaque and empty pixels exact.
    layer = image.convert("RGBA")
    behind.paste(layer, mask=layer)
    return np.array(behind)


def color_distance(one: UInt8Array, other: UInt8Array) -> UInt8Array:
    """The largest difference of a channel between two images ``(H, W, 3)``, uint8 ``(H, W)``."""
    distance = np.zeros(one.shape[:2], np.uint8)
    # A channel at a time: NumPy is slow over an axis of 3, and a photograph's three channels are much to copy.
    for a, b in zip(np.moveaxis(one, 2, 0), np.moveaxis(other, 2, 0), strict=True):
        distance = np.maximum(distance, np.maximum(a, b) - np.minimum(a, b))
    return distance


def _sixteen_to_eight_bits(values: npt.NDArray[np.generic], caller: str, path: PathLike) -> UInt8Array:
    wide = values.astype(np.int64)
    low, high = int(wide.min(initial=0)), int(wide.max(initial=0))
    if low < 0 or high > 65535:
        raise ValueError(
            f"{caller}: path must hold 8 or 16 bits per channel, got values from {low} to {high} in {os.fspath(path)!r}"
        )
    # 65535 = 255 * 257, so white stays white and equal steps stay equal.
    return ((wide + 128) // 257).astype(np.uint8)


def read_image(path: PathLike) -> UInt8Array:
    """Reads an image file as 8-bit RGB.

    Grey, palette, CMYK and bilevel images become RGB. 16 bits per channel are rounded to 8. Transparent
    pixels are laid over white. The orientation in the EXIF data of a photograph is applied, so the array is
    the way up that a viewer shows. Of an animation the first frame is read.

    Args:
        path: A file in any format that Pillow can read.

    Returns:
        uint8 ``(H, W, 3)``.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: It is no image, is damaged, or has floating-point or 32-bit values.

    Example:
        >>> import tempfile, pathlib
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "grey.png"
        ...     Image.new("L", (3, 2), 200).save(path)
        ...     image = read_image(path)
        >>> image.shape, image[0, 0].tolist()
        ((2, 3, 3), [200, 200, 200])
    """
    return to_rgb(open_image(path, "read_image"), "read_image", path)
