"""Solve (L + D) alpha = D s for the classes of a batch of images, on the operator."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from closedform_wsss._autocast import without_autocast
from closedform_wsss._checks import (
    check_count,
    check_finite,
    check_maps,
    check_positive,
)
from closedform_wsss._ops._define import define
from closedform_wsss._warn import warn_user
from closedform_wsss.laplacian import Kind, MattingLaplacian
from closedform_wsss.laplacian.stencil import StencilOperator
from closedform_wsss.solver.affine_coarse import AffineCoarseSpace, two_level
from closedform_wsss.solver.cg import PCGResult, by_classes, pcg
from closedform_wsss.solver.multigrid.local_basis import MAX_CHANNELS
from closedform_wsss.solver.problem import WHERE, check_marked, check_problem, data_term
from closedform_wsss.solver.solution import ConvergenceWarning, Solution
from closedform_wsss.solver.stopping import CheckSchedule
from closedform_wsss.solver.tile_solver import TileSolver
from closedform_wsss.solver.tiles import MAX_WINDOWS, SIDE, Tiles, active_tiles

# From this weight on at every pixel (condition number below 1e4) the set-up of a coarse space does not pay.
WELL_CONDITIONED = 1e-3
Callback = Callable[[int, float], None]


@torch.no_grad()
@without_autocast
def solve(
    laplacian: MattingLaplacian,
    target: Tensor,
    *,
    num_classes: int | None,
    mark_weight: float | Tensor,
    tol: float,
    max_iter: int,
    initial: Tensor | None,
    ignore_index: int,
    callback: Callback | None,
) -> Solution:
    """:func:`solve_matting` on an operator, with its options."""
    tol = check_positive(WHERE, "tol", tol)
    max_iter = check_count(WHERE, "max_iter", max_iter, 1)
    soft = isinstance(target, Tensor) and target.is_floating_point()
    target, num_classes = check_problem(laplacian, target, soft, num_classes, ignore_index)
    data_weight = data_term(laplacian, mark_weight)
    if not soft:
        data_weight = data_weight * (target != ignore_index)
    if not torch.compiler.is_compiling():
        check_marked(target, data_weight, soft)
    if initial is not None:
        initial = check_maps(WHERE, "initial", initial, laplacian.shape[0], laplacian.device)
        if initial.shape != (laplacian.shape[0], num_classes, *laplacian.shape[1:]):
            raise ValueError(
                f"{WHERE}: initial must be (N, C, H, W) = {(laplacian.shape[0], num_classes, *laplacian.shape[1:])}, "
                f"got shape {tuple(initial.shape)}"
            )
        check_finite(WHERE, "initial", initial)
        initial = initial.to(laplacian.dtype)

    wanted = target if soft else torch.where(target == ignore_index, -1, target).int()
    if torch.compiler.is_compiling() and callback is None:
        problem = (laplacian.image, wanted, data_weight, initial, num_classes)
        alpha, figures = _solve(*problem, laplacian.kind, laplacian.eps, laplacian.radius, tol, max_iter)
    else:
        alpha, figures = _solve_on(laplacian, wanted, data_weight, initial, num_classes, tol, max_iter, callback)
    return Solution(alpha, figures)


def _solve_on(
    laplacian: MattingLaplacian,
    target: Tensor,
    data_weight: Tensor,
    initial: Tensor | None,
    num_classes: int,
    tol: float,
    max_iter: int,
    callback: Callback | None,
) -> tuple[Tensor, Tensor]:
    """Solve for soft values ``(N, C, H, W)`` or int32 marks ``(N, H, W)``, -1 for none; alpha and the figures of a
    :class:`Solution`."""
    options = {"tol": tol, "max_iter": max_iter, "callback": callback}
    if target.is_floating_point():
        system = _System(laplacian, data_weight, None, options)
        values = target.to(laplacian.dtype)
        start = values.mean((2, 3), keepdim=True).expand_as(values) if initial is None else initial
        result = by_classes(system.solve, values, start)
        alpha = result.x
    else:
        alpha, result = _solve_marks(_System(laplacian, data_weight, target, options), target, num_classes, initial)
    error = float(result.error.max()) if result.error.numel() else 0.0
    residual = float(result.residual.max()) if result.residual.numel() else 0.0
    converged = bool(result.converged.all())
    if not converged:
        warn_user(
            f"{WHERE}: stopped after {result.iterations} iterations with an estimated error of {error:.2g} in "
            f"alpha, above tol {tol:g}: raise max_iter, or eps, or mark more",
            ConvergenceWarning,
        )
    return alpha, torch.tensor([result.iterations, error, converged, residual], dtype=torch.float64, device="cpu")


# The same as an operator, so that torch.compile takes a solve as one step and does not trace its iterations.


def _solve_run(
    image: Tensor,
    target: Tensor,
    data_weight: Tensor,
    initial: Tensor | None,
    num_classes: int,
    kind: Kind,
    eps: float,
    radius: int,
    tol: float,
    max_iter: int,
) -> tuple[Tensor, Tensor]:
    laplacian = MattingLaplacian(image, kind=kind, eps=eps, radius=radius)
    return _solve_on(laplacian, target, data_weight, initial, num_classes, tol, max_iter, None)


def _solve_fake(
    image: Tensor, target: Tensor, data_weight: Tensor, initial: Tensor | None, num_classes: int, *_: Any
) -> tuple[Tensor, Tensor]:
    n, _channels, h, w = image.shape
    return image.new_empty(n, num_classes, h, w), torch.empty(4, dtype=torch.float64, device="cpu")


_solve = define(
    "solve_matting",
    "(Tensor image, Tensor target, Tensor data_weight, Tensor? initial, int num_classes, str kind, float eps,"
    " int radius, float tol, int max_iter) -> (Tensor, Tensor)",
    _solve_run,
    _solve_run,
    _solve_fake,
)


def is_well_conditioned(data_weight: Tensor) -> bool:
    return bool((data_weight >= WELL_CONDITIONED).all())


def preconditioner(laplacian: MattingLaplacian, data_weight: Tensor) -> Callable[[Tensor], Tensor]:
    """An approximate inverse of L + D, D = ``data_weight`` ``(N, H, W)``.

    A system that is held everywhere is so well conditioned that the diagonal alone does, with no set-up. Otherwise the
    colour-affine coarse space.
    """
    if is_well_conditioned(data_weight):
        inverse = 1 / (laplacian.diagonal() + data_weight[:, None])
        return lambda r: inverse * r
    exact = laplacian.to_float64()
    coarse = AffineCoarseSpace(
        laplacian.image,
        lambda v: exact.product(v, data_weight.double()),
        reach=2 * laplacian.radius,
        held=data_weight[:, None] > laplacian.diagonal(),
    )
    bound = laplacian.windows_per_pixel() + data_weight[:, None]
    return two_level(coarse, lambda v: laplacian.product(v, data_weight), bound)


def check_schedule(data_weight: Tensor) -> CheckSchedule:
    """When to check the solution of a system with this D, and which convergence rates are possible.

    Where D is at least d at every pixel, the condition number of L + D over its diagonal is about (9 + d) / d: the
    eigenvalues go from d / (9 + d), because L's diagonal is below 9, to about 9 / 5, because colours explain four of a
    window's nine values. Conjugate gradients converge at least at the rate that follows from it.
    """
    if not data_weight.numel() or not is_well_conditioned(data_weight):
        return CheckSchedule()
    root = math.sqrt(MAX_WINDOWS / float(data_weight.min()) + 1)
    worst = ((root - 1) / (root + 1)) ** CheckSchedule.every
    return CheckSchedule(min_rate=min(worst, CheckSchedule.min_rate), max_rate=min(worst, CheckSchedule.max_rate))


class _System:
    """(L + D) alpha = D s, solved on the tiles that need it where L is a stencil, else on the whole images."""

    def __init__(
        self, laplacian: MattingLaplacian, data_weight: Tensor, marks: Tensor | None, options: dict[str, Any]
    ) -> None:
        """data_weight: D ``(N, H, W)``; marks ``(N, H, W)``, -1 for none, if s is 1 and 0 only."""
        self.solver: TileSolver | None = None
        self.dtype = laplacian.dtype
        tiled = isinstance(laplacian._operator, StencilOperator) and laplacian.image.shape[1] <= MAX_CHANNELS
        if tiled and data_weight.numel() and not is_well_conditioned(data_weight):
            if laplacian.kind == "learning_based":
                # Its energies are squares of the closed form's: what hardly costs anything is lost in float32.
                laplacian = laplacian.to_float64()
                data_weight = data_weight.double()
            self.solver = TileSolver(laplacian, data_weight, _tiles(data_weight, marks, options["tol"]))
        self.laplacian, self.data_weight, self.options = laplacian, data_weight, options

    @cached_property
    def _inverse(self) -> Callable[[Tensor], Tensor]:
        return preconditioner(self.laplacian, self.data_weight)

    def solve(self, values: Tensor, start: Tensor) -> PCGResult:
        """s and a start, ``(N, C, H, W)``; for all of these classes at once."""
        right = self.data_weight[:, None] * values
        if self.solver is None:
            inverse = self._inverse if values.numel() else lambda r: r
            product = partial(self.laplacian.product, mark_weight=self.data_weight)
            schedule = check_schedule(self.data_weight)
            return pcg(product, inverse, right, start.contiguous(), **self.options, schedule=schedule)
        tiles = self.solver.tiles
        b = tiles.gather(right)
        if not tiles.covers_all:  # what the settled pixels around the tiles hold them to
            settled = tiles.scatter(torch.zeros_like(b), values.to(b.dtype))
            b -= tiles.gather(self.laplacian @ settled)
        result = self.solver.solve(b, tiles.gather(start), **self.options)
        result.x = tiles.scatter(result.x.to(values.dtype), values)
        return result


def _tiles(data_weight: Tensor, marks: Tensor | None, tol: float) -> Tiles:
    """The tiles that have something to find; with soft values all."""
    n, h, w = data_weight.shape
    if marks is None:
        return Tiles(torch.ones(n, -(-h // SIDE), -(-w // SIDE), dtype=torch.bool, device=data_weight.device), h, w)
    held = (marks >= 0) & (data_weight > 0)
    return Tiles(active_tiles(torch.where(held, marks, -1), float(data_weight[held].min()), min(tol, 1.0) / 10), h, w)


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
