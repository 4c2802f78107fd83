"""The arithmetic of matting windows on whole maps; formulas in ``csrc/common/matting_window.h``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Matrix = list[list[Tensor]]
WINDOW = 9


def dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """The sum of the products of maps."""
    return torch.stack([v * w for v, w in zip(a, b, strict=True)]).sum(0)


def window_factors(image: Tensor, eps: float, learning_based: bool) -> tuple[float, Matrix, Matrix]:
    """The blocks of all windows of an image ``(N, D, H, W)``: entry (p, q) is (p = q) - constant - v_p . u_q.

    Returns:
        The constant, u ``[pixel][column]`` and v, maps ``(N, H - 2, W - 2)``.
    """
    d, h, w = image.shape[1:]
    # x[i][a]: column a of pixel i of every window.
    x = [list(image[:, :, j : j + h - 2, i : i + w - 2].unbind(1)) for j in range(3) for i in range(3)]
    mean = [torch.stack([x[i][a] for i in range(WINDOW)]).mean(0) for a in range(d)]
    x = [[v - mu for v, mu in zip(x[i], mean, strict=True)] for i in range(WINDOW)]
    if learning_based:
        x = [[torch.ones_like(mean[0]), *x[i]] for i in range(WINDOW)]
    gram = learning_based_penalty(mean, eps) if learning_based else closed_form_penalty(mean, eps)
    columns = len(gram)
    for a in range(columns):
        for b in range(a + 1):
            gram[a][b] = gram[a][b] + dot([x[i][a] for i in range(WINDOW)], [x[i][b] for i in range(WINDOW)])
    lower, diagonal = factor_ldl(gram)
    u = [forward_substitute(lower, x[i]) for i in range(WINDOW)]
    if learning_based:
        twice = residual_weights(u, diagonal)
        v = [[dot(twice[a], u[i]) for a in range(columns)] for i in range(WINDOW)]
    else:
        v = [[value / pivot for value, pivot in zip(u[i], diagonal, strict=True)] for i in range(WINDOW)]
    return 0.0 if learning_based else 1 / WINDOW, u, v


def window_block(image: Tensor, eps: float, learning_based: bool) -> Callable[[int, int], Tensor]:
    """The entries (p, q) of the blocks of all windows of an image ``(N, D, H, W)``, maps ``(N, H - 2, W - 2)``."""
    constant, u, v = window_factors(image, eps, learning_based)
    return lambda p, q: (1.0 if p == q else 0.0) - constant - dot(v[p], u[q])


def closed_form_penalty(mean: list[Tensor], eps: float) -> Matrix:
    """Penalty of the slopes: lower triangle (D, D); ``mean``: the colours' means."""
    zero = torch.zeros_like(mean[0])
    return [[zero + eps if a == b else zero for b in range(a + 1)] for a in range(len(mean))]


def learning_based_penalty(mean: list[Tensor], eps: float) -> Matrix:
    """Penalty of the constant and the slopes: lower triangle (D + 1, D + 1)."""
    rows: Matrix = [[torch.full_like(mean[0], eps)]]
    for a, mu in enumerate(mean):
        rows.append([-eps * mu, *(eps * (mu * mean[b] + (1.0 if a == b else 0.0)) for b in range(a + 1))])
    return rows


def residual_weights(u: Matrix, diagonal: list[Tensor]) -> Matrix:
    """2 diag(d)^-1 - diag(d)^-1 U^T U diag(d)^-1 of u ``[pixel][column]``."""
    columns = range(len(diagonal))
    return [
        [
            (2 / diagonal[a] if a == b else 0)
            - torch.stack([row[a] * row[b] for row in u]).sum(0) / (diagonal[a] * diagonal[b])
            for b in columns
        ]
        for a in columns
    ]


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
