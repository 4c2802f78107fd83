"""The closed-form loss and its gradient; the kernel is ``csrc/cpu/matting_loss.cpp``, which has the formulas."""

from __future__ import annotations

import torch
from torch import Tensor

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
    with_gradient: bool,
) -> tuple[Tensor, Tensor]:
    """Loss ``(N,)`` and gradient ``(N, C, H, W)`` (empty if not asked for) of x ``(N, C, H, W)``.

    row_sums ``(N, H, W)`` or None, target ``(N, H, W)`` int64, weight ``(N, C)``.
    """
    pixels = target.shape[-1] * target.shape[-2]
    marks = (target != ignore_index).to(x.dtype) * mark_weight
    classes = torch.arange(x.shape[1], device=x.device)[:, None, None]
    error = x - (target[:, None] == classes).to(x.dtype)
    smooth = matting_product(stencil, x, row_sums)
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
        loss = (weight * (x * smooth + marks[:, None] * error * error)).sum((1, 2, 3)) / pixels
        gradient = 2 / pixels * weight * r
    return loss, gradient if with_gradient else x.new_empty(0)
