"""Losses by name, to be added up with weights.

A loss is a function of a :class:`Batch`; a script may put further ones into ``LOSSES``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss.functional import closed_form_loss, soft_slic, superpixel_consistency_loss
from closedform_wsss.io import IGNORE_INDEX


@dataclass
class Batch:
    """What a step knows: logits ``(N, C, H, W)``, image ``(N, 3, H, W)`` in [0, 1], target ``(N, H, W)`` int64, and
    pseudo-labels ``(N, C, H, W)`` that add up to 1 once there are some."""

    logits: Tensor
    image: Tensor
    target: Tensor
    pseudo: Tensor | None = None
    class_weight: Tensor | None = None


def cross_entropy(batch: Batch) -> Tensor:
    """On the marked pixels; zero, with a graph, if there are none."""
    loss = F.cross_entropy(
        batch.logits, batch.target, weight=batch.class_weight, ignore_index=IGNORE_INDEX, reduction="none"
    )
    marked = batch.target != IGNORE_INDEX
    weight = marked.float()
    if batch.class_weight is not None:
        weight = weight * batch.class_weight[torch.where(marked, batch.target, 0)]
    return loss.sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)


def pseudo_cross_entropy(batch: Batch) -> Tensor:
    """On the likeliest class of the pseudo-labels, which hold the marks. (Weighted by class, soft ones would lean to
    the rare classes everywhere.)"""
    assert batch.pseudo is not None
    return F.cross_entropy(batch.logits, batch.pseudo.argmax(1), batch.class_weight)


def energy(batch: Batch) -> Tensor:
    """The closed-form loss as an energy, of the predictions alone: the cross-entropy holds them to the marks."""
    return closed_form_loss(
        batch.logits, torch.full_like(batch.target, IGNORE_INDEX), batch.image, form="energy", eps=1e-4
    )


def residual(batch: Batch) -> Tensor:
    """The paper's form, with the marks."""
    return closed_form_loss(batch.logits, batch.target, batch.image)


def learning_based(batch: Batch) -> Tensor:
    """As :func:`energy`, on the learning-based Laplacian."""
    return closed_form_loss(
        batch.logits,
        torch.full_like(batch.target, IGNORE_INDEX),
        batch.image,
        form="energy",
        kind="learning_based",
        eps=1e-4,
    )


def superpixel(batch: Batch) -> Tensor:
    """Cross-entropy on hard pseudo-labels, trusted as far as their superpixel agrees; on the marks before there are
    any."""
    labels = batch.target if batch.pseudo is None else batch.pseudo.argmax(1)
    return superpixel_consistency_loss(batch.logits, labels, soft_slic(batch.image, cell_size=8), cell_size=8)


LOSSES: dict[str, Callable[[Batch], Tensor]] = {
    loss.__name__: loss for loss in (cross_entropy, pseudo_cross_entropy, energy, residual, learning_based, superpixel)
}
