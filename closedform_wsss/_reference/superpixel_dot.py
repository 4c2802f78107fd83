"""d_pk = sum_c x_pc s_ic; the kernel is ``csrc/cpu/superpixel_dot.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.superpixel_grid import NEIGHBOURS, cell_repeat, neighbour_of


def superpixel_dot(x: Tensor, s: Tensor, cell_size: int) -> Tensor:
    """Inner products of x ``(N, C, H, W)`` with the nine superpixels s ``(N, C, h, w)`` -> ``(N, 9, H, W)``."""
    size = (x.shape[-2], x.shape[-1])
    planes = [(x * cell_repeat(neighbour_of(s, dy, dx), cell_size, size)).sum(1) for dy, dx in NEIGHBOURS]
    return torch.stack(planes, 1)
