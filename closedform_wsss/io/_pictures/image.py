"""Images from files: every mode that Pillow can decode becomes 8-bit RGB, turned as a viewer shows it."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

from closedform_wsss._checks import check_interval
from closedform_wsss.io._pictures.bit_depth import Window, check_wide_color, grey_as_bytes
from closedform_wsss.io._pictures.open import Opened, open_image
from closedform_wsss.io._tensors import image_tensor
from closedform_wsss.io._types import PathLike, UInt8Array


def read_image(path: PathLike, *, orientation: str | None = None, window: Window | None = None) -> Tensor:
    """Reads an image file as 8-bit RGB. ``image[None]`` is a batch of one, as the losses take it.

    Grey, palette, CMYK and bilevel images become RGB. Transparent pixels are laid over white. Of an animation the first
    frame is read.

    **Orientation.** The orientation in the EXIF data is applied, so the image is the way up that a viewer shows. Many
    other loaders do not apply it, and what was made with them does not fit the turned image. Therefore an
    :class:`OrientationWarning` names every file that is turned, unless ``orientation`` is given.

    **Depth.** Grey of 16 bits becomes 8 bits. The largest value decides how many bits b are in use, 8 to 16, and
    2^b - 1 becomes white. If b is below 16, a :class:`ValueRangeWarning` says so. Where the format states the value of
    white (PGM, 12-bit TIFF), that is used. ``window`` sets black and white for all grey files: 8, 16 and 32 bits,
    signed, and floating point. The last three cannot be read without it.

    Args:
        path: A file in any format that Pillow can read.
        orientation: ``"apply"`` applies the orientation in the EXIF data, ``"ignore"`` gives the pixels as stored. None
            (the default) applies it and warns.
        window: ``(low, high)``, the stored values that become 0 and 255; values outside are clipped. For grey files.

    Returns:
        uint8 ``(3, H, W)``.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: The file is not an image, is damaged, needs a ``window``, holds NaN values, or has colours and a
            ``window`` is given; an option has another value.

    Example:
        >>> import tempfile, pathlib
        >>> import numpy as np
        >>> from PIL import Image
        >>> from closedform_wsss.io import read_image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "grey.png"
        ...     Image.new("L", (3, 2), 200).save(path)
        ...     image = read_image(path)
        ...     slice = pathlib.Path(folder) / "slice.tif"  # in Hounsfield units
        ...     Image.fromarray(np.array([[-1000, -160, 40, 240]], np.float32)).save(slice)
        ...     soft_tissue = read_image(slice, window=(-160, 240))
        >>> image.shape, image[:, 0, 0].tolist()
        (torch.Size([3, 2, 3]), [200, 200, 200])
        >>> soft_tissue[0, 0].tolist()
        [0, 0, 128, 255]
    """
    if window is not None:
        window = check_interval("read_image", "window", window)
    return image_tensor(to_rgb(open_image(path, "read_image", orientation=orientation), window=window))


def to_rgb(opened: Opened, backdrop: UInt8Array | None = None, *, window: Window | None = None) -> UInt8Array:
    """The colours of a decoded file as uint8 ``(H, W, 3)``, transparent pixels over ``backdrop`` or white.

    Raises:
        ValueError: The values need a window, the file has colours and a window is given, or it uses too few of 16 bits
            a channel.
    """
    image = opened.image
    if window is not None and not (opened.is_deep or image.mode in ("1", "L")):
        raise ValueError(
            f"{opened.caller}: window must be None for a file with colours or transparency, got {window} for mode "
            f"{image.mode} in {opened.path!r}"
        )
    if window is not None or opened.is_deep:
        colors = np.repeat(grey_as_bytes(opened, window)[..., None], 3, axis=2)
        key = image.info.get("transparency")
        if isinstance(key, int):
            empty = opened.samples() == key if opened.is_deep else np.asarray(image.convert("RGBA"))[..., 3] == 0
            colors[empty] = 255 if backdrop is None else backdrop[empty]
        return colors
    if not has_transparency(image):
        colors = np.array(image if image.mode == "RGB" else image.convert("RGB"))
        check_wide_color(opened, colors)
        return colors
    layer = image.convert("RGBA")
    check_wide_color(opened, np.asarray(layer)[np.asarray(layer)[..., 3] > 0])
    return laid_over(layer, backdrop)


def laid_over(image: Image.Image, backdrop: UInt8Array | None = None) -> UInt8Array:
    """The colours ``(H, W, 3)`` of an image with transparent pixels, over ``backdrop`` or white."""
    layer = image.convert("RGBA")
    behind = Image.new("RGB", image.size, "white") if backdrop is None else Image.fromarray(backdrop)
    # Unlike alpha_composite, paste keeps opaque and empty pixels exact.
    behind.paste(layer, mask=layer)
    return np.array(behind)


def has_transparency(image: Image.Image) -> bool:
    """Whether some pixel of the image is not opaque."""
    if image.mode[0] in "IF" or ("A" not in image.getbands() and "transparency" not in image.info):
        return False
    return int(np.asarray(image.convert("RGBA"))[..., 3].min(initial=255)) < 255


def color_distance(one: UInt8Array, other: UInt8Array) -> UInt8Array:
    """The largest difference of a channel between two images ``(H, W, 3)``, uint8 ``(H, W)``."""
    distance = np.zeros(one.shape[:2], np.uint8)
    # One channel at a time: NumPy is slow over an axis of 3, and a copy of all channels takes memory.
    for a, b in zip(np.moveaxis(one, 2, 0), np.moveaxis(other, 2, 0), strict=True):
        distance = np.maximum(distance, np.maximum(a, b) - np.minimum(a, b))
    return distance
