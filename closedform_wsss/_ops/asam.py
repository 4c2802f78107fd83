"""The operators of ASAM: propagation over adjacent superpixels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss import _reference
from closedform_wsss._common.superpixel_grid import NEIGHBOURS, exists, grid_size, neighbour_of, side_inside
from closedform_wsss._ops._define import define, define_gradient, launch

# --- asam_affinity: B[k, i] = sum_p q(p -> i) q(p -> j), j the k-th of the 5 x 5 superpixels around i -----------------


def _affinity(q: Tensor, cell_size: int) -> Tensor:
    q = q.contiguous()
    n, _, h, w = q.shape
    shared = _affinity_fake(q, cell_size)
    # Scratch memory: what the pixels of each cell give to the pairs of their nine superpixels.
    pairs = q.new_empty(n, shared.shape[2] * shared.shape[3], 9, 9)
    launch("asam_affinity", q, q, pairs, shared, n, h, w, side_inside(cell_size, h, w))
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


# --- asam_steps: y_0 = s, y_t = decay A y_(t-1) + restart s, or with A^T ----------------------------------------------
# The last y and, with `keep`, those before it.


def _steps(
    affinity: Tensor, s: Tensor, num_steps: int, decay: float, restart: float, transposed: bool, keep: bool
) -> tuple[Tensor, Tensor]:
    affinity, s = affinity.contiguous(), s.contiguous()
    y, iterates = _steps_fake(affinity, s, num_steps, decay, restart, transposed, keep)
    if num_steps == 0:
        return y.copy_(s), iterates
    memory = iterates if keep else torch.empty_like(s)
    options = (num_steps, decay, restart, transposed)
    launch("asam_steps", s, affinity, s, y, memory, keep, *s.shape, *options)
    return y, iterates


def _steps_fake(
    affinity: Tensor, s: Tensor, num_steps: int, decay: float, restart: float, transposed: bool, keep: bool
) -> tuple[Tensor, Tensor]:
    y = torch.empty_like(s, memory_format=torch.contiguous_format)
    return y, s.new_empty(max(num_steps - 1, 0) if keep else 0, *s.shape)


asam_steps = define(
    "asam_steps",
    "(Tensor affinity, Tensor s, int num_steps, float decay, float restart, bool transposed, bool keep)"
    " -> (Tensor, Tensor)",
    _steps,
    _reference.asam_steps,
    _steps_fake,
)


def _steps_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    affinity, s, *options, ctx.keep = inputs
    ctx.set_materialize_grads(False)
    ctx.options = tuple(options)
    ctx.save_for_backward(affinity, s, output[1])


def _outer(u: Tensor, v: Tensor) -> Tensor:
    """sum_c u[c, i] v[c, j] for j in the 5 x 5 around i: ``(N, C, h, w)`` twice -> ``(N, 25, h, w)``."""
    return torch.stack([(u * neighbour_of(v, k // 5 - 2, k % 5 - 2)).sum(1) for k in range(25)], 1)


def _steps_backward(
    ctx: Any, grad_y: Tensor | None, grad_iterates: Tensor | None
) -> tuple[Tensor | None, Tensor | None, None, None, None, None, None]:
    """With g_t the gradient in y_t: g_(t-1) = decay A^T g_t and what comes to y_(t-1) from elsewhere."""
    affinity, s, iterates = ctx.saved_tensors
    num_steps, decay, restart, transposed = ctx.options
    if not ctx.keep:
        grad_iterates = None  # of no iterates
    if num_steps == 0 or (grad_y is None and grad_iterates is None):
        return None, grad_y, None, None, None, None, None
    if num_steps > 1 and not ctx.keep:
        _, iterates = asam_steps(affinity, s, num_steps, decay, restart, transposed, True)
    last = torch.zeros_like(s) if grad_y is None else grad_y
    if grad_iterates is None:
        first, between = asam_steps(affinity, last, num_steps - 1, decay, 0.0, not transposed, True)
        gradients = [last, *between.unbind(0), *([first] if num_steps > 1 else [])]
    else:
        gradients = [last]
        for grad in reversed(grad_iterates.unbind(0)):
            back, _ = asam_steps(affinity, gradients[-1], 1, decay, 0.0, not transposed, True)
            gradients.append(back + grad)
    grad_affinity = grad_s = None
    if ctx.needs_input_grad[0]:
        before = torch.cat([s[None], iterates]).flip(0)  # y_(T-1) to y_0, as the gradients lie
        u, v = (x.transpose(0, 1).flatten(1, 2) for x in (torch.stack(gradients), before))
        grad_affinity = decay * (_outer(v, u) if transposed else _outer(u, v))
    if ctx.needs_input_grad[1]:
        grad_s, _ = asam_steps(affinity, gradients[-1], 1, decay, 0.0, not transposed, True)
        if restart:
            grad_s = grad_s + restart * torch.stack(gradients).sum(0)
    return grad_affinity, grad_s, None, None, None, None, None


define_gradient("asam_steps", _steps_backward, _steps_setup)
