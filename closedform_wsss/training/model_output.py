"""The logits in what a model returns, and its probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from closedform_wsss._checks import check_finite, check_maps, check_tensor, check_unit_range
from closedform_wsss.io._probabilities import SUM_TOLERANCE


def logits_of(fn: str, output: Any) -> Tensor:
    """A tensor, the entry "out" or "logits" of a dictionary, or the attribute ``logits``."""
    if isinstance(output, Tensor):
        return output
    found = output.get("out", output.get("logits")) if isinstance(output, dict) else getattr(output, "logits", None)
    if not isinstance(found, Tensor):
        raise TypeError(
            f"{fn}: predict must return logits, got {type(output).__name__}: pass a function that returns a tensor "
            "(1, C, h, w)"
        )
    return found


def probabilities(fn: str, predict: Callable[[Tensor], Any], image: Tensor, classes: int, flip: bool) -> Tensor:
    """``(1, C, h, w)`` on the CPU, for an image ``(1, D, H, W)``; with ``flip`` the mean with the mirrored image's."""
    views = [logits_of(fn, predict(image))]
    if flip:
        views.append(logits_of(fn, predict(image.flip(-1))).flip(-1))
    for logits in views:
        if check_maps(fn, "logits", logits, 1, None).shape[1] != classes:
            raise ValueError(f"{fn}: predict must give (1, {classes}, h, w), got shape {tuple(logits.shape)}")
        check_finite(fn, "logits", logits)
    return torch.stack([logits.float().softmax(1) for logits in views]).mean(0).cpu()


def check_probabilities(fn: str, probs: Tensor, classes: int) -> Tensor:
    """``(1, C, h, w)`` on the CPU, of probabilities ``(C, h, w)``."""
    check_tensor(fn, "probs", probs)
    if probs.ndim != 3 or probs.shape[0] != classes:
        raise ValueError(f"{fn}: probs must be ({classes}, h, w), got shape {tuple(probs.shape)}")
    p = check_maps(fn, "probs", probs[None], 1, None).float().cpu()
    check_unit_range(fn, "probs", p)
    sums = p.sum(1)
    if not bool(((sums - 1).abs() < SUM_TOLERANCE).all()):
        raise ValueError(
            f"{fn}: probs must add up to 1 over the classes, got sums from {float(sums.min()):.3g} to "
            f"{float(sums.max()):.3g}"
        )
    return p.clamp(0, 1) / sums[:, None]
