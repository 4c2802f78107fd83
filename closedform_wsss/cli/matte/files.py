"""The pictures that ``closedform-wsss matte`` writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from closedform_wsss._build import num_threads
from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss._matte import cutout
from closedform_wsss.io import from_array, voc_palette, write_label_png
from closedform_wsss.io._files.save import save_png

_FloatArray = npt.NDArray[np.floating]
_UInt8Array = npt.NDArray[np.uint8]

_BAND = 1 << 16  # pixels


def write_matte(
    folder: Path,
    image: _UInt8Array,
    marks: _UInt8Array,
    alpha: _FloatArray,
    classes: Sequence[int],
    bits: int,
    *,
    cutouts: bool = False,
) -> list[Path]:
    """Writes the alpha of every class, the label map, an overlay, and cut-outs.

    Args:
        folder: An existing folder.
        image: uint8 ``(H, W, 3)``.
        marks: uint8 ``(H, W)``, 255 unmarked.
        alpha: ``(C, H, W)``, one map for each entry of ``classes``. It is clipped to 0..1 here.
        classes: Class numbers, ascending.
        bits: 8 or 16, of the alpha files.
        cutouts: Also the cut-out of every class; of the classes 0 and 1 only that of the foreground.

    Returns:
        The files: the alphas in the order of the classes, the label map, the overlay, the cut-outs.
    """
    writers: dict[Path, Callable[[Path], None]] = {}
    for index, label in enumerate(classes):
        writers[folder / f"alpha_{label}.png"] = partial(write_alpha, alpha[index], bits)
    if list(classes) == [0, 1]:
        writers[folder / "alpha.png"] = partial(write_alpha, alpha[1], bits)
    writers[folder / "labels.png"] = partial(_write_labels, alpha, classes)
    writers[folder / "overlay.png"] = partial(_write_overlay, image, marks, alpha, classes)
    if cutouts and list(classes) == [0, 1]:
        writers[folder / "cutout.png"] = partial(write_cutout, image, alpha[1])
    elif cutouts:
        for index, label in enumerate(classes):
            writers[folder / f"cutout_{label}.png"] = partial(write_cutout, image, alpha[index])
    _run([partial(write, path) for path, write in writers.items()])
    return list(writers)


def result_names(classes: Sequence[int], *, cutouts: bool) -> list[str]:
    """The names of the files of ``write_matte``."""
    names = [*(f"alpha_{label}.png" for label in classes), "labels.png", "overlay.png"]
    if list(classes) == [0, 1]:
        return [*names, "alpha.png", *(["cutout.png"] if cutouts else [])]
    return [*names, *(f"cutout_{label}.png" for label in classes if cutouts)]


def overlay(image: _UInt8Array, marks: _UInt8Array, alpha: _FloatArray, classes: Sequence[int]) -> _UInt8Array:
    """The mean of the image and the colours of its classes, weighted by their alphas; marks in full colour."""
    palette = voc_palette()
    colors = palette[list(classes)].astype(alpha.dtype)
    blended = np.empty_like(image)
    for rows in _bands(*marks.shape):
        clipped = alpha[:, rows].clip(0, 1)
        weight = clipped / np.maximum(clipped.sum(axis=0), 1e-6)
        blended[rows] = np.rint((image[rows] + np.tensordot(weight, colors, axes=(0, 0))) / 2).clip(0, 255)
    marked = marks != IGNORE_INDEX
    blended[marked] = palette[marks[marked]]
    return blended


def write_alpha(alpha: _FloatArray, bits: int, path: Path) -> None:
    """Writes alpha ``(H, W)``, clipped."""
    kind = np.uint8 if bits == 8 else np.uint16
    values = np.empty(alpha.shape, kind)
    for rows in _bands(*alpha.shape):
        values[rows] = np.rint(alpha[rows].clip(0, 1).astype(np.float64) * np.iinfo(kind).max)
    save_png(Image.fromarray(values), path)


def write_cutout(image: _UInt8Array, alpha: _FloatArray, path: Path) -> None:
    """Writes the foreground's own colours with alpha ``(H, W)``, clipped."""
    pixels = cutout(from_array(image)[None], torch.from_numpy(alpha).clamp(0, 1))
    save_png(Image.fromarray(pixels), path, compress_level=4)


def _write_labels(alpha: _FloatArray, classes: Sequence[int], path: Path) -> None:
    height, width = alpha.shape[1:]
    values = np.empty((height, width), np.uint8)
    for rows in _bands(height, width):
        values[rows] = np.asarray(classes)[alpha[:, rows].argmax(axis=0)]
    write_label_png(path, values)


def _write_overlay(
    image: _UInt8Array, marks: _UInt8Array, alpha: _FloatArray, classes: Sequence[int], path: Path
) -> None:
    # Level 6 takes more than twice as long and makes a photograph only a few per cent smaller.
    save_png(Image.fromarray(overlay(image, marks, alpha, classes)), path, compress_level=4)


def _bands(height: int, width: int) -> Iterator[slice]:
    """Slices of few rows, so that their temporary arrays stay in the cache."""
    rows = max(_BAND // width, 1)
    return (slice(top, top + rows) for top in range(0, height, rows))


def _run(jobs: Sequence[Callable[[], None]]) -> None:
    """Runs the jobs on as many threads as a kernel uses; raises the first error in the order of the jobs."""
    threads = num_threads()
    if threads == 1:
        for job in jobs:
            job()
        return
    pool = ThreadPoolExecutor(threads)
    try:
        # The last jobs first: cut-outs and the overlay take the longest.
        futures = [pool.submit(job) for job in reversed(jobs)]
        for future in reversed(futures):
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)
