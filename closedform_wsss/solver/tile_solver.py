"""(L + D) x = b on the tiles of a batch of images: conjugate gradients, preconditioned by multigrid.

On the pixels two steps of relaxation, below them the levels of multigrid. Vectors and the preconditioner are in
the image's precision, which for float32 alone would not do on hard images: L is so ill-conditioned that
rounding in the residual, carried on from iteration to iteration, becomes visible in x. So x is summed up in float64,
and the residual is taken anew from it whenever x is looked at (van der Vorst & Ye, SIAM J. Sci. Comput. 2000).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss.laplacian import MattingLaplacian
from closedform_wsss.laplacian.stencil import StencilOperator
from closedform_wsss.solver.cg import PCGResult
from closedform_wsss.solver.multigrid.coarse_levels import CoarseLevels
from closedform_wsss.solver.multigrid.local_basis import local_basis
from closedform_wsss.solver.stopping import CheckSchedule, StoppingCriterion
from closedform_wsss.solver.tile_operator import TileOperator
from closedform_wsss.solver.tiles import Tiles

# Damped Jacobi steps that leave least of the eigenvalues from 0.1 to 1 times the bound: roots of a Chebyshev
# polynomial.
STEPS = (1.152, 4.314)
# Pixels with marks beyond the usual diagonal of L need no help: of a window's nine values the colours explain four, so
# that a pixel's nine windows leave 9 x 5/9.
DIRICHLET_WEIGHT = 5.0
# Multigrid converges in few iterations and steadily.
CHECK_SCHEDULE = CheckSchedule(every=4, share=16, min_rate=0.3)
# Classes that are done are left out once they are this share of those at work.
DONE_SHARE = 0.25


class TileSolver:
    """The system of some tiles, with its preconditioner."""

    def __init__(self, laplacian: MattingLaplacian, data_weight: Tensor, tiles: Tiles) -> None:
        """data_weight: D, ``(N, H, W)``."""
        of_image = laplacian._operator
        assert isinstance(of_image, StencilOperator)
        self.tiles = tiles
        self.operator = TileOperator(tiles, of_image.stencil, of_image.row_sums, data_weight)
        windows = laplacian.windows_per_pixel().expand(data_weight.shape[0], -1, -1, -1)
        bound = tiles.gather(windows + data_weight[:, None])[:, 0]
        inside = bound > 0
        self.weights = [torch.where(inside, step / bound, 0) for step in STEPS]
        data_weight = tiles.gather(data_weight[:, None])[:, 0]
        free = (data_weight < DIRICHLET_WEIGHT) & inside
        learning_based = laplacian.kind == "learning_based"
        local = local_basis(laplacian.image, tiles, free, data_weight, laplacian.eps, learning_based)
        self.functions, self.starts = local.functions, local.starts
        self.coarse = CoarseLevels(local.energies)

    def precondition(self, r: Tensor, z: Tensor, scratch: Tensor) -> tuple[Tensor, Tensor]:
        """z about (L + D)^-1 r; both buffers are used, the first returned holds z."""
        first, *others = self.weights
        torch.mul(first[:, None], r, out=z)
        for weight in others:
            self.operator.relax(z, r, weight, scratch)
            z, scratch = scratch, z
        self.operator.product(z, scratch)
        torch.sub(r, scratch, out=scratch)
        coarse = self.restrict(scratch)
        if len(coarse):
            self.prolong(self.coarse.correct(coarse), z)
        for weight in self.weights[::-1]:
            self.operator.relax(z, r, weight, scratch)
            z, scratch = scratch, z
        return z, scratch

    def restrict(self, x: Tensor) -> Tensor:
        """P^T x, ``(F, C)``."""
        z = x.new_empty(len(self.functions), x.shape[1])
        _ops.tile_restrict(self.functions, self.starts, x, z)
        return z

    def prolong(self, z: Tensor, x: Tensor) -> None:
        """x += P z."""
        _ops.tile_prolong(self.functions, self.starts, z.contiguous(), x, x)

    def solve(
        self, b: Tensor, x: Tensor, *, tol: float, max_iter: int, callback: Callable[[int, float], None] | None
    ) -> PCGResult:
        """b ``(M, C, 16, 16)``, x the start; :class:`PCGResult` of x in float64."""
        tiles, dtype = self.tiles, b.dtype
        tiny = torch.finfo(dtype).tiny

        def dot(u: Tensor, v: Tensor) -> Tensor:
            return tiles.sum_images(torch.linalg.vecdot(u.flatten(2), v.flatten(2)).double())

        def residual(b: Tensor, x: Tensor, scratch: Tensor) -> Tensor:
            self.operator.product(x, scratch)
            return torch.sub(b, scratch, out=scratch).to(dtype)

        def largest(x: Tensor) -> Tensor:
            return tiles.max_images(x.abs().amax((2, 3)).double())

        result = x.double()
        active = torch.arange(b.shape[1], device=b.device)  # classes
        criterion = StoppingCriterion(tiles.size[0], b.shape[1], tol, b.device, CHECK_SCHEDULE)
        size = dot(b, b).sqrt().clamp_min(tiny)
        total = result.clone()
        wide = torch.empty_like(total)
        r = residual(b, total, wide)
        finished = criterion.start(dot(r, r) == 0)
        z, scratch = self.precondition(r, torch.empty_like(r), torch.empty_like(r))
        p, q, step = z.clone(), torch.empty_like(z), torch.zeros_like(z)  # step: what x has moved since the last look
        rz = dot(r, z)
        iterations = 0
        while not finished and iterations < max_iter:
            iterations += 1
            self.operator.product(p, q)
            curvature = dot(p, q)
            # A system that is done, or has no direction left, stands still.
            still = criterion.done[:, active] | (curvature <= tiny)
            length = tiles.broadcast_to_tiles(torch.where(still, 0, rz / curvature.clamp_min(tiny)).to(dtype))
            step.addcmul_(length, p)
            r.addcmul_(length, q, value=-1)
            if iterations == criterion.next_check or iterations == max_iter:
                is_finite, finished = criterion.update(iterations, largest(step), active)
                if not is_finite:
                    break
                total += step
                step.zero_()
                if callback is not None:
                    callback(iterations, criterion.worst())
                if finished:
                    break
                keep = ~criterion.done[:, active].all(0)
                if int(keep.sum()) <= (1 - DONE_SHARE) * len(active):
                    result[:, active] = total
                    active = active[keep]
                    total, b, r, p, rz = total[:, keep], b[:, keep], r[:, keep], p[:, keep], rz[:, keep]
                    z, scratch, q, step, wide = (v[:, : len(active)].clone() for v in (z, scratch, q, step, wide))
                r = residual(b, total, wide)
            z, scratch = self.precondition(r, z, scratch)
            rz, rz_before = dot(r, z), rz
            torch.addcmul(z, tiles.broadcast_to_tiles((rz / rz_before.clamp_min(tiny)).to(dtype)), p, out=p)
        result[:, active] = total
        left = torch.zeros_like(criterion.error)
        left[:, active] = dot(r, r).sqrt() / size[:, active]
        return PCGResult(result, iterations, criterion.error, criterion.done, left)
