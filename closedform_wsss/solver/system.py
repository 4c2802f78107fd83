"""Which solver a system (L + D) x = D s gets."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from closedform_wsss._common.tile_layout import SIDE
from closedform_wsss.laplacian import MattingLaplacian
from closedform_wsss.laplacian.stencil import StencilOperator
from closedform_wsss.solver.cg import PCGResult
from closedform_wsss.solver.map_solver import MapSolver, is_well_conditioned
from closedform_wsss.solver.multigrid.local_basis import MAX_CHANNELS
from closedform_wsss.solver.regions import region_functions
from closedform_wsss.solver.stencil_solver import StencilSolver
from closedform_wsss.solver.stopping import Stopping
from closedform_wsss.solver.tile_solver import TileSolver
from closedform_wsss.solver.tiles import Tiles, active_tiles

# Rows of a float32 stencil add up to 1e-7 rather than 0. A smaller weight at every pixel is lost beside that, and so is
# one at marks alone that is smaller in the mean over the image.
LOST_WEIGHT = 1e-7


class SystemSolver(Protocol):
    """A solver of one system for any s.

    Attributes:
        classes_at_once: As many as one call of :meth:`solve` should get on the CPU.
    """

    classes_at_once: int

    def solve(self, values: Tensor, start: Tensor, stopping: Stopping) -> PCGResult:
        """(L + D) x = D values from a start; all ``(N, C, H, W)``."""


def system_solver(
    laplacian: MattingLaplacian, data_weight: Tensor, tol: float, marks: Tensor | None = None
) -> SystemSolver:
    """Multigrid on tiles where L is a stencil and its diagonal is not enough. Where it is enough, on maps that are not
    large, :class:`StencilSolver`. Else :class:`MapSolver`.

    Args:
        laplacian: L.
        data_weight: D, ``(N, H, W)``.
        tol: Largest error of x.
        marks: ``(N, H, W)``, -1 for none, if s is 1 on a class's own marks and 0 on those of others. The work then
            follows the unmarked area.
    """
    stencil = isinstance(laplacian._operator, StencilOperator) and laplacian.image.shape[1] <= MAX_CHANNELS
    well_conditioned = is_well_conditioned(data_weight)
    if well_conditioned and StencilSolver.takes(laplacian):
        return StencilSolver(laplacian, data_weight)
    if well_conditioned:
        return MapSolver(laplacian, data_weight)
    least, mean = float(data_weight.amin()), float(data_weight.mean((1, 2)).min())
    functions = region_functions(laplacian.image, data_weight) if stencil else []
    # :class:`MapSolver` adds up x and its products in their own precision, which loses any small weight at every pixel.
    lost = 0 < least < LOST_WEIGHT if stencil else least > 0
    if functions or lost or mean < LOST_WEIGHT or laplacian.kind == "learning_based":
        # The smallest energies are lost in float32: those of regions that only eps holds, those of tiny weights, and
        # those of the learning-based Laplacian, which are squares of the closed form's.
        laplacian, data_weight = laplacian.to_float64(), data_weight.double()
    if not stencil:
        return MapSolver(laplacian, data_weight)
    return TileSolver(laplacian, data_weight, _tiles(data_weight, tol, marks), functions)


def _tiles(data_weight: Tensor, tol: float, marks: Tensor | None) -> Tiles:
    """The tiles that must be solved; without marks all of them."""
    n, h, w = data_weight.shape
    if marks is None:
        return Tiles(torch.ones(n, -(-h // SIDE), -(-w // SIDE), dtype=torch.bool, device=data_weight.device), h, w)
    marked = (marks >= 0) & (data_weight > 0)
    weight = float(data_weight[marked].min())
    return Tiles(active_tiles(torch.where(marked, marks, -1), weight, min(tol, 1.0) / 10), h, w)
