"""Label maps as image files, most of them with the PASCAL VOC palette."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from closedform_wsss._arrays import as_array
from closedform_wsss.io._files.save import save_png
from closedform_wsss.io._labels.palette import VOC_COLORS, Palette, check_indices, check_palette, look_up
from closedform_wsss.io._pictures.image import has_transparency
from closedform_wsss.io._pictures.open import Opened, check_lossless, open_image
from closedform_wsss.io._tensors import label_tensor
from closedform_wsss.io._types import PathLike, UInt8Array

VOC_CLASSES: tuple[str, ...] = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


def read_label_png(path: PathLike, *, palette: Palette = "auto", orientation: str | None = None) -> Tensor:
    """Reads a label map.

    The labels of a grey or bilevel file are its stored samples, at any depth. The labels of a palette file are its
    indices. The colours of a colour file are looked up in the VOC palette.

    Programs that reduce the colours of a picture, or write it as GIF, give the colours new indices. Therefore a palette
    file whose colours are all of the VOC palette, but at other indices, is refused unless ``palette`` says whether the
    labels are the indices or the colours.

    Args:
        path: A PNG, or a file in another lossless format.
        palette: ``"auto"`` (the default) as described; ``"index"`` always the indices of a palette file, and the grey
            values of a colour file that shows only grey; ``"voc"`` always the colours, looked up in the VOC palette.
            Or the colours of another palette in class order, integers ``(C, 3)``, such as those of
            :func:`read_label_colors`: then the label of a pixel is the place of its colour.
        orientation: What to do if the EXIF data says that the file is turned: see :func:`read_image`.

    Returns:
        int64 ``(H, W)``.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: The file is not an image, or is lossy; it has labels above 255, transparent pixels, a colour outside
            the VOC palette, or a palette whose indices and colours are different labels; the stored samples cannot be
            known (grey and alpha of 16 bits, a TIFF in which white is zero); an option has another value.

    Example:
        >>> import tempfile, pathlib
        >>> from closedform_wsss.io import read_label_png, write_label_png
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "labels.png"
        ...     write_label_png(path, [[0, 15, 255]])
        ...     read_label_png(path).tolist()
        [[0, 15, 255]]
    """
    opened = open_image(path, "read_label_png", orientation=orientation)
    return label_tensor(as_labels(label_codes(opened, palette), "read_label_png", f"in {opened.path!r}"))


def write_label_png(path: PathLike, labels: npt.ArrayLike | Tensor) -> None:
    """Writes a label map as a PNG file with the VOC palette.

    The file is complete or does not appear: it is written under another name first.

    Args:
        path: The file to make or replace.
        labels: Integers ``(H, W)`` in 0..255, an array or a tensor on any device.

    Raises:
        OSError: The file cannot be written.
        TypeError: ``labels`` is not of an integer type.
        ValueError: It is not ``(H, W)``, is empty or has values outside 0..255.

    Example:
        >>> import pathlib, tempfile
        >>> import torch
        >>> from closedform_wsss.io import read_label_png, write_label_png
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "labels.png"
        ...     write_label_png(path, torch.tensor([[0, 15, 255]]))
        ...     read_label_png(path).tolist()
        [[0, 15, 255]]
    """
    array = as_array(labels)
    if array.dtype.kind not in "iub":
        raise TypeError(f"write_label_png: labels must be integers, got {array.dtype}")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"write_label_png: labels must be (H, W) and not empty, got shape {array.shape}")
    image = Image.fromarray(as_labels(array, "write_label_png", "in labels"))
    image.putpalette(VOC_COLORS.tobytes())
    save_png(image, path)


def label_codes(opened: Opened, palette: Palette) -> npt.NDArray[Any]:
    """The labels ``(H, W)`` of a decoded file, of any integer type and range.

    Raises:
        ValueError: As in ``read_label_png``, except for the range.
    """
    colors = check_palette(opened.caller, palette)
    check_lossless(opened)
    image, where = opened.image, f"in {opened.path!r}"
    if opened.white_is_zero:
        raise ValueError(
            f"{opened.caller}: path must hold labels that all programs read alike, got a TIFF in which white is zero, "
            f"whose values some programs invert, {where}: store it with black as zero, or as PNG"
        )
    by_color = colors is not None or palette == "voc"
    if image.mode == "P" and not by_color:
        indices = np.array(image)
        if palette == "auto":
            check_indices(opened, indices)
        return indices
    grey = image.mode in ("1", "L", "I") or image.mode.startswith("I;16")
    if grey and not by_color:
        if opened.wide_color:
            raise _too_deep(opened)
        return opened.samples()
    if image.mode not in ("1", "L", "P", "LA", "RGB", "RGBA"):
        kinds = (
            f"colours of 8 bits for palette={'colours' if palette != 'voc' else repr(palette)}"
            if grey
            else "a palette, grey or RGB image"
        )
        raise ValueError(f"{opened.caller}: path must hold {kinds}, got mode {image.mode} {where}")
    if image.mode != "P" and has_transparency(image):
        raise ValueError(f"{opened.caller}: path must hold opaque pixels, got transparent ones {where}")
    return _from_colors(opened, palette, colors)


def as_labels(values: npt.NDArray[Any], caller: str, where: str) -> UInt8Array:
    """Integers as uint8, if they are in 0..255."""
    if values.size and (values.min() < 0 or values.max() > 255):
        raise ValueError(f"{caller}: labels must be in 0..255, got {values.min()} to {values.max()} {where}")
    return values.astype(np.uint8)


def _from_colors(opened: Opened, palette: Palette, table: UInt8Array | None) -> UInt8Array:
    colors = np.asarray(opened.image.convert("RGB"))
    is_grey = bool((colors == colors[..., :1]).all())
    # With 16 bits a channel Pillow gives the upper 8, so labels in the lower 8 would be lost.
    if opened.wide_color and (is_grey or palette == "index"):
        raise _too_deep(opened)
    if opened.image.mode == "LA" and palette != "voc" and table is None:
        return colors[..., 0].copy()
    if palette != "index":
        return look_up(opened, colors, table)
    if not is_grey:
        raise ValueError(
            f"{opened.caller}: palette must be 'auto' or 'voc' for a file in colours without a palette, got 'index' "
            f"for {opened.path!r}"
        )
    return colors[..., 0].copy()


def _too_deep(opened: Opened) -> ValueError:
    return ValueError(
        f"{opened.caller}: path must hold labels of 8 bits, or of 16 in a plain grey PNG, PGM or TIFF, got 16 bits a "
        f"channel, of which the lower ones cannot be read, in {opened.path!r}"
    )
