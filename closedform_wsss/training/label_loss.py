"""The cross-entropy on labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._checks import (
    check_finite,
    check_logits,
    check_maps,
    check_same_view,
    check_target,
    compute_dtype,
)
from closedform_wsss._resize import resize_marks


def label_loss(fn: str, logits: Tensor, target: Tensor, class_weight: Tensor | None, ignore_index: int) -> Tensor:
    """Mean over the pixels that have a label, weighted by their classes; zero with a graph where none has one.

    The target ``(N, H', W')`` follows the size of the logits ``(N, C, H, W)``.
    """
    logits = check_maps(fn, "logits", logits, None, None)
    check_logits(fn, logits)
    n, classes, h, w = logits.shape
    target = check_target(fn, target, n, logits.device, classes, ignore_index, of="logits")
    check_finite(fn, "logits", logits)
    check_same_view(fn, target=target, logits=logits)
    x = logits.to(compute_dtype(logits))
    if x.numel() == 0:
        return x.sum()
    target = resize_marks(target, (h, w), classes, ignore_index)
    # Few numbers, which the driver copies before it returns: nothing waits for the device.
    weight = x.new_ones(classes) if class_weight is None else class_weight.to(x, non_blocking=True)
    labelled = target != ignore_index
    total = (weight[torch.where(labelled, target, 0)] * labelled).sum()
    # Added up apart: on a GPU cross_entropy does it in any order.
    loss = F.cross_entropy(x, target, weight, ignore_index=ignore_index, reduction="none")
    return loss.sum() / total.clamp_min(torch.finfo(x.dtype).tiny)
