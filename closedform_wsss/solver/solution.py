"""What a solve returns."""

from __future__ import annotations

from torch import Tensor


class ConvergenceWarning(UserWarning):
    """The solver stopped at ``max_iter`` before the estimated error was below ``tol``."""


class Solution:
    """Alpha mattes, and how their solve went.

    Attributes:
        alpha: ``(N, C, H, W)``, not clipped: it may leave [0, 1] a little.
    """

    def __init__(self, alpha: Tensor, figures: Tensor) -> None:
        """``figures`` ``(4,)`` float64 on the CPU, in the order of the properties; they are read when they are asked
        for, so that ``torch.compile`` does not have to."""
        self.alpha = alpha
        self._figures = figures

    @property
    def iterations(self) -> int:
        """Preconditioned conjugate-gradient iterations, of the slowest classes where some are solved after others."""
        return int(self._figures[0])

    @property
    def error(self) -> float:
        """The estimated largest error of alpha, over all images and classes."""
        return float(self._figures[1])

    @property
    def converged(self) -> bool:
        """Whether every image and class got below ``tol``."""
        return bool(self._figures[2])

    @property
    def residual(self) -> float:
        """The largest norm of b - (L + D) alpha, relative to that of b = D s. A poor measure of alpha's error."""
        return float(self._figures[3])

    def __repr__(self) -> str:
        return (
            f"Solution(alpha={tuple(self.alpha.shape)}, iterations={self.iterations}, error={self.error:.2g}, "
            f"converged={self.converged}, residual={self.residual:.2g})"
        )
