"""Chebyshev's method: a fixed number of steps, without a test of convergence."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def chebyshev(
    product: Callable[[Tensor], Tensor], b: Tensor, start: Tensor, low: float, high: float, num_iters: int
) -> Tensor:
    r"""x near :math:`A^{-1} b`, for an A with real eigenvalues in [low, high].

    The error shrinks like :math:`2 ((\sqrt\kappa - 1) / (\sqrt\kappa + 1))^k` after k steps, with
    :math:`\kappa` = high / low. No dot products are needed: the result is linear in b and start, can be traced, and its
    gradient is exact.

    Args:
        product: x -> A x.
        b: The right side.
        start: The first x.
        low, high: Bounds of the eigenvalues, 0 < low < high.
        num_iters: Steps, >= 1, each with one product.

    Reference:
        Saad: Iterative methods for sparse linear systems. 2nd edition, SIAM 2003, algorithm 12.1.
    """
    center, half = (high + low) / 2, (high - low) / 2
    sigma = center / half
    x, r = start, b - product(start)
    rho, d = 1 / sigma, r / center
    for _ in range(num_iters - 1):
        x, r = x + d, r - product(d)
        following = 1 / (2 * sigma - rho)
        d = following * rho * d + (2 * following / half) * r
        rho = following
    return x + d
