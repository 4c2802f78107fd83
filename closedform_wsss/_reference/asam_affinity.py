"""How much neighbouring superpixels share their pixels; the kernel is ``csrc/cpu/asam_affinity.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.superpixel_grid import NEIGHBOURS, cell_sums, exists, grid_size, neighbour_of


def asam_affinity(q: Tensor, cell_size: int) -> Tensor:
    """B[k, i] = sum_p q(p -> i) q(p -> j), j in the 5 x 5 around i: ``(N, 9, H, W)`` -> ``(N, 25, h, w)``."""
    h, w = grid_size(q.shape[2], q.shape[3], cell_size)
    planes = [q.new_zeros(q.shape[0], 1, h, w)] * 25
    for a, (ay, ax) in enumerate(NEIGHBOURS):
        for b, (by, bx) in enumerate(NEIGHBOURS):
            shared = neighbour_of(cell_sums(q[:, a : a + 1] * q[:, b : b + 1], cell_size), -ay, -ax)
            # What q says of superpixels outside the grid does not count.
            inside = exists(h, w, by - ay, bx - ax, q.device)
            k = (by - ay + 2) * 5 + bx - ax + 2
            planes[k] = planes[k] + torch.where(inside, shared, 0)
    return torch.cat(planes, 1)
