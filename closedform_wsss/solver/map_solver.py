"""(L + D) x = b on whole maps: conjugate gradients for the systems that :class:`TileSolver` does not take."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from closedform_wsss.laplacian import MattingLaplacian
from closedform_wsss.solver.cg import CLASSES_AT_ONCE, PCGResult, Preconditioner, pcg
from closedform_wsss.solver.stopping import CheckSchedule, Stopping
from closedform_wsss.solver.tiles import MAX_WINDOWS
from closedform_wsss.solver.two_level import AffineCoarseSpace, TwoLevel

# From this weight on at every pixel (condition number below 1e4) the set-up of a coarse space does not pay.
WELL_CONDITIONED = 1e-3


def is_well_conditioned(data_weight: Tensor) -> bool:
    return bool((data_weight >= WELL_CONDITIONED).all())


class MapSolver:
    """The system of a batch of images, with its preconditioner: the diagonal where that is enough, else two levels."""

    mixed, classes_at_once = False, CLASSES_AT_ONCE

    def __init__(self, laplacian: MattingLaplacian, data_weight: Tensor) -> None:
        """data_weight: D, ``(N, H, W)``."""
        self.laplacian, self.data_weight = laplacian, data_weight
        self.well_conditioned = is_well_conditioned(data_weight)
        self.schedule = well_conditioned_schedule(data_weight) if self.well_conditioned else CheckSchedule()

    def product(self, x: Tensor, out: Tensor) -> Tensor:
        """(L + D) x."""
        return self.laplacian.product(x, self.data_weight)

    @cached_property
    def _inverse(self) -> Preconditioner:
        if self.well_conditioned:
            return Jacobi(self.laplacian.diagonal() + self.data_weight[:, None])
        return self._two_level()

    def precondition(self, r: Tensor, z: Tensor, scratch: Tensor) -> tuple[Tensor, Tensor]:
        """Set up at the first call: an image with a single class needs none."""
        return self._inverse(r, z, scratch)

    def _two_level(self) -> TwoLevel:
        laplacian, weight = self.laplacian, self.data_weight[:, None]
        exact, exact_weight = laplacian.to_float64(), self.data_weight.double()
        coarse = AffineCoarseSpace(
            laplacian.image,
            lambda v: exact.product(v, exact_weight),
            reach=2 * laplacian.radius,
            excluded=weight > laplacian.diagonal(),
        )
        return TwoLevel(coarse, self, laplacian.windows_per_pixel() + weight)

    def solve(self, values: Tensor, start: Tensor, stopping: Stopping) -> PCGResult:
        """(L + D) x = D values from a start, ``(N, C, H, W)``."""
        b = self.data_weight[:, None] * values
        result = pcg(WholeMaps(), self, self.precondition, b, start, stopping, self.schedule)
        result.x = result.x.to(values.dtype)  # of a system that is solved in float64
        return result


class WholeMaps:
    """Vectors that are maps ``(N, C, H, W)``."""

    def sum_images(self, values: Tensor) -> Tensor:
        return values

    def max_images(self, values: Tensor) -> Tensor:
        return values

    def broadcast(self, values: Tensor) -> Tensor:
        return values[:, :, None, None]


class Jacobi:
    """The inverse of the diagonal."""

    def __init__(self, diagonal: Tensor) -> None:
        self.inverse = 1 / diagonal

    def __call__(self, r: Tensor, z: Tensor, scratch: Tensor) -> tuple[Tensor, Tensor]:
        return torch.mul(self.inverse, r, out=z), scratch


def well_conditioned_schedule(data_weight: Tensor) -> CheckSchedule:
    """When to check the solution of a system with this D, and which convergence rates are possible.

    Where D is at least d at every pixel, the condition number of L + D over its diagonal is about (9 + d) / d: the
    eigenvalues go from d / (9 + d), because L's diagonal is below 9, to about 9 / 5, because colours explain four of a
    window's nine values. Conjugate gradients converge at least at the rate that follows from it.
    """
    if not data_weight.numel():
        return CheckSchedule()
    root = math.sqrt(MAX_WINDOWS / float(data_weight.min()) + 1)
    worst = ((root - 1) / (root + 1)) ** CheckSchedule.every
    return CheckSchedule(min_rate=min(worst, CheckSchedule.min_rate), max_rate=min(worst, CheckSchedule.max_rate))
