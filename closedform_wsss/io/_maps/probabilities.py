"""Class probabilities of one image, in the files that segmentation frameworks write."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from closedform_wsss._arrays import as_array
from closedform_wsss.io._files.save import atomic
from closedform_wsss.io._maps.array_file import fault_of, load_item, loaded
from closedform_wsss.io._types import PathLike

FN = "read_probabilities"
# Of a dictionary or .npz: nnU-Net writes probabilities (softmax before version 2), mmsegmentation seg_logits,
# detectron2 sem_seg.
KEYS = ("probabilities", "probs", "softmax", "seg_logits", "sem_seg", "logits")
SUM_TOLERANCE = 0.02  # float16 of many classes


def read_probabilities(path: PathLike, *, logits: bool = False) -> Tensor:
    """Reads what a network predicts for one image: the probability of every class at every pixel.

    The content tells the format: an array in ``.npy``, an array in ``.npz`` (``probabilities``, as nnU-Net writes it,
    or the only one), or what ``torch.save`` writes (``.pt``, ``.pth``): a tensor, or a dictionary with
    ``probabilities``, ``seg_logits`` (mmsegmentation) or ``sem_seg`` (detectron2). float16 to float64.

    Args:
        path: The file.
        logits: Whether the file holds logits, which the softmax turns into probabilities. Default False.

    Returns:
        float32 ``(C, h, w)`` in [0, 1], adding up to 1 over the C >= 2 classes. Files may also hold ``(1, C, h, w)``,
        ``(C, 1, h, w)``, or, if they are no logits, ``(h, w, C)``.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: The file has none of these formats, is damaged, holds NaN or infinite values, or values that are no
            probabilities, or with ``logits`` values that are; or its pickle asks for anything but data.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from closedform_wsss.io import read_probabilities, write_probabilities
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "a.npz"
        ...     write_probabilities(path, np.full((4, 30, 40), 0.25, np.float32))
        ...     read_probabilities(path).shape
        torch.Size([4, 30, 40])
    """
    with open(path, "rb") as file:
        try:
            maps = _maps(load_item(file))
            return torch.from_numpy(_softmax(maps) if logits else _checked(maps))
        except Exception as error:
            raise ValueError(
                f"{FN}: path must hold probabilities (C, h, w), got {fault_of(error)} in {os.fspath(path)!r}"
            ) from error


def write_probabilities(path: PathLike, probs: npt.ArrayLike | Tensor) -> None:
    """Writes the class probabilities of one image as float16, 2 bytes a pixel and class before compression.

    The file is complete or does not appear: it is written under another name first.

    Args:
        path: The file to make or replace, a ``.npz`` with ``probabilities``. No suffix is added.
        probs: ``(C, h, w)`` in [0, 1], adding up to 1 over the C >= 2 classes. An array, or a tensor on any device.

    Raises:
        OSError: The file cannot be written.
        ValueError: ``probs`` are no probabilities.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> import torch
        >>> from closedform_wsss.io import write_probabilities
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "a.npz"
        ...     write_probabilities(path, torch.rand(4, 30, 40).softmax(0))
        ...     np.load(path)["probabilities"].dtype
        dtype('float16')
    """
    try:
        values = _checked(as_array(probs), of_file=False)
    except ValueError as error:
        raise ValueError(f"write_probabilities: probs must be probabilities (C, h, w), got {error}") from error
    with atomic(path) as file:
        np.savez_compressed(file, probabilities=values.astype(np.float16))


def _maps(item: Any) -> npt.NDArray[Any]:
    if isinstance(item, Mapping):
        name = next((key for key in KEYS if key in item), next(iter(item)) if len(item) == 1 else None)
        if name is None:
            raise ValueError(f"{', '.join(map(repr, list(item)[:5])) or 'nothing'}, none of {', '.join(KEYS)},")
        item = item[name]
    maps = loaded(item)
    if maps.dtype.kind != "f":
        raise ValueError(f"an array of type {maps.dtype}, not floating point,")
    if maps.ndim == 4 and 1 in maps.shape[:2]:
        maps = maps.reshape(-1, *maps.shape[2:])
    if maps.ndim != 3 or 0 in maps.shape:
        volume = ", a volume: save its slices," if maps.ndim == 4 else ""
        raise ValueError(f"an array of shape {maps.shape}{volume}")
    if not np.isfinite(maps).all():
        raise ValueError(f"{'NaN' if np.isnan(maps).any() else 'infinite'} values")
    return maps.astype(np.float32)


def _checked(maps: npt.NDArray[Any], *, of_file: bool = True) -> npt.NDArray[np.float32]:
    if maps.ndim != 3 or maps.dtype.kind != "f" or not np.isfinite(maps).all():
        raise ValueError(f"shape {maps.shape} and type {maps.dtype}, or values that are not finite")
    low, high = float(maps.min()), float(maps.max())
    if low < -SUM_TOLERANCE or high > 1 + SUM_TOLERANCE:
        cure = "for logits pass logits=True (--logits of a command)," if of_file else "of logits take the softmax first"
        raise ValueError(f"values from {low:.4g} to {high:.4g}: {cure}")
    if not _adds_up(maps, 0):
        if not (of_file and _adds_up(maps, 2)):
            sums = maps.sum(0)
            raise ValueError(
                f"{maps.shape[0]} maps that add up to {float(sums.min()):.3g} to {float(sums.max()):.3g} over the "
                "classes and not to 1: the background is a class too"
            )
        maps = np.moveaxis(maps, 2, 0)
    values: npt.NDArray[np.float32] = np.ascontiguousarray(maps, np.float32).clip(0, 1)
    return values / values.sum(0)


def _adds_up(maps: npt.NDArray[Any], axis: int) -> bool:
    return maps.shape[axis] > 1 and bool((np.abs(maps.sum(axis, dtype=np.float32) - 1) < SUM_TOLERANCE).all())


def _softmax(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if len(maps) < 2:
        raise ValueError("one map: stack that of the background and that of the class")
    if maps.min() >= 0 and maps.max() <= 1 and (_adds_up(maps, 0) or _adds_up(maps, 2)):
        raise ValueError("probabilities, in [0, 1] and adding up to 1, and no logits: leave out logits (--logits)")
    return torch.from_numpy(maps).softmax(0).numpy()
