"""The stencil of the matting Laplacian; the twin of ``csrc/cpu/matting_stencil.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._reference.matting_window import factor_ldl, forward_substitute
from closedform_wsss._reference.stencil_layout import TAPS, stencil_planes, stencil_shape

WINDOW = 9


def _dot(a: list[Tensor], b: list[Tensor]) -> Tensor:
    return torch.stack([v * w for v, w in zip(a, b, strict=True)]).sum(0)


def matting_stencil(image: Tensor, eps: float) -> Tensor:
    """Stencil ``(N, H + 2, 12, P)`` of an image ``(N, D, H, W)``, H and W at least 3; built in float64."""
    n, d, h, w = image.shape
    colours = image.double()
    # z[i][a]: channel a of pixel i of every window, centred.
    z = [list(colours[:, :, y : y + h - 2, x : x + w - 2].unbind(1)) for y in range(3) for x in range(3)]
    for a in range(d):
        mean = torch.stack([z[i][a] for i in range(WINDOW)]).mean(0)
        for i in range(WINDOW):
            z[i][a] = z[i][a] - mean
    gram = [
        [_dot([z[i][a] for i in range(WINDOW)], [z[i][b] for i in range(WINDOW)]) for b in range(d)] for a in range(d)
    ]
    for a in range(d):
        gram[a][a] = gram[a][a] + eps
    lower, diagonal = factor_ldl(gram)
    u = [forward_substitute(lower, z[i]) for i in range(WINDOW)]

    planes = colours.new_zeros(n, len(TAPS), h, w)
    for p in range(WINDOW):
        for k, (dy, dx) in enumerate(TAPS):
            py, px = divmod(p, 3)
            qy, qx = py + dy, px + dx
            if qy > 2 or not 0 <= qx <= 2:
                continue
            q = 3 * qy + qx
            block = -1 / WINDOW - _dot([v / pivot for v, pivot in zip(u[p], diagonal, strict=True)], u[q])
            planes[:, k, py : py + h - 2, px : px + w - 2] += block
    stencil = torch.zeros(stencil_shape(n, h, w), dtype=image.dtype, device=image.device)
    stencil_planes(stencil, w).copy_(planes)
    return stencil
