"""The operators between pixels and superpixels.

Pool, unpool and dot are the three derivatives of one trilinear form, the sum of q_pk x_pc s_ic over pixels p,
neighbours k and channels c, with i the k-th superpixel around p. So each one's gradient is the other two, to any order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from closedform_wsss import _reference
from closedform_wsss._common.superpixel_grid import EMPTY, grid_size, side_inside
from closedform_wsss._ops._define import define, define_gradient, in_large_pages, launch, readable


def _cells(x: Tensor, channels: int, cell_size: int) -> Tensor:
    return x.new_empty(x.shape[0], channels, *grid_size(x.shape[2], x.shape[3], cell_size))


def _pixels(x: Tensor, channels: int) -> Tensor:
    return x.new_empty(x.shape[0], channels, x.shape[2], x.shape[3])


def _partial_sums(s: Tensor, channels: int) -> Tensor:
    """Scratch memory of kernels that pool to s: the sums of each cell for its nine superpixels."""
    return s.new_empty(s.shape[0], s.shape[2] * s.shape[3], 9, channels)


def _define(name: str, inputs: str, fake: Any, pooled: int | None = None, half: bool = False) -> Any:
    """An operator ``(first, second, cell_size) -> Tensor``: all of them differ in their shapes only.

    ``pooled``: for those that pool, how many channels they pool beside those of the first input. ``half``: the first
    input may be in half precision; the result has the dtype of the second one in any case.
    """

    def run(first: Tensor, second: Tensor, cell_size: int) -> Tensor:
        first, second = readable(first) if half else first.contiguous(), second.contiguous()
        out = in_large_pages(fake(first, second, cell_size))
        # N, channels, H, W are those of the first input, but for unpool, which starts from superpixels.
        sizes = out.shape if name == "superpixel_unpool" else first.shape
        scratch = [] if pooled is None else [_partial_sums(out, first.shape[1] + pooled)]
        launch(name, first, first, second, *scratch, out, *sizes, side_inside(cell_size, sizes[2], sizes[3]))
        return out

    return define(name, f"({inputs}, int cell_size) -> Tensor", run, getattr(_reference, name), fake)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.cell_size = inputs
    ctx.save_for_backward(*tensors)


# --- superpixel_pool: s_i = sum_p q(p -> i) x_p -----------------------------------------------------------------------


superpixel_pool = _define(
    "superpixel_pool",
    "Tensor x, Tensor q",
    lambda x, q, cell_size: _cells(q, x.shape[1], cell_size),
    pooled=0,
    half=True,
)


def _pool_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    x, q = ctx.saved_tensors
    grad_x = superpixel_unpool(grad, q, ctx.cell_size).to(x.dtype) if ctx.needs_input_grad[0] else None
    grad_q = superpixel_dot(x, grad, ctx.cell_size) if ctx.needs_input_grad[1] else None
    return grad_x, grad_q, None


define_gradient("superpixel_pool", _pool_backward, _save)


# --- superpixel_unpool: x_p = sum_i q(p -> i) s_i ---------------------------------------------------------------------


superpixel_unpool = _define("superpixel_unpool", "Tensor s, Tensor q", lambda s, q, cell_size: _pixels(q, s.shape[1]))


def _unpool_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    s, q = ctx.saved_tensors
    grad_s = superpixel_pool(grad, q, ctx.cell_size) if ctx.needs_input_grad[0] else None
    grad_q = superpixel_dot(grad, s, ctx.cell_size) if ctx.needs_input_grad[1] else None
    return grad_s, grad_q, None


define_gradient("superpixel_unpool", _unpool_backward, _save)


# --- superpixel_dot: d_pk = sum_c x_pc s_ic ---------------------------------------------------------------------------


superpixel_dot = _define(
    "superpixel_dot",
    "Tensor x, Tensor s",
    lambda x, s, cell_size: s.new_empty(x.shape[0], 9, x.shape[2], x.shape[3]),
    half=True,
)


def _dot_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    x, s = ctx.saved_tensors
    grad_x = superpixel_unpool(s, grad, ctx.cell_size).to(x.dtype) if ctx.needs_input_grad[0] else None
    grad_s = superpixel_pool(x, grad, ctx.cell_size) if ctx.needs_input_grad[1] else None
    return grad_x, grad_s, None


define_gradient("superpixel_dot", _dot_backward, _save)


# --- superpixel_assign: q = softmax over the nine of -|f_p - c_i|^2 ---------------------------------------------------


superpixel_assign = _define(
    "superpixel_assign", "Tensor features, Tensor centers", lambda features, centers, cell_size: _pixels(features, 9)
)


def _assign_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, centers, ctx.cell_size = inputs
    ctx.save_for_backward(features, centers, output)


def _assign_gradient(
    features: Tensor, centers: Tensor, q: Tensor, grad: Tensor, cell_size: int
) -> tuple[Tensor, Tensor]:
    """From the gradient in q to those in features and centres."""
    u = q * (grad - (grad * q).sum(1, keepdim=True))  # in the logits -|f - c|^2; sums to 0 over the nine
    grad_features = 2 * superpixel_unpool(centers, u, cell_size)
    weight = superpixel_pool(torch.ones_like(features[:, :1]), u, cell_size)
    return grad_features, 2 * (superpixel_pool(features, u, cell_size) - centers * weight)


def _assign_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    features, centers, q = ctx.saved_tensors
    return *_assign_gradient(features, centers, q, grad, ctx.cell_size), None


define_gradient("superpixel_assign", _assign_backward, _assign_setup)


# --- superpixel_update: the means of features over superpixel_assign --------------------------------------------------


superpixel_update = _define(
    "superpixel_update",
    "Tensor features, Tensor centers",
    lambda features, centers, cell_size: _cells(features, features.shape[1], cell_size),
    pooled=1,  # ones
)


def _update_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, centers, ctx.cell_size = inputs
    ctx.save_for_backward(features, centers, output)


def _update_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    features, centers, updated = ctx.saved_tensors
    size = ctx.cell_size
    # q is computed again: kept, it would cost 9 values a pixel and iteration.
    q = superpixel_assign(features, centers, size)
    ones = torch.ones_like(features[:, :1])
    weight = superpixel_pool(ones, q, size)
    scaled = torch.where(weight < EMPTY, 0, grad / weight.clamp_min(EMPTY))
    grad_q = superpixel_dot(features, scaled, size) - superpixel_dot(
        ones, (updated * scaled).sum(1, keepdim=True), size
    )
    grad_features, grad_centers = _assign_gradient(features, centers, q, grad_q, size)
    grad_features = grad_features + superpixel_unpool(scaled, q, size)
    return grad_features, grad_centers + torch.where(weight < EMPTY, grad, 0), None


define_gradient("superpixel_update", _update_backward, _update_setup)
