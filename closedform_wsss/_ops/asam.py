"""The operators of ASAM: propagation over adjacent superpixels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss import _reference
from closedform_wsss._common.superpixel_grid import NEIGHBOURS, exists, grid_size, neighbour_of
from closedform_wsss._ops._define import define, define_gradient, launch

# --- asam_affinity: B[k, i] = sum_p q(p -> i) q(p -> j), j the k-th of the 5 x 5 superpixels around i -----------------


def _affinity(q: Tensor, cell_size: int) -> Tensor:
    q = q.contiguous()
    n, _, h, w = q.shape
    shared = _affinity_fake(q, cell_size)
    # Scratch memory: what the pixels of each cell give to the pairs of their nine superpixels.
    pairs = q.new_empty(n, shared.shape[2] * shared.shape[3], 9, 9)
    launch("asam_affinity", q, q, pairs, shared, n, h, w, cell_size)
    return shared


def _affinity_fake(q: Tensor, cell_size: int) -> Tensor:
    return q.new_empty(q.shape[0], 25, *grid_size(q.shape[2], q.shape[3], cell_size))


asam_affinity = define(
    "asam_affinity",
    "(Tensor q, int cell_size) -> Tensor",
    _affinity,
    _reference.asam_affinity,
    _affinity_fake,
)


def _affinity_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    q, ctx.cell_size = inputs
    ctx.save_for_backward(q)


def _affinity_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    """The pixels of a cell give q_a q_b to B at superpixel a, for all pairs: a 9 x 9 matrix for each cell, times q."""
    (q,) = ctx.saved_tensors
    size = ctx.cell_size
    n, _, h, w = grad.shape
    around = torch.stack([neighbour_of(grad, dy, dx) for dy, dx in NEIGHBOURS], 1)  # (N, 9, 25, h, w)
    # Of the 5 x 5 around neighbour a, the 3 x 3 around the cell itself: slices, because an index list is copied to the
    # device, which then waits.
    planes = around.unflatten(2, (5, 5))
    matrix = torch.stack(
        [planes[:, a, 1 - dy : 4 - dy, 1 - dx : 4 - dx].flatten(1, 2) for a, (dy, dx) in enumerate(NEIGHBOURS)], 1
    )
    inside = torch.stack([exists(h, w, dy, dx, q.device) for dy, dx in NEIGHBOURS])
    matrix = torch.where(inside[:, None] & inside, matrix + matrix.transpose(1, 2), 0)
    pixels = F.pad(q, (0, w * size - q.shape[3], 0, h * size - q.shape[2]))
    pixels = pixels.unflatten(3, (w, size)).unflatten(2, (h, size)).permute(0, 2, 4, 1, 3, 5).flatten(4)
    product = matrix.permute(0, 3, 4, 1, 2) @ pixels  # (N, h, w, 9, S S)
    product = product.unflatten(4, (size, size)).permute(0, 3, 1, 4, 2, 5).reshape(n, 9, h * size, w * size)
    return product[:, :, : q.shape[2], : q.shape[3]].contiguous(), None


define_gradient("asam_affinity", _affinity_backward, _affinity_setup)


# --- asam_step: A s, or A^T s -----------------------------------------------------------------------------------------


def _step(affinity: Tensor, s: Tensor, transposed: bool) -> Tensor:
    affinity, s = affinity.contiguous(), s.contiguous()
    y = torch.empty_like(s)
    launch("asam_step", s, affinity, s, y, *s.shape, transposed)
    return y


def _step_fake(affinity: Tensor, s: Tensor, transposed: bool) -> Tensor:
    return torch.empty_like(s, memory_format=torch.contiguous_format)


asam_step = define(
    "asam_step",
    "(Tensor affinity, Tensor s, bool transposed) -> Tensor",
    _step,
    _reference.asam_step,
    _step_fake,
)


def _step_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    affinity, s, ctx.transposed = inputs
    ctx.save_for_backward(affinity, s)


def _outer(u: Tensor, v: Tensor) -> Tensor:
    """sum_c u[c, i] v[c, j] for j in the 5 x 5 around i: ``(N, C, h, w)`` twice -> ``(N, 25, h, w)``."""
    return torch.stack([(u * neighbour_of(v, k // 5 - 2, k % 5 - 2)).sum(1) for k in range(25)], 1)


def _step_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    affinity, s = ctx.saved_tensors
    grad_affinity = None
    if ctx.needs_input_grad[0]:
        grad_affinity = _outer(s, grad) if ctx.transposed else _outer(grad, s)
    grad_s = asam_step(affinity, grad, not ctx.transposed) if ctx.needs_input_grad[1] else None
    return grad_affinity, grad_s, None


define_gradient("asam_step", _step_backward, _step_setup)
