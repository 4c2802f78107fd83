"""Losses by name, to be added up with weights.

A loss is a function of a :class:`Batch`. A script can add further losses to ``LOSSES``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss.functional import (
    classes_present,
    closed_form_loss,
    mark_loss,
    soft_slic,
    superpixel_consistency_loss,
)
from closedform_wsss.io import IGNORE_INDEX
from closedform_wsss.nn import ClosedFormLoss


@dataclass
class Batch:
    """The data of a step: logits ``(N, C, H, W)``, image ``(N, 3, H, W)`` in [0, 1], target ``(N, H, W)`` int64: masks,
    marks, or after the first round of self-training its labels."""

    logits: Tensor
    image: Tensor
    target: Tensor
    class_weight: Tensor | None = None


def cross_entropy(batch: Batch) -> Tensor:
    """The cross-entropy on the marked pixels. Without marks it is zero, with a graph."""
    loss = F.cross_entropy(
        batch.logits, batch.target, weight=batch.class_weight, ignore_index=IGNORE_INDEX, reduction="none"
    )
    marked = batch.target != IGNORE_INDEX
    weight = marked.float()
    if batch.class_weight is not None:
        weight = weight * batch.class_weight[torch.where(marked, batch.target, 0)]
    return loss.sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)


def marks(batch: Batch) -> Tensor:
    """Cross-entropy on the marks, absent classes, the energy and the dense CRF."""
    present = classes_present(batch.target, batch.logits.shape[1])  # nothing was cropped
    return mark_loss(batch.logits, batch.target, batch.image, class_present=present)


def energy(batch: Batch) -> Tensor:
    """The energy form. The cross-entropy already uses the marks: here they choose the scale."""
    return closed_form_loss(batch.logits, batch.target, batch.image, mark_weight=0)


def residual(batch: Batch) -> Tensor:
    """The paper's form, with the marks."""
    return ClosedFormLoss.paper()(batch.logits, batch.target, batch.image)


def paper(batch: Batch) -> Tensor:
    """The paper's loss alone: the residual, with the classes of the marks as image-level labels."""
    present = classes_present(batch.target, batch.logits.shape[1])
    return ClosedFormLoss.paper()(batch.logits, batch.target, batch.image, class_present=present)


def learning_based(batch: Batch) -> Tensor:
    """The same as :func:`energy`, with the learning-based Laplacian."""
    return closed_form_loss(batch.logits, batch.target, batch.image, mark_weight=0, kind="learning_based")


def superpixel(batch: Batch) -> Tensor:
    """Cross-entropy on the targets, weighted by their agreement with the superpixels."""
    return superpixel_consistency_loss(batch.logits, batch.target, soft_slic(batch.image, cell_size=8))


def spl(batch: Batch) -> Tensor:
    """The same alone, as in its paper."""
    return superpixel(batch)


# Those that contain the cross-entropy on the targets, or take its place.
WHOLE = ("marks", "paper", "spl")
LOSSES: dict[str, Callable[[Batch], Tensor]] = {
    loss.__name__: loss for loss in (cross_entropy, marks, energy, residual, paper, learning_based, superpixel, spl)
}
