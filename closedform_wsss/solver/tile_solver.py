"""(L + D) x = b on the tiles of a batch of images: conjugate gradients, preconditioned by multigrid.

Vectors and preconditioner are in the image's precision, x and its residual in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss.laplacian import MattingLaplacian
from closedform_wsss.laplacian.stencil import StencilOperator
from closedform_wsss.solver.cg import CLASSES_AT_ONCE, PCGResult, pcg
from closedform_wsss.solver.diagonal_bound import diagonal_bound
from closedform_wsss.solver.multigrid.local_basis import local_basis
from closedform_wsss.solver.multigrid.w_cycle import WCycle
from closedform_wsss.solver.regions import Part, RegionCorrection
from closedform_wsss.solver.stopping import CheckSchedule, Stopping
from closedform_wsss.solver.tile_operator import TileOperator
from closedform_wsss.solver.tiles import Tiles

# Damped Jacobi steps, the best for eigenvalues from 0.1 to 1 times the bound: roots of a Chebyshev polynomial.
JACOBI_STEPS = (1.152, 4.314)
# Where D exceeds the usual diagonal of L, the pixel is left to Jacobi. That diagonal is 9 x 5/9: of the nine values in
# each of a pixel's nine windows the colours explain four.
DIRICHLET_WEIGHT = 5.0
# Multigrid converges steadily in few iterations.
CHECK_SCHEDULE = CheckSchedule(every=4, divisor=16, min_rate=0.3)


class TileSolver:
    """The system of some tiles, with its preconditioner."""

    classes_at_once = CLASSES_AT_ONCE

    def __init__(
        self, laplacian: MattingLaplacian, data_weight: Tensor, tiles: Tiles, functions: Sequence[Part] = ()
    ) -> None:
        """data_weight: D, ``(N, H, W)``; functions: those of :func:`region_functions`."""
        of_image = laplacian._operator
        assert isinstance(of_image, StencilOperator)
        self.laplacian, self.data_weight, self.tiles = laplacian, data_weight, tiles
        self.operator = TileOperator(tiles, of_image.stencil, of_image.row_sums, data_weight)
        bound = laplacian.windows_per_pixel().expand(data_weight.shape[0], -1, -1, -1)
        bound = tiles.gather(diagonal_bound(of_image, bound) + data_weight[:, None])[:, 0]
        inside = bound > 0
        self.weights = [torch.where(inside, step / bound, 0) for step in JACOBI_STEPS]
        tile_weight = tiles.gather(data_weight[:, None])[:, 0]
        free = (tile_weight < DIRICHLET_WEIGHT) & inside
        learning_based = laplacian.kind == "learning_based"
        local = local_basis(laplacian.image, tiles, free, tile_weight, laplacian.eps, learning_based)
        self.basis, self.starts = local.basis, local.starts
        self.coarse = WCycle(local.energies)
        self.regions = RegionCorrection(functions, laplacian, data_weight, tiles)

    def precondition(self, r: Tensor, z: Tensor, scratch: Tensor) -> tuple[Tensor, Tensor]:
        """About (L + D)^-1 r: two Jacobi steps, the regions, coarse correction, and the same in reverse."""
        first, *others = self.weights
        torch.mul(first[:, None], r, out=z)
        for weight in others:
            self.operator.relax(z, r, weight, scratch)
            z, scratch = scratch, z
        self._correct_regions(r, z, scratch)
        coarse = self.restrict(self._residual(r, z, scratch))
        if len(coarse):
            self.prolong(self.coarse.correct(coarse), z)
        self._correct_regions(r, z, scratch)
        for weight in self.weights[::-1]:
            self.operator.relax(z, r, weight, scratch)
            z, scratch = scratch, z
        return z, scratch

    def _correct_regions(self, r: Tensor, z: Tensor, scratch: Tensor) -> None:
        if self.regions.count:
            self.regions.correct(self._residual(r, z, scratch), z)

    def _residual(self, r: Tensor, z: Tensor, scratch: Tensor) -> Tensor:
        return torch.sub(r, self.operator.product(z, scratch), out=scratch)

    def restrict(self, x: Tensor) -> Tensor:
        """P^T x, ``(F, C)``."""
        z = x.new_empty(len(self.basis), x.shape[1])
        _ops.tile_restrict(self.basis, self.starts, x, z)
        return z

    def prolong(self, z: Tensor, x: Tensor) -> None:
        """x += P z."""
        _ops.tile_prolong(self.basis, self.starts, z.contiguous(), x, x)

    def solve(self, values: Tensor, start: Tensor, stopping: Stopping) -> PCGResult:
        """(L + D) x = D values from a start, ``(N, C, H, W)``."""
        tiles = self.tiles
        b = tiles.gather(self.data_weight[:, None] * values)
        if not tiles.covers_all:  # move the known values around the tiles to the right-hand side
            known = tiles.scatter(torch.zeros_like(b), values.to(b.dtype))
            b -= tiles.gather(self.laplacian @ known)
        result = pcg(tiles, self.operator, self.precondition, b, tiles.gather(start), stopping, CHECK_SCHEDULE)
        result.x = tiles.scatter(result.x.to(values.dtype), values)
        return result
