"""The closed-form loss of each image, (N,), and its gradient with respect to x (N, C, H, W), in one sweep over x.

x: logits, or with no activation maps, in the stencil's or half precision. Loss and gradient have the stencil's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from closedform_wsss import _C, _reference
from closedform_wsss._common.activation import NUMBER, Activation, activate, pull_back, pull_back_gradient
from closedform_wsss._ops._define import define, define_gradient, launch, new_large
from closedform_wsss._ops._last_backward import may_overwrite, saved_without_hooks
from closedform_wsss._ops.matting import matting_product


def _matting_loss(
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
    n, c, h, w = x.shape
    x, target, weight = x.contiguous(), target.contiguous(), weight.contiguous()
    row_sums = None if row_sums is None else row_sums.contiguous()
    parts = stencil.new_empty(n, _C.matting_loss_parts(h, w), dtype=torch.float64)
    loss = stencil.new_empty(n, dtype=torch.float64)
    gradient = new_large(stencil, x.shape) if with_gradient else None
    options = (mark_weight, ignore_index, residual, NUMBER[activation])
    launch("matting_loss", x, stencil, row_sums, x, target, weight, *options, parts, loss, gradient, n, c, h, w)
    return loss.to(stencil.dtype), stencil.new_empty(0) if gradient is None else gradient


def _matting_loss_fake(
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
    return stencil.new_empty(x.shape[0]), stencil.new_empty(x.shape if with_gradient else 0)


matting_loss = define(
    "matting_loss",
    "(Tensor stencil, Tensor? row_sums, Tensor x, Tensor target, Tensor weight, float mark_weight, int ignore_index,"
    " bool residual, str? activation, bool with_gradient) -> (Tensor, Tensor)",
    _matting_loss,
    _reference.matting_loss,
    _matting_loss_fake,
)


def _matting_loss_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    stencil, row_sums, x, target, weight, *options, with_gradient = inputs
    ctx.set_materialize_grads(False)
    ctx.options, ctx.dtype, ctx.without_hooks = tuple(options), x.dtype, saved_without_hooks()
    # Without an activation second derivatives do not need x: the gradient is affine in it.
    *_, activation = options
    keep_x = activation is not None or not with_gradient
    ctx.save_for_backward(
        stencil, row_sums, x if keep_x else None, output[1] if with_gradient else None, target, weight
    )


def _matting_loss_backward(
    ctx: Any, grad_loss: Tensor | None, grad_gradient: Tensor | None
) -> tuple[Tensor | None, ...]:
    stencil, row_sums, x, gradient, target, weight = ctx.saved_tensors
    grad_x = None
    if grad_loss is not None:
        factor, own = grad_loss[:, None, None, None], gradient
        if own is None:
            _, own = matting_loss(stencil, row_sums, x, target, weight, *ctx.options, True)
        # New memory would cost more than the product, and the gradient is as large as all else together. Whoever calls
        # the operator drops its second output: only this node has it.
        in_place = ctx.without_hooks and grad_gradient is None and may_overwrite(own, grad_loss)
        grad_x = own.mul_(factor).detach() if in_place else factor * own
    if grad_gradient is not None and gradient is not None:
        second = _second_derivative(grad_gradient, stencil, row_sums, x, target, weight, *ctx.options)
        grad_x = second if grad_x is None else grad_x + second
    return None, None, None if grad_x is None else grad_x.to(ctx.dtype), *([None] * 7)


def _second_derivative(
    v: Tensor,
    stencil: Tensor,
    row_sums: Tensor | None,
    x: Tensor | None,
    target: Tensor,
    weight: Tensor,
    mark_weight: float,
    ignore_index: int,
    residual: bool,
    activation: Activation,
) -> Tensor:
    """The gradient of v^T G(x) with respect to x, G that of the loss.

    G = J g with J = da/dx symmetric and g = scale w (A a - b) with respect to the maps a, A = L + mark_weight D or its
    square: so with u = J v it is J (A (scale w u) + the gradient of v^T J(a) g with respect to a).
    """
    marks = (target != ignore_index).to(v.dtype) * mark_weight
    diagonal = marks if row_sums is None else marks + row_sums
    factor = 2 / (target[0].numel() * (mark_weight if residual else 1)) * weight[:, :, None, None]
    if activation is None:
        return _system(stencil, diagonal, factor * v, residual)
    assert x is not None
    a = activate(x.to(v.dtype), activation)
    classes = torch.arange(a.shape[1], device=a.device)[:, None, None]
    g = _system(stencil, diagonal, a, False) - marks[:, None] * (target[:, None] == classes)
    g = factor * (_system(stencil, diagonal, g, False) if residual else g)
    u = pull_back(a, v, activation)
    along_a = _system(stencil, diagonal, factor * u, residual) + pull_back_gradient(a, v, g, activation)
    return pull_back(a, along_a, activation)


def _system(stencil: Tensor, diagonal: Tensor, v: Tensor, twice: bool) -> Tensor:
    """(L + diagonal) v, or that again."""
    v = matting_product(stencil, v, diagonal)
    return matting_product(stencil, v, diagonal) if twice else v


define_gradient("matting_loss", _matting_loss_backward, _matting_loss_setup)
