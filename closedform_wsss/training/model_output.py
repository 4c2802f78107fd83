"""The logits in what a model returns, and its probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from closedform_wsss._checks import check_finite, check_logits, check_maps, check_tensor, check_unit_range
from closedform_wsss._resize import resize_image, resize_probabilities, scaled_size
from closedform_wsss.io._maps.probabilities import SUM_TOLERANCE


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


def probabilities(
    fn: str, predict: Callable[[Tensor], Any], image: Tensor, classes: int, scales: Sequence[float], flip: bool
) -> Tensor:
    """``(1, C, h, w)`` on the CPU, for an image ``(1, D, H, W)``: the mean over its copies at these scales, and over
    the mirrored ones, at the size of the largest prediction."""
    views = []
    for scale in scales:
        size = scaled_size((image.shape[2], image.shape[3]), scale)
        copy = resize_image(image, size)
        for mirrored in (False, True)[: 1 + flip]:
            # Nothing is shared with predict: it may normalise in place, and write its next output over this one.
            logits = _predicted(fn, predict, copy.flip(-1) if mirrored else copy.clone(), scale)
            p = _checked(fn, logits, classes).float().softmax(1)
            views.append(p.flip(-1) if mirrored else p)
    largest = max((p.shape for p in views), key=lambda shape: shape[2] * shape[3])
    probs = [resize_probabilities(p, (largest[2], largest[3])) for p in views]
    return torch.stack(probs).mean(0).cpu()


def _checked(fn: str, logits: Tensor, classes: int) -> Tensor:
    if check_maps(fn, "logits", logits, 1, None).shape[1] != classes or 0 in logits.shape:
        raise ValueError(f"{fn}: predict must give (1, {classes}, h, w), got shape {tuple(logits.shape)}")
    check_finite(fn, "logits", logits)
    check_logits("PseudoLabeler.update", logits)  # without the name of the sample: a warning is shown once
    return logits


def _predicted(fn: str, predict: Callable[[Tensor], Any], image: Tensor, scale: float) -> Tensor:
    try:
        return logits_of(fn, predict(image))
    except Exception as error:
        if scale == 1:
            raise
        raise RuntimeError(
            f"{fn}: predict failed for the image at {scale:g} times its size, {tuple(image.shape)}: {error}. Pass "
            "Recipe(prediction_scales=(1,)) if the network takes images of one size only, or if memory is short"
        ) from error


def check_probabilities(fn: str, probs: Tensor, classes: int) -> Tensor:
    """``(1, C, h, w)`` on the CPU, of probabilities ``(C, h, w)``."""
    check_tensor(fn, "probs", probs)
    if probs.ndim != 3 or probs.shape[0] != classes or 0 in probs.shape:
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
