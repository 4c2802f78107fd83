"""Chebyshev's method for the matting Laplacian; the kernel is ``csrc/cpu/matting_chebyshev.cpp``."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss._reference.matting_product import matting_product


def matting_chebyshev(
    stencil: Tensor,
    diagonal: Tensor,
    preconditioner: Tensor,
    b: Tensor,
    start: Tensor,
    low: float,
    high: float,
    num_iters: int,
) -> Tensor:
    """x near (L + diagonal)^-1 b after ``num_iters`` steps; b and start ``(N, C, H, W)``, diagonal ``(N, H, W)``.

    preconditioner ``(N, H, W)``: the eigenvalues of preconditioner (L + diagonal) lie in [low, high].

    Reference:
        Saad: Iterative methods for sparse linear systems. 2nd edition, SIAM 2003, algorithm 12.1.
    """
    center, half = (high + low) / 2, (high - low) / 2
    x, change, rho = start.contiguous(), start.new_zeros(()), half / center
    keep, add = 0.0, 1 / center
    for _ in range(num_iters):
        residual = preconditioner[:, None] * (b - matting_product(stencil, x, diagonal))
        change = keep * change + add * residual
        x = x + change
        following = 1 / (2 * center / half - rho)
        keep, add, rho = following * rho, 2 * following / half, following
    return x
