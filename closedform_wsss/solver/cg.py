"""Preconditioned conjugate gradients for many right-hand sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from closedform_wsss.solver.stopping import CheckSchedule, StoppingCriterion


@dataclass
class PCGResult:
    """x; iterations; for each image and class, ``(N, C)``, the estimated largest error in x, whether it is below tol,
    and the norm of the residual, relative to that of b."""

    x: Tensor
    iterations: int
    error: Tensor
    converged: Tensor
    residual: Tensor


# On the CPU: as many as share the loads of the stencil (csrc/cpu/stencil_rows.h). With more, the dozen maps that a
# class needs leave the cache and take memory, and gain nothing.
CLASSES_AT_ONCE = 4


def by_classes(solve: Callable[..., PCGResult], *given: Tensor) -> PCGResult:
    """``solve(*given)``, on the CPU for a few of the classes, dimension 1 of all that is given, at a time."""
    if given[0].device.type != "cpu" or given[0].shape[1] <= CLASSES_AT_ONCE:
        return solve(*given)
    groups = zip(*(tensor.split(CLASSES_AT_ONCE, 1) for tensor in given), strict=True)
    results = [solve(*(tensor.contiguous() for tensor in group)) for group in groups]
    return PCGResult(
        torch.cat([result.x for result in results], 1),
        max(result.iterations for result in results),
        torch.cat([result.error for result in results], 1),
        torch.cat([result.converged for result in results], 1),
        torch.cat([result.residual for result in results], 1),
    )


def pcg(
    product: Callable[[Tensor], Tensor],
    precondition: Callable[[Tensor], Tensor],
    b: Tensor,
    x: Tensor,
    *,
    tol: float,
    max_iter: int,
    callback: Callable[[int, float], None] | None,
    schedule: CheckSchedule,
) -> PCGResult:
    """Solve A x = b for every (n, c) of b ``(N, C, H, W)`` at once, from the start x."""

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return torch.linalg.vecdot(u.flatten(2), v.flatten(2)).double()[:, :, None, None]

    tiny = torch.finfo(b.dtype).tiny
    r = b - product(x)
    z = precondition(r)
    p = z
    rz = dot(r, z)
    criterion = StoppingCriterion(b.shape[0], b.shape[1], tol, b.device, schedule)
    finished = criterion.start((r == 0).flatten(2).all(2))
    before = x
    iterations = 0
    while not finished and iterations < max_iter:
        iterations += 1
        q = product(p)
        curvature = dot(p, q)
        # A system that is done, or has no direction left, stands still.
        step = torch.where(criterion.done[:, :, None, None] | (curvature <= tiny), 0, rz / curvature.clamp_min(tiny))
        x = torch.addcmul(x, step.to(x.dtype), p)
        r = torch.addcmul(r, -step.to(x.dtype), q)
        if iterations == criterion.next_check:
            is_finite, finished = criterion.update(iterations, (x - before).abs().amax((2, 3)).double())
            if not is_finite:
                x = before
                break
            before = x
            if callback is not None:
                callback(iterations, criterion.worst())
            if finished:
                break
        z = precondition(r)
        rz, rz_before = dot(r, z), rz
        p = torch.addcmul(z, (rz / rz_before.clamp_min(tiny)).to(x.dtype), p)
    residual = (dot(r, r) / dot(b, b).clamp_min(tiny)).sqrt()[:, :, 0, 0]
    return PCGResult(x, iterations, criterion.error, criterion.done, residual)
