"""Preconditioned conjugate gradients for many right-hand sides, judged by the solution and not by the residual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# Iterations between two looks at the solution: at least so many, and this share of those done.
LOOK_EVERY = 5
LOOK_SHARE = 8


@dataclass
class PCGResult:
    """x ``(N, C, H, W)``; iterations; for each (n, c) the estimated largest error in x and whether it is below tol."""

    x: Tensor
    iterations: int
    error: Tensor
    converged: Tensor


def pcg(
    product: Callable[[Tensor], Tensor],
    precondition: Callable[[Tensor], Tensor],
    b: Tensor,
    x: Tensor,
    *,
    tol: float,
    max_iter: int,
    callback: Callable[[int, float], None] | None,
) -> PCGResult:
    """Solve A x = b for every (n, c) of b ``(N, C, H, W)`` at once, from the start x.

    The residual is a bad judge: A is so ill-conditioned that a relative residual of 1e-7 leaves errors of 0.1 in x.
    So x itself is looked at now and then: if it moved by at most d' over one span of iterations and by d over the next,
    it converges at a rate rho = d / d' a span, and what is still to come is about d rho / (1 - rho); rho is held within
    [0.75, 0.98] against lucky and unlucky spans. A system is done when that is below ``tol`` twice running.
    """

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return torch.linalg.vecdot(u.flatten(2), v.flatten(2)).double()[:, :, None, None]

    tiny = torch.finfo(b.dtype).tiny
    r = b - product(x)
    z = precondition(r)
    p = z
    rz = dot(r, z)
    error = torch.full(b.shape[:2], torch.inf, dtype=torch.float64, device=b.device)
    error[(r == 0).flatten(2).all(2)] = 0
    near = error <= tol  # below the tolerance at the last look
    done = near.clone()
    before, moved, next_look = x, torch.full_like(error, torch.inf), LOOK_EVERY
    iterations = 0 if bool(done.all()) else 1
    while 0 < iterations <= max_iter:
        q = product(p)
        curvature = dot(p, q)
        # A system that is done, or has no direction left, stands still.
        step = torch.where(done[:, :, None, None] | (curvature <= tiny), 0, rz / curvature.clamp_min(tiny))
        x = torch.addcmul(x, step.to(x.dtype), p)
        r = torch.addcmul(r, -step.to(x.dtype), q)
        z = precondition(r)
        rz, rz_before = dot(r, z), rz
        p = torch.addcmul(z, (rz / rz_before.clamp_min(tiny)).to(x.dtype), p)
        if iterations == next_look:
            next_look += max(LOOK_EVERY, iterations // LOOK_SHARE)
            moved, moved_before = (x - before).abs().amax((2, 3)).double(), moved
            rate = (moved / moved_before.clamp_min(1e-300)).clamp(0.75, 0.98)
            estimate = torch.where(moved_before.isinf(), torch.inf, moved * rate / (1 - rate))
            error = torch.where(done, error, estimate)
            below = error <= tol
            done, near = done | (near & below), below
            # The only wait for the device.
            finite, finished = torch.stack([moved.isfinite().all(), done.all()]).tolist()
            if not finite:  # diverged: give the last good x, and say that it is none
                return PCGResult(before, iterations, torch.full_like(error, torch.inf), torch.zeros_like(done))
            before = x
            if callback is not None:
                callback(iterations, float(error.max()))
            if finished:
                break
        iterations += 1
    return PCGResult(x, min(iterations, max_iter), error, done)
