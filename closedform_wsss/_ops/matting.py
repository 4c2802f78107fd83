"""The operators of the matting Laplacian."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from closedform_wsss import _reference
from closedform_wsss._common.stencil_layout import stencil_shape
from closedform_wsss._ops._define import define, define_gradient, launch, new_large, readable

# --- matting_stencil: image (N, D, H, W) -> stencil (N, H + 2, 12, P), see csrc/common/stencil_layout.h ---------------
# and, of the learning-based Laplacian, the sums of its rows (N, H, W)


def _most_channels_on_cuda(learning_based: bool) -> int:
    """The kernel keeps a window in registers; images of more channels take the plain-PyTorch path."""
    return 3 if learning_based else 4


def _matting_stencil(image: Tensor, eps: float, learning_based: bool) -> tuple[Tensor, Tensor]:
    if image.is_cuda and image.shape[1] > _most_channels_on_cuda(learning_based):
        return _reference.matting_stencil(image, eps, learning_based)
    image = image.contiguous()
    n, _, h, w = image.shape
    stencil = new_large(image, stencil_shape(n, h, w))
    row_sums = image.new_empty((n, h, w) if learning_based else 0)
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
    y = new_large(stencil, x.shape)
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
