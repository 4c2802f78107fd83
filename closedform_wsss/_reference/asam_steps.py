"""Steps of ASAM; the kernel is ``csrc/cpu/asam_steps.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.superpixel_grid import neighbour_of

REACH = 2


def asam_steps(
    affinity: Tensor, s: Tensor, num_steps: int, decay: float, restart: float, transposed: bool, keep: bool
) -> tuple[Tensor, Tensor]:
    """y_0 = s, y_t = decay A y_(t-1) + restart s, or with A^T.

    affinity ``(N, 25, h, w)``, s ``(N, C, h, w)`` -> the last y ``(N, C, h, w)`` and, with ``keep``, those before it
    ``(num_steps - 1, N, C, h, w)``.
    """
    y, iterates = s.contiguous(), []
    for _ in range(num_steps):
        y = decay * _step(affinity, y, transposed) + restart * s
        iterates.append(y)
    return y.clone(), torch.stack(iterates[:-1]) if keep and num_steps > 1 else s.new_empty(0, *s.shape)


def _step(affinity: Tensor, s: Tensor, transposed: bool) -> Tensor:
    """A s or A^T s."""
    y = torch.zeros_like(s, memory_format=torch.contiguous_format)
    for k in range(25):
        dy, dx = k // 5 - REACH, k % 5 - REACH
        a = affinity[:, k : k + 1]
        y = y + (neighbour_of(a * s, -dy, -dx) if transposed else a * neighbour_of(s, dy, dx))
    return y
