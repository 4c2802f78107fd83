"""The stencils of the matting Laplacians; the kernel is ``csrc/cpu/matting_stencil.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.matting_window import WINDOW, dot, window_factors
from closedform_wsss._common.stencil_layout import TAPS, stencil_planes, stencil_shape


def matting_stencil(image: Tensor, eps: float, learning_based: bool) -> tuple[Tensor, Tensor]:
    """Stencil ``(N, H + 2, 12, P)`` of an image ``(N, D, H, W)``, H and W at least 3; built in float64.

    Of the learning-based Laplacian also the sums of its rows ``(N, H, W)``; of the closed form, whose rows sum to zero,
    nothing.
    """
    n, _, h, w = image.shape
    constant, u, v = window_factors(image.double(), eps, learning_based)
    planes = image.new_zeros(n, len(TAPS), h, w, dtype=torch.float64)
    row_sums = image.new_zeros(n, h, w, dtype=torch.float64)
    total = [torch.stack([u[i][a] for i in range(WINDOW)]).sum(0) for a in range(len(u[0]))]
    for p in range(WINDOW):
        py, px = divmod(p, 3)
        row_sums[:, py : py + h - 2, px : px + w - 2] += 1 - dot(v[p], total)
        for k, (dy, dx) in enumerate(TAPS):
            qy, qx = py + dy, px + dx
            if qy > 2 or not 0 <= qx <= 2:
                continue
            planes[:, k, py : py + h - 2, px : px + w - 2] += -constant - dot(v[p], u[3 * qy + qx])
    stencil = torch.zeros(stencil_shape(n, h, w), dtype=image.dtype, device=image.device)
    stencil_planes(stencil, w).copy_(planes)
    return stencil, row_sums.to(image.dtype) if learning_based else image.new_empty(0)
