"""Preconditioned conjugate gradients for many right-hand sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from closedform_wsss.solver.stopping import CheckSchedule, Stopping, StoppingCriterion

# On the CPU: as many as use one load of the stencil (csrc/cpu/stencil_rows.h). With more classes, the dozen maps that
# each class needs leave the cache, and nothing is gained.
CLASSES_AT_ONCE = 4
# Converged classes are dropped once they are this fraction of the active ones.
MIN_DONE_FRACTION = 0.25


class VectorSpace(Protocol):
    """How vectors ``(M, C, h, w)`` hold the values of N images: M tiles, or the images themselves."""

    def sum_images(self, values: Tensor) -> Tensor:
        """``(M, C)`` -> ``(N, C)``: sums over the parts of each image."""

    def max_images(self, values: Tensor) -> Tensor:
        """``(M, C)`` -> ``(N, C)``: maxima of values >= 0."""

    def broadcast(self, values: Tensor) -> Tensor:
        """``(N, C)`` -> a factor of vectors."""


class Operator(Protocol):
    """A symmetric positive definite A.

    Attributes:
        mixed: Whether :meth:`product` takes float64 vectors where b is float32.
    """

    mixed: bool

    def product(self, x: Tensor, out: Tensor) -> Tensor:
        """A x; ``out`` is memory for it, which need not be used."""


class Preconditioner(Protocol):
    """An approximate inverse of A, symmetric positive definite."""

    def __call__(self, r: Tensor, z: Tensor, scratch: Tensor) -> tuple[Tensor, Tensor]:
        """The approximate A^-1 r. z and scratch are memory; the first returned holds the result."""


@dataclass
class PCGResult:
    """x; iterations; for each image and class, ``(N, C)``, the estimated largest error in x, whether it is below tol,
    and the norm of the residual, relative to that of b."""

    x: Tensor
    iterations: int
    error: Tensor
    converged: Tensor
    residual: Tensor

    def figures(self) -> Tensor:
        """Iterations, largest error, whether all have converged, largest residual: ``(4,)`` float64 on the CPU."""
        error, residual = (float(v.max()) if v.numel() else 0.0 for v in (self.error, self.residual))
        figures = [self.iterations, error, bool(self.converged.all()), residual]
        return torch.tensor(figures, dtype=torch.float64, device="cpu")


def by_classes(solve: Callable[..., PCGResult], *given: Tensor, at_once: int = CLASSES_AT_ONCE) -> PCGResult:
    """``solve(*given)``; on the CPU for ``at_once`` classes (dimension 1 of all that is given) at a time."""
    if given[0].device.type != "cpu" or given[0].shape[1] <= at_once:
        return solve(*given)
    groups = zip(*(tensor.split(at_once, 1) for tensor in given), strict=True)
    results = [solve(*(tensor.contiguous() for tensor in group)) for group in groups]
    return PCGResult(
        torch.cat([result.x for result in results], 1),
        max(result.iterations for result in results),
        torch.cat([result.error for result in results], 1),
        torch.cat([result.converged for result in results], 1),
        torch.cat([result.residual for result in results], 1),
    )


def pcg(
    space: VectorSpace,
    operator: Operator,
    precondition: Preconditioner,
    b: Tensor,
    x: Tensor,
    stopping: Stopping,
    schedule: CheckSchedule,
) -> PCGResult:
    """Solve A x = b for every image and class at once, from the start x; b and x ``(M, C, h, w)``.

    With a mixed operator, x is summed up in float64, and each check replaces the residual by that of x in float64 (van
    der Vorst & Ye, SIAM J. Sci. Comput. 2000): a matting Laplacian is so ill-conditioned that the rounding of a
    float32 residual, updated from iteration to iteration, becomes visible in x.
    """
    dtype, tiny = b.dtype, torch.finfo(b.dtype).tiny

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return space.sum_images(torch.linalg.vecdot(u.flatten(2), v.flatten(2)).double())

    def factor(values: Tensor) -> Tensor:
        return space.broadcast(values.to(dtype))

    def residual(b: Tensor, x: Tensor, scratch: Tensor) -> Tensor:
        return torch.sub(b, operator.product(x, scratch), out=scratch).to(dtype)

    def relative(r: Tensor) -> Tensor:
        """The norm of the residual of the active classes; as it is where all marks of a class weigh 0: then b is 0."""
        own = norm[:, active]
        return dot(r, r).sqrt() / torch.where(own > tiny, own, 1)

    norm = dot(b, b).sqrt()
    criterion = StoppingCriterion((norm.shape[0], norm.shape[1]), stopping.tol, b.device, schedule)
    active = torch.arange(b.shape[1], device=b.device)  # classes
    x = x.double() if operator.mixed else x.to(dtype, copy=True)
    result, wide = x.clone(), torch.empty_like(x)
    r = residual(b, x, wide)
    if criterion.start(dot(r, r) == 0):
        return PCGResult(x, 0, criterion.error, criterion.done, torch.zeros_like(norm))
    z, scratch = precondition(r, torch.empty_like(r), torch.empty_like(r))
    p, q, step = z.clone(), torch.empty_like(z), torch.zeros_like(z)  # step: the change of x since the last check
    rz, left = dot(r, z), torch.zeros_like(norm)
    for iterations in range(1, stopping.max_iter + 1):
        q = operator.product(p, q)
        curvature = dot(p, q)
        # A system that has converged, or has no direction left, stays as it is.
        still = criterion.done[:, active] | (curvature <= tiny)
        length = factor(torch.where(still, 0, rz / curvature.clamp_min(tiny)))
        step.addcmul_(length, p)
        r.addcmul_(length, q, value=-1)
        if iterations == criterion.next_check or iterations == stopping.max_iter:
            moved = space.max_images(step.abs().amax((2, 3)).double())
            is_finite, finished = criterion.update(iterations, moved, active)
            if not is_finite:
                break
            x += step
            step.zero_()
            if stopping.callback is not None:
                stopping.callback(iterations, criterion.worst())
            if finished:
                break
            keep = ~criterion.done[:, active].all(0)
            if int(keep.sum()) <= (1 - MIN_DONE_FRACTION) * len(active):
                result[:, active], left[:, active] = x, relative(r)
                active = active[keep]
                x, b, r, p, rz = x[:, keep], b[:, keep], r[:, keep], p[:, keep], rz[:, keep]
                z, scratch, q, step, wide = (v[:, : len(active)].clone() for v in (z, scratch, q, step, wide))
            if operator.mixed:
                r = residual(b, x, wide)
        z, scratch = precondition(r, z, scratch)
        rz, rz_before = dot(r, z), rz
        torch.addcmul(z, factor(rz / rz_before.clamp_min(tiny)), p, out=p)
    result[:, active] = x
    left[:, active] = relative(r)
    return PCGResult(result, iterations, criterion.error, criterion.done, left)
