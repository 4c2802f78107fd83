"""The operators of the matting Laplacian."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from closedform_wsss import _C, _reference
from closedform_wsss._common.stencil_layout import stencil_shape
from closedform_wsss._ops._define import define, define_gradient, launch, readable

# --- matting_stencil: image (N, D, H, W) -> stencil (N, H + 2, 12, P), see csrc/common/stencil_layout.h ---------------
# and, of the learning-based Laplacian, the sums of its rows (N, H, W)


def _most_channels_on_cuda(learning_based: bool) -> int:
    """The kernel keeps a window in registers; images of more channels take the plain-PyTorch path."""
    return 3 if learning_based else 4


def _matting_stencil(image: Tensor, eps: float, learning_based: bool) -> tuple[Tensor, Tensor]:
    if image.is_cuda and image.shape[1] > _most_channels_on_cuda(learning_based):
        return _reference.matting_stencil(image, eps, learning_based)
    image = image.contiguous()
    stencil, row_sums = _matting_stencil_fake(image, eps, learning_based)
    launch("matting_stencil", image, image, stencil, row_sums if learning_based else None, *image.shape, eps)
    return stencil, row_sums


def _matting_stencil_fake(image: Tensor, eps: float, learning_based: bool) -> tuple[Tensor, Tensor]:
    n, _, h, w = image.shape
    return image.new_empty(stencil_shape(n, h, w)), image.new_empty((n, h, w) if learning_based else 0)


matting_stencil = define(
    "matting_stencil",
    "(Tensor image, float eps, bool learning_based) -> (Tensor, Tensor)",
    _matting_stencil,
    _reference.matting_stencil,
    _matting_stencil_fake,
)


# --- matting_product: y = L x + data_weight x, x in the stencil's or half precision -----------------------------------


def _matting_product(stencil: Tensor, x: Tensor, data_weight: Tensor | None) -> Tensor:
    x = readable(x)
    data_weight = None if data_weight is None else data_weight.contiguous()
    y = stencil.new_empty(x.shape)
    launch("matting_product", x, stencil, x, data_weight, y, *x.shape)
    return y


def _matting_product_fake(stencil: Tensor, x: Tensor, data_weight: Tensor | None) -> Tensor:
    return stencil.new_empty(x.shape)


matting_product = define(
    "matting_product",
    "(Tensor stencil, Tensor x, Tensor? data_weight) -> Tensor",
    _matting_product,
    _reference.matting_product,
    _matting_product_fake,
)


def _matting_product_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    stencil, x, data_weight = inputs
    ctx.dtype = x.dtype
    ctx.save_for_backward(stencil, data_weight)


def _matting_product_backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None]:
    stencil, data_weight = ctx.saved_tensors
    return None, matting_product(stencil, grad, data_weight).to(ctx.dtype), None  # L is symmetric


define_gradient("matting_product", _matting_product_backward, _matting_product_setup)


# --- matting_loss: the loss of each image, (N,), and its gradient (N, C, H, W) in one sweep ---------------------------


def _matting_loss(
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
    n, c, h, w = x.shape
    x, target, weight = x.contiguous(), target.contiguous(), weight.contiguous()
    row_sums = None if row_sums is None else row_sums.contiguous()
    parts = x.new_empty(n, _C.matting_loss_parts(h, w), dtype=torch.float64)
    loss = x.new_empty(n, dtype=torch.float64)
    gradient = torch.empty_like(x) if with_gradient else None
    options = (mark_weight, ignore_index, residual)
    launch("matting_loss", x, stencil, row_sums, x, target, weight, *options, parts, loss, gradient, n, c, h, w)
    return loss.to(x.dtype), x.new_empty(0) if gradient is None else gradient


def _matting_loss_fake(
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
    contiguous = torch.contiguous_format
    gradient = torch.empty_like(x, memory_format=contiguous) if with_gradient else x.new_empty(0)
    return x.new_empty(x.shape[0]), gradient


matting_loss = define(
    "matting_loss",
    "(Tensor stencil, Tensor? row_sums, Tensor x, Tensor target, Tensor weight, float mark_weight, int ignore_index,"
    " bool residual, bool with_gradient) -> (Tensor, Tensor)",
    _matting_loss,
    _reference.matting_loss,
    _matting_loss_fake,
)


def _matting_loss_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    stencil, row_sums, x, target, weight, *options, with_gradient = inputs
    ctx.set_materialize_grads(False)
    ctx.options, ctx.with_gradient = tuple(options), with_gradient
    # x itself is needed only where the sweep left no gradient behind.
    ctx.save_for_backward(stencil, row_sums, output[1] if with_gradient else x, target, weight)


def _matting_loss_backward(
    ctx: Any, grad_loss: Tensor | None, grad_gradient: Tensor | None
) -> tuple[Tensor | None, ...]:
    stencil, row_sums, saved, target, weight = ctx.saved_tensors
    mark_weight, ignore_index, residual = ctx.options
    grad_x = None
    if grad_loss is not None:
        gradient = (
            saved
            if ctx.with_gradient
            else matting_loss(stencil, row_sums, saved, target, weight, mark_weight, ignore_index, residual, True)[1]
        )
        grad_x = grad_loss[:, None, None, None] * gradient
    if grad_gradient is not None:  # second derivatives: the gradient is affine in x
        marks = (target != ignore_index).to(grad_gradient.dtype) * mark_weight
        scale = 2 / (target[0].numel() * (mark_weight if residual else 1))
        marks = marks if row_sums is None else marks + row_sums
        v = matting_product(stencil, grad_gradient * weight[:, :, None, None], marks)
        if residual:
            v = matting_product(stencil, v, marks)
        grad_x = scale * v if grad_x is None else grad_x + scale * v
    return None, None, grad_x, *([None] * 6)


define_gradient("matting_loss", _matting_loss_backward, _matting_loss_setup)
