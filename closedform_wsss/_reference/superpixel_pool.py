"""s_i = sum_p q(p -> i) x_p; the kernel is ``csrc/cpu/superpixel_pool.cpp``."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss._common.superpixel_grid import NEIGHBOURS, cell_sums, grid_size, neighbour_of


def superpixel_pool(x: Tensor, q: Tensor, cell_size: int) -> Tensor:
    """Sums of x ``(N, C, H, W)`` over superpixels, with weights q ``(N, 9, H, W)`` -> ``(N, C, h, w)``."""
    h, w = grid_size(q.shape[-2], q.shape[-1], cell_size)
    s = q.new_zeros(x.shape[0], x.shape[1], h, w)
    for k, (dy, dx) in enumerate(NEIGHBOURS):
        s = s + neighbour_of(cell_sums(q[:, k : k + 1] * x, cell_size), -dy, -dx)
    return s
