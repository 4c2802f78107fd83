"""One step of ASAM; the kernel is ``csrc/cpu/asam_step.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.superpixel_grid import neighbour_of

REACH = 2


def asam_step(affinity: Tensor, s: Tensor, transposed: bool) -> Tensor:
    """A s or A^T s: affinity ``(N, 25, h, w)``, s ``(N, C, h, w)`` -> ``(N, C, h, w)``."""
    y = torch.zeros_like(s, memory_format=torch.contiguous_format)
    for k in range(25):
        dy, dx = k // 5 - REACH, k % 5 - REACH
        a = affinity[:, k : k + 1]
        y = y + (neighbour_of(a * s, -dy, -dx) if transposed else a * neighbour_of(s, dy, dx))
    return y
