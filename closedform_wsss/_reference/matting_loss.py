"""The closed-form loss and its gradient; the kernel is ``csrc/cpu/matting_loss.cpp``, which has the formulas."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.activation import Activation, activate, pull_back
from closedform_wsss._reference.matting_product import matting_product


def matting_loss(
    stencil: Tensor,
    row_sums: Tensor | None,
    x: Tensor,
    target: Tensor,
    weight: Tensor,
    mark_weight: float,
    ignore_index: int,
    residual: bool,
    activation: Activation,
    with_gradient: bool,
) -> tuple[Tensor, Tensor]:
    """Loss ``(N,)`` and gradient ``(N, C, H, W)`` (empty if not asked for) of x ``(N, C, H, W)``.

    Both have the dtype of the stencil.
    row_sums ``(N, H, W)`` or None, target ``(N, H, W)`` int64, weight ``(N, C)``.
    """
    maps = activate(x.to(stencil.dtype), activation)
    pixels = target.shape[-1] * target.shape[-2]
    marks = (target != ignore_index).to(maps.dtype) * mark_weight
    classes = torch.arange(maps.shape[1], device=maps.device)[:, None, None]
    error = maps - (target[:, None] == classes).to(maps.dtype)
    smooth = matting_product(stencil, maps, row_sums)
    r = smooth + marks[:, None] * error
    weight = weight[:, :, None, None]
    if residual:
        loss = (weight * r * r).sum((1, 2, 3)) / (pixels * mark_weight)
        gradient = (
            2
            / (pixels * mark_weight)
            * weight
            * matting_product(stencil, r, marks if row_sums is None else marks + row_sums)
        )
    else:
        loss = (weight * (maps * smooth + marks[:, None] * error * error)).sum((1, 2, 3)) / pixels
        gradient = 2 / pixels * weight * r
    return loss, pull_back(maps, gradient, activation) if with_gradient else maps.new_empty(0)
