"""The kinds of matting Laplacian, and which implementation one has.

A kind is the matrix of one window: ``_common/matting_window.py`` in plain PyTorch, ``csrc/common/matting_window.h`` for
the kernels. From it come the stencil, the box sums of larger windows, and the energies of tiles in the solver.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

from torch import Tensor

from closedform_wsss._checks import check_positive
from closedform_wsss.laplacian.stencil import StencilOperator
from closedform_wsss.laplacian.windows import WindowOperator

Kind = Literal["closed_form", "learning_based"]
KINDS = ("closed_form", "learning_based")
MIN_EPS = 1e-15  # below, rounding of float64 is larger


class LaplacianOperator(Protocol):
    """An implementation of L."""

    def product(self, x: Tensor, data_weight: Tensor | None = None) -> Tensor:
        """L x + data_weight x for x ``(N, C, H, W)``, data_weight ``(N, H, W)``."""

    def diagonal(self) -> Tensor:
        """The diagonal of L, ``(N, 1, H, W)``."""

    def entries(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, columns and values (float64) of image n; duplicate pairs must be summed."""


def laplacian_operator(image: Tensor, kind: Kind, eps: float, radius: int) -> LaplacianOperator:
    """A stencil for windows of 3 x 3 pixels that fit the image ``(N, D, H, W)``, else box sums."""
    learning_based = kind == "learning_based"
    if radius == 1 and min(image.shape[-2:]) >= 3:
        return StencilOperator(image, eps, learning_based)
    return WindowOperator(image, eps, radius, learning_based)


def check_eps(fn: str, eps: Any) -> float:
    """A regularisation of the colours, which are in [0, 1]."""
    number = check_positive(fn, "eps", eps)
    if number < MIN_EPS:
        raise ValueError(f"{fn}: eps must be at least {MIN_EPS:g}, got {eps!r}")
    return number
