"""The arithmetic of matting windows on whole maps; the twin of ``csrc/common/matting_window.h``."""

from __future__ import annotations

from torch import Tensor

Matrix = list[list[Tensor]]


def factor_ldl(matrix: Matrix) -> tuple[Matrix, list[Tensor]]:
    """Factor symmetric matrices, given by the maps of their entries, into L diag(d) L^T.

    Args:
        matrix: D x D entries, each a tensor of any one shape; only the lower triangle is read.

    Returns:
        The strictly lower entries of the unit triangular L (``lower[a][b]`` with b < a) and the D entries of d.
    """
    size = len(matrix)
    rest = [[matrix[a][b] for b in range(a + 1)] for a in range(size)]
    lower: Matrix = [[] for _ in range(size)]
    diagonal = []
    for b in range(size):
        diagonal.append(rest[b][b])
        for a in range(b + 1, size):
            lower[a].append(rest[a][b] / rest[b][b])
            for c in range(b + 1, a + 1):
                rest[a][c] = rest[a][c] - lower[a][b] * rest[c][b]
    return lower, diagonal


def forward_substitute(lower: Matrix, z: list[Tensor]) -> list[Tensor]:
    """u = L^-1 z."""
    u: list[Tensor] = []
    for a, value in enumerate(z):
        for b in range(a):
            value = value - lower[a][b] * u[b]
        u.append(value)
    return u


def backward_substitute(lower: Matrix, u: list[Tensor]) -> list[Tensor]:
    """z = L^-T u."""
    z = list(u)
    for a in reversed(range(len(u))):
        for b in range(a + 1, len(u)):
            z[a] = z[a] - lower[b][a] * z[b]
    return z
