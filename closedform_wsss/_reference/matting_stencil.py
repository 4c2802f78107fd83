"""The stencils of the matting Laplacians; the twin of ``csrc/cpu/matting_stencil.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._reference.matting_window import (
    closed_form_penalty,
    factor_ldl,
    forward_substitute,
    learning_based_penalty,
    residual_weights,
)
from closedform_wsss._reference.stencil_layout import TAPS, stencil_planes, stencil_shape

WINDOW = 9


def _dot(a: list[Tensor], b: list[Tensor]) -> Tensor:
    return torch.stack([v * w for v, w in zip(a, b, strict=True)]).sum(0)


def matting_stencil(image: Tensor, eps: float, learning_based: bool) -> tuple[Tensor, Tensor]:
    """Stencil ``(N, H + 2, 12, P)`` of an image ``(N, D, H, W)``, H and W at least 3; built in float64.

    Of the learning-based Laplacian also the sums of its rows ``(N, H, W)``; of the closed form, whose rows sum to zero,
    nothing.
    """
    n, d, h, w = image.shape
    colours = image.double()
    # x[i][a]: column a of pixel i of every window.
    x = [list(colours[:, :, j : j + h - 2, i : i + w - 2].unbind(1)) for j in range(3) for i in range(3)]
    mean = [torch.stack([x[i][a] for i in range(WINDOW)]).mean(0) for a in range(d)]
    x = [[v - mu for v, mu in zip(x[i], mean, strict=True)] for i in range(WINDOW)]
    if learning_based:
        x = [[torch.ones_like(mean[0]), *x[i]] for i in range(WINDOW)]
    gram = learning_based_penalty(mean, eps) if learning_based else closed_form_penalty(mean, eps)
    columns = len(gram)
    for a in range(columns):
        for b in range(a + 1):
            gram[a][b] = gram[a][b] + _dot([x[i][a] for i in range(WINDOW)], [x[i][b] for i in range(WINDOW)])
    lower, diagonal = factor_ldl(gram)
    u = [forward_substitute(lower, x[i]) for i in range(WINDOW)]
    if learning_based:
        twice = residual_weights(u, diagonal)
        v = [[_dot(twice[a], u[i]) for a in range(columns)] for i in range(WINDOW)]
    else:
        v = [[value / pivot for value, pivot in zip(u[i], diagonal, strict=True)] for i in range(WINDOW)]

    planes = colours.new_zeros(n, len(TAPS), h, w)
    row_sums = colours.new_zeros(n, h, w)
    constant = 0.0 if learning_based else -1 / WINDOW
    total = [torch.stack([u[i][a] for i in range(WINDOW)]).sum(0) for a in range(columns)]
    for p in range(WINDOW):
        py, px = divmod(p, 3)
        row_sums[:, py : py + h - 2, px : px + w - 2] += 1 - _dot(v[p], total)
        for k, (dy, dx) in enumerate(TAPS):
            qy, qx = py + dy, px + dx
            if qy > 2 or not 0 <= qx <= 2:
                continue
            planes[:, k, py : py + h - 2, px : px + w - 2] += constant - _dot(v[p], u[3 * qy + qx])
    stencil = torch.zeros(stencil_shape(n, h, w), dtype=image.dtype, device=image.device)
    stencil_planes(stencil, w).copy_(planes)
    return stencil, row_sums.to(image.dtype) if learning_based else image.new_empty(0)
