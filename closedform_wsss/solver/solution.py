"""What a solve returns."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._warn import warn_user
from closedform_wsss.solver.cg import PCGResult

# Iterations, error, converged, residual.
NOTHING_TO_SOLVE = torch.tensor([0.0, 0.0, 1.0, 0.0], dtype=torch.float64, device="cpu")


class ConvergenceWarning(UserWarning):
    """The solver stopped at ``max_iter`` before the estimated error was below ``tol``."""


def warn_unless_converged(caller: str, result: PCGResult, tol: float, of: str, cure: str) -> None:
    if not bool(result.converged.all()):
        warn_user(
            f"{caller}: stopped after {result.iterations} iterations with an estimated error of "
            f"{float(result.error.max()):.2g} {of}, above tol {tol:g}: {cure}",
            ConvergenceWarning,
        )


class Solution:
    """Alpha mattes and figures about their solve.

    Attributes:
        alpha: ``(N, C, H, W)``, not clipped: it may leave [0, 1] a little.
        skipped: ``(N,)`` bool, the images without a mark, which ``unmarked="skip"`` leaves out: their alpha is 0 for
            every class, and the figures are those of the others.
    """

    def __init__(self, alpha: Tensor, figures: Tensor, skipped: Tensor) -> None:
        """figures: ``(4,)`` float64 on the CPU, in the order of the properties, which read them; so ``torch.compile``
        does not have to."""
        self.alpha, self.skipped = alpha, skipped
        self._figures = figures

    @property
    def iterations(self) -> int:
        """Conjugate-gradient iterations; the largest number, where some classes are solved after others."""
        return int(self._figures[0])

    @property
    def error(self) -> float:
        """The estimated largest error of alpha, over all images and classes."""
        return float(self._figures[1])

    @property
    def converged(self) -> bool:
        """Whether the error of every image and class is below ``tol``."""
        return bool(self._figures[2])

    @property
    def residual(self) -> float:
        """The largest norm of b - (L + D) alpha relative to that of b = D s; a poor measure of the error of alpha."""
        return float(self._figures[3])

    def __repr__(self) -> str:
        return (
            f"Solution(alpha={tuple(self.alpha.shape)}, iterations={self.iterations}, error={self.error:.2g}, "
            f"converged={self.converged}, residual={self.residual:.2g})"
        )
