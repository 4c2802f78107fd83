"""The pictures that ``closedform-wsss matte`` writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from closedform_wsss.labels import voc_palette, write_label_png
from closedform_wsss.labels._save import save_png

_FloatArray = npt.NDArray[np.floating]
_UInt8Array = npt.NDArray[np.uint8]


def write_matte(
    folder: Path,
    image: _UInt8Array,
    marks: _UInt8Array,
    alpha: _FloatArray,
    classes: Sequence[int],
    bits: int,
) -> list[Path]:
    """Writes the alpha of every class, the label map and an overlay.

    Args:
        folder: An existing folder.
        image: uint8 ``(H, W, 3)``.
        marks: uint8 ``(H, W)``, 255 unmarked.
        alpha: ``(C, H, W)``, one map for each entry of ``classes``; clipped to 0..1 here.
        classes: Class numbers, ascending.
        bits: 8 or 16, of the alpha files.

    Returns:
        The files, in the order of writing.
    """
    clipped = alpha.clip(0, 1)
    files = []
    for index, label in enumerate(classes):
        files.append(folder / f"alpha_{label}.png")
        _write_alpha(files[-1], clipped[index], bits)
    if list(classes) == [0, 1]:
        files.append(folder / "alpha.png")
        _write_alpha(files[-1], clipped[1], bits)
    files.append(folder / "labels.png")
    write_label_png(files[-1], np.asarray(classes)[alpha.argmax(axis=0)])
    files.append(folder / "overlay.png")
    save_png(Image.fromarray(overlay(image, marks, clipped, classes)), files[-1])
    return files


def overlay(image: _UInt8Array, marks: _UInt8Array, alpha: _FloatArray, classes: Sequence[int]) -> _UInt8Array:
    """Half the image and half its classes' colours, in the shares of their alphas; marks in full colour."""
    palette = voc_palette()
    share = alpha / np.maximum(alpha.sum(axis=0), 1e-6)
    colors = np.tensordot(share, palette[list(classes)].astype(alpha.dtype), axes=(0, 0))
    blended = np.rint((image + colors) / 2).clip(0, 255).astype(np.uint8)
    marked = marks != 255
    blended[marked] = palette[marks[marked]]
    return blended


def _write_alpha(path: Path, alpha: _FloatArray, bits: int) -> None:
    kind = np.uint8 if bits == 8 else np.uint16
    values = np.rint(alpha.astype(np.float64) * np.iinfo(kind).max).astype(kind)
    save_png(Image.fromarray(values), path)
