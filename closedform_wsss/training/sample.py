"""A training image, as :class:`PseudoLabeler` gets it, and what it keeps of it during a round."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from closedform_wsss._checks import check_image, check_same_view, check_target, check_tensor
from closedform_wsss.io._files.result_names import result_file
from closedform_wsss.io._files.save import atomic

Sample = tuple[str, Tensor, Tensor]


def each_of(fn: str, samples: Any) -> Iterator[Any]:
    """The samples of an iterable, or of a sequence as map-style data sets are."""
    try:
        return iter(samples)
    except TypeError:
        raise TypeError(
            f"{fn}: samples must be an iterable of (key, image, marks), got {type(samples).__name__}"
        ) from None


def parts_of(fn: str, sample: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    """The parts of a sample, which have these names."""
    parts = tuple(sample) if isinstance(sample, (tuple, list)) else None
    if parts is None or len(parts) != len(names):
        got = type(sample).__name__ if parts is None else f"{len(parts)} parts, {', '.join(map(_kind, parts))}"
        raise TypeError(f"{fn}: samples must be ({', '.join(names)}), with a name as key, got {got}")
    return parts


def _kind(part: object) -> str:
    return f"Tensor {tuple(part.shape)}" if isinstance(part, Tensor) else type(part).__name__


def check_sample(fn: str, image: Tensor, marks: Tensor, classes: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Image, float32 in [0, 1], and marks on the CPU, each of a batch of one."""
    for name, value, shape in (("image", image, "(D, H, W)"), ("marks", marks, "(H, W)")):
        check_tensor(fn, name, value)
        if value.ndim != shape.count(",") + 1:
            raise ValueError(
                f"{fn}: {name} must be {shape}, got shape {tuple(value.shape)}: pass the samples one by one, "
                "without a batch dimension"
            )
    target = check_target(fn, marks[None], 1, None, classes, ignore_index, name="marks")
    check_same_view(fn, marks=marks, image=image)
    return check_image(fn, image[None]).float(), target.cpu()


def file_of(folder: Path, key: str, suffix: str) -> Path:
    if not isinstance(key, str):
        raise TypeError(f"PseudoLabeler: keys must be text, got {type(key).__name__} {key!r}: pass str(key)")
    return result_file("PseudoLabeler: keys", folder, key, suffix)


def store(file: Path, p: Tensor, image: Tensor, marks: Tensor) -> None:
    """Probabilities ``(1, C, h, w)``, image ``(1, D, h, w)`` in [0, 1] and marks ``(1, H, W)``, in few bits."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic(file) as stream:
        np.savez(
            stream,
            probs=p[0].half().numpy(),
            image=(image[0] * 255).round().byte().numpy(),
            marks=marks[0].to(torch.int16).numpy(),
        )


def load(file: Path) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`store` has written: float32, uint8, int64."""
    with np.load(file) as arrays:
        p, image, marks = (torch.from_numpy(arrays[name])[None] for name in ("probs", "image", "marks"))
    p = p.float()
    return p / p.sum(1, keepdim=True), image, marks.long()
