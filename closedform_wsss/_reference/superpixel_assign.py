"""Soft assignment of pixels to centres; the kernel is ``csrc/cpu/superpixel_assign.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.superpixel_grid import NEIGHBOURS, cell_repeat, exists, neighbour_of


def superpixel_assign(features: Tensor, centers: Tensor, cell_size: int) -> Tensor:
    """softmax of -|f - c|^2 over the nine: ``(N, F, H, W)``, ``(N, F, h, w)`` -> q ``(N, 9, H, W)``."""
    size = (features.shape[-2], features.shape[-1])
    logits = []
    for dy, dx in NEIGHBOURS:
        center = cell_repeat(neighbour_of(centers, dy, dx), cell_size, size)
        inside = exists(centers.shape[-2], centers.shape[-1], dy, dx, centers.device)
        inside = cell_repeat(inside[None, None], cell_size, size)
        distance = ((features - center) ** 2).sum(1, keepdim=True)
        logits.append(torch.where(inside, -distance, -torch.inf))
    return torch.cat(logits, 1).softmax(1).contiguous()
