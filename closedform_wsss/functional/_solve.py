"""Solve (L + D) alpha = D s: what :func:`solve_matting` and :meth:`MattingLaplacian.solve` share."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from closedform_wsss._autocast import without_autocast
from closedform_wsss._checks import (
    check_device,
    check_finite,
    check_maps,
    check_positive,
    check_target,
    reads_values,
)
from closedform_wsss._stencil import StencilOperator
from closedform_wsss.functional._affine_coarse import AffineCoarseSpace, two_level
from closedform_wsss.functional._local_basis import MOST_CHANNELS
from closedform_wsss.functional._pcg import Looks, PCGResult, by_classes, pcg
from closedform_wsss.functional._tile_solver import TileSolver
from closedform_wsss.functional._tiles import MOST_WINDOWS, SIDE, Tiles, unsettled
from closedform_wsss.laplacian import MattingLaplacian

WHERE = "solve_matting"
# From this confidence on in every pixel (condition below 1e4) the set-up of a coarse space does not pay.
HELD_EVERYWHERE = 1e-3
Callback = Callable[[int, float], None]


class ConvergenceWarning(UserWarning):
    """The solver stopped at ``max_iter`` before the estimated error was below ``tol``."""


@dataclass(frozen=True)
class SolveInfo:
    """How a solve went.

    Attributes:
        iterations: Preconditioned conjugate-gradient iterations; of the slowest classes where some are solved after
            others.
        error: Estimated largest error of alpha, over all images and classes.
        converged: Whether every image and class got below ``tol``.
        residual: Largest norm of b - (L + D) alpha, relative to that of b = D s, over all images and classes. A poor
            measure of alpha's error.
    """

    iterations: int
    error: float
    converged: bool
    residual: float


@torch.no_grad()
@without_autocast
def solve(
    laplacian: MattingLaplacian,
    target: Tensor,
    *,
    num_classes: int | None = None,
    confidence: float | Tensor = 100.0,
    tol: float = 1e-3,
    max_iter: int = 2000,
    initial: Tensor | None = None,
    ignore_index: int = 255,
    callback: Callback | None = None,
    return_info: bool = False,
) -> Tensor | tuple[Tensor, SolveInfo]:
    """:func:`solve_matting` on an operator that exists already, with its options."""
    check_positive(WHERE, "tol", tol)
    if isinstance(max_iter, bool) or not isinstance(max_iter, int) or max_iter < 1:
        raise ValueError(f"{WHERE}: max_iter must be an integer >= 1, got {max_iter!r}")
    soft = isinstance(target, Tensor) and target.is_floating_point()
    num_classes = _check_problem(laplacian, target, soft, num_classes, ignore_index)
    trusted = _trusted(laplacian, confidence)
    if not soft:
        trusted = trusted * (target != ignore_index)
    _check_every_image(trusted)
    if initial is not None:
        check_maps(WHERE, "initial", initial, laplacian.shape[0], laplacian.device)
        if initial.shape != (laplacian.shape[0], num_classes, *laplacian.shape[1:]):
            raise ValueError(
                f"{WHERE}: initial must be (N, C, H, W) = {(laplacian.shape[0], num_classes, *laplacian.shape[1:])}, "
                f"got shape {tuple(initial.shape)}"
            )
        check_finite(WHERE, "initial", initial)
        initial = initial.to(laplacian.dtype)

    options = {"tol": tol, "max_iter": max_iter, "callback": callback}
    if soft:
        system = _System(laplacian, trusted, None, options)
        values = target.to(laplacian.dtype)
        start = values.mean((2, 3), keepdim=True).expand_as(values) if initial is None else initial
        result = by_classes(system.solve, values, start)
        alpha = result.x
    else:
        marks = torch.where(target == ignore_index, -1, target.int())
        alpha, result = _solve_marks(_System(laplacian, trusted, marks, options), marks, num_classes, initial)
    info = SolveInfo(
        iterations=result.iterations,
        error=float(result.error.max()) if result.error.numel() else 0.0,
        converged=bool(result.converged.all()),
        residual=float(result.residual.max()) if result.residual.numel() else 0.0,
    )
    if not info.converged:
        warnings.warn(
            f"{WHERE}: stopped after {info.iterations} iterations with an estimated error of {info.error:.2g} in "
            f"alpha, above tol {tol:g}: raise max_iter, or eps, or mark more",
            ConvergenceWarning,
            stacklevel=4,
        )
    return (alpha, info) if return_info else alpha


def _held_everywhere(trusted: Tensor) -> bool:
    return bool((trusted >= HELD_EVERYWHERE).all())


def preconditioner(laplacian: MattingLaplacian, trusted: Tensor) -> Callable[[Tensor], Tensor]:
    """An approximate inverse of L + D, D = ``trusted`` ``(N, H, W)``.

    A system that is held everywhere is so well conditioned that the diagonal alone does, with no set-up. Otherwise the
    colour-affine coarse space.
    """
    if _held_everywhere(trusted):
        inverse = 1 / (laplacian.diagonal() + trusted[:, None])
        return lambda r: inverse * r
    exact = laplacian.to_float64()
    coarse = AffineCoarseSpace(
        laplacian.image,
        lambda v: exact.product(v, trusted.double()),
        reach=2 * laplacian.radius,
        held=trusted[:, None] > laplacian.diagonal(),
    )
    bound = laplacian.windows_per_pixel() + trusted[:, None]
    return two_level(coarse, lambda v: laplacian.product(v, trusted), bound)


def looks(trusted: Tensor) -> Looks:
    """When to look at the solution of a system with this D, and what to believe.

    Where D holds every pixel, by d or more, the condition of L + D over its diagonal is about (9 + d) / d: eigenvalues
    from d / (9 + d), because L's diagonal is below 9, to about 9 / 5, because colours explain four of a window's nine
    values. At the rate that this promises conjugate gradients no slower one needs to be feared.
    """
    if not trusted.numel() or not _held_everywhere(trusted):
        return Looks()
    root = math.sqrt(MOST_WINDOWS / float(trusted.min()) + 1)
    worst = ((root - 1) / (root + 1)) ** Looks.every
    return Looks(best_rate=min(worst, Looks.best_rate), worst_rate=min(worst, Looks.worst_rate))


class _System:
    """(L + D) alpha = D s, solved on the tiles that need it where L is a stencil, else on the whole images."""

    def __init__(
        self, laplacian: MattingLaplacian, trusted: Tensor, marks: Tensor | None, options: dict[str, Any]
    ) -> None:
        """trusted: D ``(N, H, W)``; marks ``(N, H, W)``, -1 for none, if s is 1 and 0 only."""
        self.solver: TileSolver | None = None
        self.dtype = laplacian.dtype
        tiled = isinstance(laplacian._operator, StencilOperator) and laplacian.image.shape[1] <= MOST_CHANNELS
        if tiled and trusted.numel() and not _held_everywhere(trusted):
            if laplacian.kind == "learning_based":
                # Its energies are squares of the closed form's: what hardly costs anything is lost in float32.
                laplacian = laplacian.to_float64()
                trusted = trusted.double()
            self.solver = TileSolver(laplacian, trusted, _tiles(trusted, marks, options["tol"]))
        self.laplacian, self.trusted, self.options = laplacian, trusted, options

    @cached_property
    def _inverse(self) -> Callable[[Tensor], Tensor]:
        return preconditioner(self.laplacian, self.trusted)

    def solve(self, values: Tensor, start: Tensor) -> PCGResult:
        """s and a start, ``(N, C, H, W)``; for all of these classes at once."""
        right = self.trusted[:, None] * values
        if self.solver is None:
            inverse = self._inverse if values.numel() else lambda r: r
            product = partial(self.laplacian.product, confidence=self.trusted)
            return pcg(product, inverse, right, start.contiguous(), **self.options, looks=looks(self.trusted))
        tiles = self.solver.tiles
        b = tiles.gather(right)
        if not tiles.everywhere:  # what the settled pixels around the tiles hold them to
            settled = tiles.scatter(torch.zeros_like(b), values.to(b.dtype))
            b -= tiles.gather(self.laplacian @ settled)
        result = self.solver.solve(b, tiles.gather(start), **self.options)
        result.x = tiles.scatter(result.x.to(values.dtype), values)
        return result


def _tiles(trusted: Tensor, marks: Tensor | None, tol: float) -> Tiles:
    """The tiles that have something to find; with soft values all."""
    n, h, w = trusted.shape
    if marks is None:
        return Tiles(torch.ones(n, -(-h // SIDE), -(-w // SIDE), dtype=torch.bool, device=trusted.device), h, w)
    held = (marks >= 0) & (trusted > 0)
    return Tiles(unsettled(torch.where(held, marks, -1), float(trusted[held].min()), min(tol, 1.0) / 10), h, w)


def _solve_marks(system: _System, marks: Tensor, num_classes: int, initial: Tensor | None) -> tuple[Tensor, PCGResult]:
    """Solve for the classes that an image is marked with; those without marks are 0.

    If L 1 = 0, then (L + D) 1 = D 1, and the mattes add up to 1: of each image's classes in order of their marks the
    first is what the others leave.
    """
    n, h, w = marks.shape
    dtype = system.dtype
    first = 1 if system.laplacian.kind == "closed_form" else 0
    label = torch.where(marks < 0, num_classes, marks).long().flatten(1)
    count = torch.zeros(n, num_classes + 1, dtype=torch.long, device=marks.device)
    count = count.scatter_add_(1, label, torch.ones_like(label))[:, :num_classes]
    order = count.argsort(dim=1, descending=True, stable=True)
    solved = order[:, first : int((count > 0).sum(1).max()) if n else first]

    def places(classes: Tensor) -> Tensor:
        return classes[:, :, None, None].expand(-1, -1, h, w)

    def solve(classes: Tensor) -> PCGResult:
        values = (marks[:, None] == classes[:, :, None, None]).to(dtype)
        if initial is None:
            share = (count.gather(1, classes).to(dtype) / count.sum(1, keepdim=True))[:, :, None, None]
            start = torch.where(marks[:, None] < 0, share, values)
        else:
            start = initial.gather(1, places(classes))
        return system.solve(values, start)

    result = by_classes(solve, solved)
    alpha = result.x.new_zeros(n, num_classes, h, w)
    alpha.scatter_(1, places(solved), result.x)
    if first:
        alpha.scatter_(1, places(order[:, :1]), 1 - result.x.sum(1, keepdim=True))
    return alpha, result


def _check_problem(
    laplacian: MattingLaplacian, target: Tensor, soft: bool, num_classes: int | None, ignore_index: int
) -> int:
    """Check the target; return the number of classes."""
    n, h, w = laplacian.shape
    if num_classes is not None and (
        isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1
    ):
        raise ValueError(f"{WHERE}: num_classes must be an integer >= 1, got {num_classes!r}")
    if soft:
        check_maps(WHERE, "target", target, n, laplacian.device)
        check_finite(WHERE, "target", target)
        if num_classes not in (None, target.shape[1]):
            raise ValueError(
                f"{WHERE}: num_classes must be the {target.shape[1]} channels of a soft target, got {num_classes}"
            )
        num_classes = target.shape[1]
    else:
        check_target(WHERE, target, n, laplacian.device, num_classes, ignore_index)
        if num_classes is None:
            marks = target[target != ignore_index]
            num_classes = int(marks.max()) + 1 if marks.numel() else 1
    if tuple(target.shape[-2:]) != (h, w):
        raise ValueError(f"{WHERE}: target must have the image's size ({h}, {w}), got shape {tuple(target.shape)}")
    return num_classes


def _trusted(laplacian: MattingLaplacian, confidence: float | Tensor) -> Tensor:
    """lambda D as a map ``(N, H, W)``."""
    if not isinstance(confidence, Tensor):
        check_positive(WHERE, "confidence", confidence)
        return torch.full(laplacian.shape, confidence, dtype=laplacian.dtype, device=laplacian.device)
    if confidence.shape != laplacian.shape:
        raise ValueError(
            f"{WHERE}: confidence must be a number or (N, H, W) = {laplacian.shape}, "
            f"got shape {tuple(confidence.shape)}"
        )
    check_device(WHERE, "confidence", confidence, laplacian.device)
    check_finite(WHERE, "confidence", confidence)
    if reads_values(confidence) and not bool((confidence >= 0).all()):
        raise ValueError(f"{WHERE}: confidence must be >= 0, got {confidence.min().item():g}")
    return confidence.to(laplacian.dtype)


def _check_every_image(trusted: Tensor) -> None:
    """Without one trusted pixel any constant solves the system."""
    bare = (trusted.flatten(1) > 0).any(1).logical_not().nonzero().flatten().tolist() if trusted.numel() else []
    if bare:
        raise ValueError(
            f"{WHERE}: every image needs at least one marked pixel, got none in image {bare[0]} of the batch"
        )
