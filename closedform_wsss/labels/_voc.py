"""Label maps as PNG files with the PASCAL VOC palette."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from closedform_wsss.labels._image import PathLike, UInt8Array, has_transparency, open_image
from closedform_wsss.labels._save import save_png

VOC_CLASSES: tuple[str, ...] = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


def voc_palette() -> UInt8Array:
    """The 256 colours of PASCAL VOC label maps.

    The bits of a label are dealt out to red, green, blue, red, ... from the highest bit of each channel down,
    so that small labels get colours far apart.

    Returns:
        uint8 ``(256, 3)``; label 255, void, is (224, 224, 192).

    Example:
        >>> voc_palette()[[0, 1, 15, 255]].tolist()
        [[0, 0, 0], [128, 0, 0], [192, 128, 128], [224, 224, 192]]
    """
    labels = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= (((labels >> bit) & 1) << (7 - bit // 3)).astype(np.uint8)
    return palette


def read_label_png(path: PathLike) -> UInt8Array:
    """Reads a label map.

    A palette file gives its indices, whatever its palette; a grey or bilevel file its values; a colour file
    is looked up in the VOC palette.

    Args:
        path: A PNG, or a file in another lossless format.

    Returns:
        uint8 ``(H, W)``.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: It is no image or lossy, has labels above 255 or transparent pixels, or a colour that is
            not in the VOC palette.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "labels.png"
        ...     write_label_png(path, np.array([[0, 15, 255]], np.uint8))
        ...     read_label_png(path).tolist()
        [[0, 15, 255]]
    """
    image = open_image(path, "read_label_png", lossless=True)
    if image.mode == "P":
        return np.array(image)
    if image.mode == "1":
        return np.array(image).astype(np.uint8)
    if image.mode == "L" or image.mode == "I" or image.mode.startswith("I;16"):
        return _as_labels(np.asarray(image), "read_label_png", f"in {os.fspath(path)!r}")
    if image.mode not in ("LA", "RGB", "RGBA"):
        raise ValueError(
            f"read_label_png: path must hold a palette, grey or RGB image, got mode {image.mode} in {os.fspath(path)!r}"
        )
    if has_transparency(image):
        raise ValueError(f"read_label_png: path must hold opaque pixels, got transparent ones in {os.fspath(path)!r}")
    if image.mode == "LA":
        return np.array(image.getchannel("L"))
    return _look_up(np.asarray(image.convert("RGB")), os.fspath(path))


def write_label_png(path: PathLike, labels: np.typing.ArrayLike) -> None:
    """Writes a label map as a PNG file with the VOC palette.

    The file appears whole or not at all: it is written under another name first.

    Args:
        path: The file to make or replace.
        labels: Integers ``(H, W)`` in 0..255.

    Raises:
        OSError: The file cannot be written.
        TypeError: ``labels`` is not of an integer type.
        ValueError: It is not ``(H, W)``, is empty or has values outside 0..255.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "iub":
        raise TypeError(f"write_label_png: labels must be integers, got {array.dtype}")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"write_label_png: labels must be (H, W) and not empty, got shape {array.shape}")
    image = Image.fromarray(_as_labels(array, "write_label_png", "in labels"))
    image.putpalette(voc_palette().tobytes())
    save_png(image, path)


def in_voc_palette(image: Image.Image) -> bool:
    """Whether every pixel has a colour of the VOC palette."""
    known = set(map(tuple, voc_palette().tolist()))
    colors = image.convert("RGB").getcolors(len(known))  # None if there are more
    return colors is not None and all(color in known for _, color in colors)


def _as_labels(values: np.typing.NDArray[np.generic], caller: str, where: str) -> UInt8Array:
    if values.size and (values.min() < 0 or values.max() > 255):
        raise ValueError(f"{caller}: labels must be in 0..255, got {values.min()} to {values.max()} {where}")
    return values.astype(np.uint8)


def _packed(colors: UInt8Array) -> np.typing.NDArray[np.int32]:
    return np.asarray(colors.astype(np.int32) @ np.array([65536, 256, 1], np.int32))


def _palette_index() -> np.typing.NDArray[np.int16]:
    index = np.full(1 << 24, -1, np.int16)
    index[_packed(voc_palette())] = np.arange(256)
    return index


def _look_up(colors: UInt8Array, path: str) -> UInt8Array:
    labels = _palette_index()[_packed(colors)]
    if (labels < 0).any():
        row, column = np.argwhere(labels < 0)[0].tolist()
        raise ValueError(
            "read_label_png: path must hold labels or colours of the VOC palette, "
            f"got the colour {tuple(colors[row, column].tolist())} at x={column}, y={row} in {path!r}"
        )
    return labels.astype(np.uint8)
