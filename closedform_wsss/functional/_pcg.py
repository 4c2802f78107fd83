"""Preconditioned conjugate gradients for many right-hand sides, judged by the solution and not by the residual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Looks:
    """When to look at the solution, and what to believe.

    Attributes:
        every, share: Iterations between two looks: at least so many, and one in ``share`` of those done.
        best_rate, worst_rate: The least and the most that an error is believed to shrink by from look to look.
    """

    every: int = 5
    share: int = 8
    best_rate: float = 0.75
    worst_rate: float = 0.98


@dataclass
class PCGResult:
    """x; iterations; for each image and class, ``(N, C)``, the estimated largest error in x, whether it is below tol,
    and the norm of the residual, relative to that of b."""

    x: Tensor
    iterations: int
    error: Tensor
    converged: Tensor
    residual: Tensor


class Judge:
    """Says when a solve is done.

    The residual is a bad judge: A is so ill-conditioned that a relative residual of 1e-7 leaves errors of 0.1 in x.
    So x itself is looked at now and then: if it moved by at most d' over one span of iterations and by d over the next,
    it converges at a rate rho = d / d' a span, and what is still to come is about d rho / (1 - rho); rho is held within
    bounds against lucky and unlucky spans. A system is done when that is below ``tol`` twice running.

    Attributes:
        error: ``(N, C)``, the estimate.
        done: ``(N, C)`` bool.
        next_look: The iteration at which to look again.
    """

    def __init__(self, n: int, classes: int, tol: float, device: torch.device, looks: Looks) -> None:
        self.tol, self.looks, self.next_look = tol, looks, looks.every
        self.error = torch.full((n, classes), torch.inf, dtype=torch.float64, device=device)
        self.moved = torch.full_like(self.error, torch.inf)
        self.done = torch.zeros_like(self.error, dtype=torch.bool)
        self.near = torch.zeros_like(self.done)  # below the tolerance at the last look

    def start(self, solved: Tensor) -> bool:
        """Given the systems ``(N, C)`` that the start solves: are these all?"""
        self.error[solved] = 0
        self.done |= solved
        self.near |= solved
        return bool(self.done.all())

    def look(self, iterations: int, moved: Tensor, classes: Tensor | None = None) -> tuple[bool, bool]:
        """Given how far these classes of x have moved since the last look, ``(N, classes)``: is all sound, and done?

        If not sound, if x is not finite, nothing is done.
        """
        self.next_look = iterations + max(self.looks.every, iterations // self.looks.share)
        at = slice(None) if classes is None else classes
        before = self.moved[:, at]
        rate = (moved / before.clamp_min(1e-300)).clamp(self.looks.best_rate, self.looks.worst_rate)
        estimate = torch.where(before.isinf(), torch.inf, moved * rate / (1 - rate))
        error = torch.where(self.done[:, at], self.error[:, at], estimate)
        below = error <= self.tol
        self.error[:, at], self.moved[:, at] = error, moved
        self.done[:, at] |= self.near[:, at] & below
        self.near[:, at] = below
        # The only wait for the device.
        sound, finished = torch.stack([moved.isfinite().all(), self.done.all()]).tolist()
        if not sound:
            self.error.fill_(torch.inf)
            self.done.fill_(False)
        return sound, finished

    def worst(self) -> float:
        """The largest error."""
        return float(self.error.max())


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
    looks: Looks,
) -> PCGResult:
    """Solve A x = b for every (n, c) of b ``(N, C, H, W)`` at once, from the start x."""

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return torch.linalg.vecdot(u.flatten(2), v.flatten(2)).double()[:, :, None, None]

    tiny = torch.finfo(b.dtype).tiny
    r = b - product(x)
    z = precondition(r)
    p = z
    rz = dot(r, z)
    judge = Judge(b.shape[0], b.shape[1], tol, b.device, looks)
    finished = judge.start((r == 0).flatten(2).all(2))
    before = x
    iterations = 0
    while not finished and iterations < max_iter:
        iterations += 1
        q = product(p)
        curvature = dot(p, q)
        # A system that is done, or has no direction left, stands still.
        step = torch.where(judge.done[:, :, None, None] | (curvature <= tiny), 0, rz / curvature.clamp_min(tiny))
        x = torch.addcmul(x, step.to(x.dtype), p)
        r = torch.addcmul(r, -step.to(x.dtype), q)
        if iterations == judge.next_look:
            sound, finished = judge.look(iterations, (x - before).abs().amax((2, 3)).double())
            if not sound:
                x = before
                break
            before = x
            if callback is not None:
                callback(iterations, judge.worst())
            if finished:
                break
        z = precondition(r)
        rz, rz_before = dot(r, z), rz
        p = torch.addcmul(z, (rz / rz_before.clamp_min(tiny)).to(x.dtype), p)
    residual = (dot(r, r) / dot(b, b).clamp_min(tiny)).sqrt()[:, :, 0, 0]
    return PCGResult(x, iterations, judge.error, judge.done, residual)
