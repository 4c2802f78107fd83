"""y = L x + data_weight x; the kernel is ``csrc/cpu/matting_product.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.stencil_layout import TAPS, stencil_planes


def matting_product(stencil: Tensor, x: Tensor, data_weight: Tensor | None) -> Tensor:
    """Product with x ``(N, C, H, W)``; data_weight ``(N, H, W)``."""
    h, w = x.shape[-2:]
    planes = stencil_planes(stencil, w)
    x = x.to(stencil.dtype)
    y = torch.zeros_like(x, memory_format=torch.contiguous_format)
    for k, (dy, dx) in enumerate(TAPS):
        # The pairs (i, j) whose both pixels are inside the image.
        i = (..., slice(0, max(h - dy, 0)), slice(max(-dx, 0), max(w - max(dx, 0), 0)))
        j = (..., slice(dy, None), slice(max(dx, 0), max(w + min(dx, 0), 0)))
        flow = planes[:, k : k + 1][i] * (x[j] - x[i])
        y[i] += flow
        y[j] -= flow
    return y if data_weight is None else y + data_weight[:, None] * x
