"""x_p = sum_i q(p -> i) s_i; the kernel is ``csrc/cpu/superpixel_unpool.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.superpixel_grid import NEIGHBOURS, cell_repeat, neighbour_of


def superpixel_unpool(s: Tensor, q: Tensor, cell_size: int) -> Tensor:
    """Values s ``(N, C, h, w)`` of superpixels to pixels, with weights q ``(N, 9, H, W)`` -> ``(N, C, H, W)``."""
    size = (q.shape[-2], q.shape[-1])
    x = q.new_zeros(s.shape[0], s.shape[1], *size)
    for k, (dy, dx) in enumerate(NEIGHBOURS):
        x = x + q[:, k : k + 1] * cell_repeat(neighbour_of(s, dy, dx), cell_size, size)
    return torch.clone(x, memory_format=torch.contiguous_format)
