"""The cross-entropy on labels, and the dense CRF."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._checks import (
    check_finite,
    check_image,
    check_logits,
    check_maps,
    check_same_view,
    check_target,
    compute_dtype,
)
from closedform_wsss._resize import Averages, resize_image, resize_marks
from closedform_wsss.functional.mark_loss import crf_of_marks
from closedform_wsss.lattice import check_channels


def label_loss(
    fn: str,
    logits: Tensor,
    target: Tensor,
    class_weight: Tensor | None,
    ignore_index: int,
    image: Tensor | None = None,
    crf_weight: float = 0.0,
) -> Tensor:
    """Mean over the pixels that have a label, weighted by their classes; zero with a graph where none has one.

    Target ``(N, H', W')`` and image ``(N, D, H'', W'')`` follow the size of the logits ``(N, C, H, W)``. With an image,
    the dense CRF of :func:`~closedform_wsss.functional.mark_loss` is added.
    """
    if image is not None:
        image = check_image(fn, image)
        if crf_weight:
            check_channels(fn, image, ", or crf_weight=0")
    batch = (None, None) if image is None else (len(image), image.device)
    logits = check_maps(fn, "logits", logits, *batch)
    check_logits(fn, logits)
    n, classes, h, w = logits.shape
    target = check_target(fn, target, n, logits.device, classes, ignore_index, of="logits")
    check_finite(fn, "logits", logits)
    check_same_view(fn, target=target, image=image, logits=logits)
    x = logits.to(compute_dtype(logits))
    if x.numel() == 0:
        return x.sum()
    target = resize_marks(target, (h, w), classes, ignore_index)
    # Few numbers, which the driver copies before it returns: nothing waits for the device.
    weight = x.new_ones(classes) if class_weight is None else class_weight.to(x, non_blocking=True)
    labelled = target != ignore_index
    total = (weight[torch.where(labelled, target, 0)] * labelled).sum()
    # Added up apart: on a GPU nll_loss does it in any order.
    log_a = x.log_softmax(1)
    loss = F.nll_loss(log_a, target, weight, ignore_index=ignore_index, reduction="none")
    loss = loss.sum() / total.clamp_min(torch.finfo(x.dtype).tiny)
    if image is not None and crf_weight:
        image = resize_image(image.to(x.dtype), (h, w))
        loss = loss + crf_weight * crf_of_marks(Averages(log_a.exp()), image, target, ignore_index).mean()
    return loss
