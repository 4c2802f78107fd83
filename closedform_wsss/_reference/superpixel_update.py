"""One iteration of soft k-means; the kernel is ``csrc/cpu/superpixel_update.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.superpixel_grid import EMPTY
from closedform_wsss._reference.superpixel_assign import superpixel_assign
from closedform_wsss._reference.superpixel_pool import superpixel_pool


def superpixel_update(features: Tensor, centers: Tensor, cell_size: int) -> Tensor:
    """The means of features ``(N, F, H, W)`` over their soft assignment to ``centers`` ``(N, F, h, w)``."""
    q = superpixel_assign(features, centers, cell_size)
    weight = superpixel_pool(torch.ones_like(features[:, :1]), q, cell_size)
    return torch.where(weight < EMPTY, centers, superpixel_pool(features, q, cell_size) / weight)
