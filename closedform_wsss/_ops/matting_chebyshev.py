"""The operator matting_chebyshev: a fixed number of steps of Chebyshev's method, all of them in one call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from closedform_wsss import _reference
from closedform_wsss._ops._define import define, define_gradient, launch
from closedform_wsss._ops.matting import matting_product

# --- matting_chebyshev: (L + diagonal) x = b, where preconditioner (L + diagonal) has eigenvalues in [low, high] ------


def _matting_chebyshev(
    stencil: Tensor,
    diagonal: Tensor,
    preconditioner: Tensor,
    b: Tensor,
    start: Tensor,
    low: float,
    high: float,
    num_iters: int,
) -> Tensor:
    given = [tensor.contiguous() for tensor in (diagonal, preconditioner, b, start)]
    x = torch.empty_like(given[-1])
    scratch = x.new_empty(2, *x.shape)
    launch("matting_chebyshev", x, stencil, *given, x, scratch, *x.shape, low, high, num_iters)
    return x


def _matting_chebyshev_fake(stencil: Tensor, diagonal: Tensor, preconditioner: Tensor, b: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(b, memory_format=torch.contiguous_format)


matting_chebyshev = define(
    "matting_chebyshev",
    "(Tensor stencil, Tensor diagonal, Tensor preconditioner, Tensor b, Tensor start, float low, float high,"
    " int num_iters) -> Tensor",
    _matting_chebyshev,
    _reference.matting_chebyshev,
    _matting_chebyshev_fake,
)


def _matting_chebyshev_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *operator, _, _, ctx.low, ctx.high, ctx.num_iters = inputs
    ctx.save_for_backward(*operator)


def _matting_chebyshev_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """With A = L + D and the preconditioner M, x = K b + (1 - K A) start, where K = q(M A) M for a polynomial q.

    K is symmetric, and the steps themselves multiply with it, from a start of zero.
    """
    stencil, diagonal, preconditioner = ctx.saved_tensors
    of_b = matting_chebyshev(
        stencil, diagonal, preconditioner, grad, torch.zeros_like(grad), ctx.low, ctx.high, ctx.num_iters
    )
    of_start = grad - matting_product(stencil, of_b, diagonal)
    return None, None, None, of_b, of_start, None, None, None


define_gradient("matting_chebyshev", _matting_chebyshev_backward, _matting_chebyshev_setup)
