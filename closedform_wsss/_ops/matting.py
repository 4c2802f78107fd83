"""The operators of the matting Laplacian."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from closedform_wsss import _reference
from closedform_wsss._build import num_threads
from closedform_wsss._ops._define import define, define_gradient, kernel

# --- matting_stencil: image (N, D, H, W) -> stencil (N, H + 2, 12, P), see csrc/common/stencil_layout.h ---------------


def _matting_stencil_cpu(image: Tensor, eps: float) -> Tensor:
    n, d, h, w = image.shape
    image = image.contiguous()
    stencil = image.new_empty(_reference.stencil_shape(n, h, w))
    kernel("matting_stencil", image.dtype)(image.data_ptr(), stencil.data_ptr(), n, d, h, w, eps, num_threads())
    return stencil


def _matting_stencil_fake(image: Tensor, eps: float) -> Tensor:
    n, _, h, w = image.shape
    return image.new_empty(_reference.stencil_shape(n, h, w))


matting_stencil = define(
    "matting_stencil",
    "(Tensor image, float eps) -> Tensor",
    _matting_stencil_cpu,
    _reference.matting_stencil,
    _matting_stencil_fake,
)


# --- matting_product: y = L x + confidence x --------------------------------------------------------------------------


def _matting_product_cpu(stencil: Tensor, x: Tensor, confidence: Tensor | None) -> Tensor:
    n, c, h, w = x.shape
    x = x.contiguous()
    confidence = None if confidence is None else confidence.contiguous()
    y = torch.empty_like(x)
    kernel("matting_product", x.dtype)(
        stencil.data_ptr(),
        x.data_ptr(),
        0 if confidence is None else confidence.data_ptr(),
        y.data_ptr(),
        *(n, c, h, w, num_threads()),
    )
    return y


def _matting_product_fake(stencil: Tensor, x: Tensor, confidence: Tensor | None) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


matting_product = define(
    "matting_product",
    "(Tensor stencil, Tensor x, Tensor? confidence) -> Tensor",
    _matting_product_cpu,
    _reference.matting_product,
    _matting_product_fake,
)


def _matting_product_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    stencil, _, confidence = inputs
    ctx.save_for_backward(stencil, confidence)


def _matting_product_backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None]:
    stencil, confidence = ctx.saved_tensors
    return None, matting_product(stencil, grad, confidence), None  # L is symmetric


define_gradient("matting_product", _matting_product_backward, _matting_product_setup)


# --- matting_loss: the loss of each image, (N,), and its gradient (N, C, H, W) in one sweep ---------------------------


def _matting_loss_cpu(
    stencil: Tensor,
    x: Tensor,
    target: Tensor,
    weight: Tensor,
    confidence: float,
    ignore_index: int,
    residual: bool,
    with_gradient: bool,
) -> tuple[Tensor, Tensor]:
    n, c, h, w = x.shape
    x, target, weight = x.contiguous(), target.contiguous(), weight.contiguous()
    loss = x.new_empty(n, dtype=torch.float64)
    gradient = torch.empty_like(x) if with_gradient else x.new_empty(0)
    kernel("matting_loss", x.dtype)(
        *(stencil.data_ptr(), x.data_ptr(), target.data_ptr(), weight.data_ptr()),
        *(confidence, ignore_index, residual),
        *(loss.data_ptr(), gradient.data_ptr() if with_gradient else 0),
        *(n, c, h, w, num_threads()),
    )
    return loss.to(x.dtype), gradient


def _matting_loss_fake(
    stencil: Tensor,
    x: Tensor,
    target: Tensor,
    weight: Tensor,
    confidence: float,
    ignore_index: int,
    residual: bool,
    with_gradient: bool,
) -> tuple[Tensor, Tensor]:
    contiguous = torch.contiguous_format
    gradient = torch.empty_like(x, memory_format=contiguous) if with_gradient else x.new_empty(0)
    return x.new_empty(x.shape[0]), gradient


matting_loss = define(
    "matting_loss",
    "(Tensor stencil, Tensor x, Tensor target, Tensor weight, float confidence, int ignore_index, bool residual,"
    " bool with_gradient) -> (Tensor, Tensor)",
    _matting_loss_cpu,
    _reference.matting_loss,
    _matting_loss_fake,
)


def _matting_loss_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    stencil, x, target, weight, *options, with_gradient = inputs
    ctx.set_materialize_grads(False)
    ctx.options, ctx.with_gradient = tuple(options), with_gradient
    # x itself is needed only where the sweep left no gradient behind.
    ctx.save_for_backward(stencil, output[1] if with_gradient else x, target, weight)


def _matting_loss_backward(
    ctx: Any, grad_loss: Tensor | None, grad_gradient: Tensor | None
) -> tuple[Tensor | None, ...]:
    stencil, saved, target, weight = ctx.saved_tensors
    confidence, ignore_index, residual = ctx.options
    grad_x = None
    if grad_loss is not None:
        gradient = (
            saved
            if ctx.with_gradient
            else matting_loss(stencil, saved, target, weight, confidence, ignore_index, residual, True)[1]
        )
        grad_x = grad_loss[:, None, None, None] * gradient
    if grad_gradient is not None:  # second derivatives: the gradient is affine in x
        marks = (target != ignore_index).to(grad_gradient.dtype) * confidence
        scale = 2 / (target[0].numel() * (confidence if residual else 1))
        v = matting_product(stencil, grad_gradient * weight[:, :, None, None], marks)
        if residual:
            v = matting_product(stencil, v, marks)
        grad_x = scale * v if grad_x is None else grad_x + scale * v
    return None, grad_x, *([None] * 6)


define_gradient("matting_loss", _matting_loss_backward, _matting_loss_setup)
