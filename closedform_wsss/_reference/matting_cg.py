"""Conjugate gradients with the diagonal as preconditioner; the kernel is ``csrc/cpu/matting_cg.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.stencil_layout import TAPS, stencil_planes
from closedform_wsss._reference.matting_product import matting_product


def matting_cg(
    stencil: Tensor,
    diagonal: Tensor,
    b: Tensor,
    start: Tensor,
    tol: float,
    max_iter: int,
    every: int,
    divisor: int,
    min_rate: float,
    max_rate: float,
) -> tuple[Tensor, Tensor]:
    """(L + diagonal) x = b for b ``(N, C, H, W)``, diagonal ``(N, H, W)``.

    A system stops when its estimated error is at most ``tol`` at two checks in a row; see ``solver/stopping.py``.

    Returns x, and for each system ``(N, C, 4)``: iterations, estimated error, whether it has converged, and the norm of
    the residual relative to that of b.
    """
    tiny = torch.finfo(b.dtype).tiny
    inverse = _inverse_diagonal(stencil, diagonal)
    x, last = start.contiguous().clone(), start.contiguous().clone()
    r = b - matting_product(stencil, x, diagonal)
    norm, rz = _dot(b, b).sqrt(), _dot(r, inverse * r)
    inf = torch.full_like(norm, torch.inf)
    error, moved, iterations = torch.where(rz == 0, 0, inf), inf, torch.zeros_like(norm)
    near = done = rz == 0
    failed = torch.zeros_like(done)
    p, check = inverse * r, every
    for iteration in range(1, max_iter + 1):
        active = ~(done | failed)
        if not bool(active.any()):
            break
        q = matting_product(stencil, p, diagonal)
        curvature = _dot(p, q)
        go = active & (curvature > tiny)
        length = torch.where(go, rz / curvature, 0).to(b.dtype)[:, :, None, None]
        x = torch.where(go[:, :, None, None], x + length * p, x)
        r = torch.where(go[:, :, None, None], r - length * q, r)
        after = torch.where(go, _dot(r, inverse * r), rz)
        beta = torch.where(go, after / rz.clamp_min(tiny), 0).to(b.dtype)[:, :, None, None]
        rz = after
        p = inverse * r + beta * p
        if iteration in (check, max_iter):
            check = iteration + max(every, iteration // divisor)
            now = (x - last).abs().amax((2, 3)).double()
            last = x
            iterations = torch.where(active, iteration, iterations)
            rate = torch.where(moved > 0, now / moved, min_rate).clamp(min_rate, max_rate)
            estimate = torch.where(moved.isinf(), inf, now * rate / (1 - rate))
            failed = failed | (active & ~now.isfinite())
            error = torch.where(active, torch.where(failed, inf, estimate), error)
            moved = torch.where(active, now, moved)
            below = active & (error <= tol)
            done, near = done | (near & below), torch.where(active, below, near)
    residual = _dot(r, r).sqrt() / torch.where(norm > 0, norm, 1)
    return x, torch.stack([iterations, error, done.double(), residual], -1)


def _dot(u: Tensor, v: Tensor) -> Tensor:
    return (u.double() * v.double()).sum((2, 3))


def _inverse_diagonal(stencil: Tensor, diagonal: Tensor) -> Tensor:
    """1 / (L + D)_ii, ``(N, 1, H, W)``: each row of L without D sums to zero."""
    h, w = diagonal.shape[1:]
    planes = stencil_planes(stencil, w)
    total = diagonal - planes.sum(1)
    for k, (dy, dx) in enumerate(TAPS):
        own = planes[:, k, : max(h - dy, 0), max(-dx, 0) : max(w - max(dx, 0), 0)]
        total[:, dy:, max(dx, 0) : max(w + min(dx, 0), 0)] -= own
    return 1 / total[:, None]
