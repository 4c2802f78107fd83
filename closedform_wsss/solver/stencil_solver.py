"""(L + D) x = b on whole maps, all iterations in one call: for well-conditioned systems of a stencil."""

from __future__ import annotations

import sys

from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss.laplacian import MattingLaplacian
from closedform_wsss.laplacian.stencil import StencilOperator
from closedform_wsss.solver.cg import PCGResult
from closedform_wsss.solver.map_solver import MapSolver, well_conditioned_schedule
from closedform_wsss.solver.stopping import Stopping

# A thread (on CUDA a block) solves whole maps. Larger ones leave its cache, and a single image keeps few threads busy.
MAX_PIXELS = 2**16
# The kernel keeps a row of the stencil's neighbours in one piece (csrc/cpu/stencil_rows.h, kTile).
MAX_WIDTH = 512


def takes_whole_maps(like: Tensor, max_pixels: int = MAX_PIXELS) -> bool:
    """Whether the kernels that solve for whole maps take those of this size, ``(N, C, H, W)``."""
    h, w = like.shape[-2:]
    return h * w <= max_pixels and w <= MAX_WIDTH


class StencilSolver:
    """The system of a batch of images, with the diagonal as preconditioner."""

    classes_at_once = sys.maxsize  # the kernel groups them

    def __init__(self, laplacian: MattingLaplacian, data_weight: Tensor) -> None:
        """data_weight: D, ``(N, H, W)``."""
        operator = laplacian._operator
        assert isinstance(operator, StencilOperator)
        self.laplacian, self.data_weight, self.operator = laplacian, data_weight, operator
        self.schedule = well_conditioned_schedule(data_weight)

    @staticmethod
    def takes(laplacian: MattingLaplacian) -> bool:
        return isinstance(laplacian._operator, StencilOperator) and takes_whole_maps(laplacian.image)

    def solve(self, values: Tensor, start: Tensor, stopping: Stopping) -> PCGResult:
        """(L + D) x = D values from a start, ``(N, C, H, W)``."""
        if stopping.callback is not None:  # between iterations
            return MapSolver(self.laplacian, self.data_weight).solve(values, start, stopping)
        diagonal = self.data_weight
        if self.operator.row_sums is not None:
            diagonal = diagonal + self.operator.row_sums
        b, schedule = self.data_weight[:, None] * values, self.schedule
        x, report = _ops.matting_cg(
            self.operator.stencil, diagonal, b, start.to(b.dtype), stopping.tol, stopping.max_iter,
            schedule.every, schedule.divisor, schedule.min_rate, schedule.max_rate,
        )  # fmt: skip
        iterations, error, converged, residual = report.unbind(-1)
        most = int(iterations.max()) if iterations.numel() else 0
        return PCGResult(x, most, error, converged > 0, residual)
