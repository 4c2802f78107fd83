"""z = P^T x on tiles: the reference of ``csrc/cpu/tile_restrict.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.tile_layout import tile_of_functions


def tile_restrict(basis: Tensor, starts: Tensor, x: Tensor, z: Tensor) -> None:
    """Write the inner products of x ``(M, C, 16, 16)`` with basis ``(F, 16, 16)`` into z ``(F, C)``."""
    values = x.flatten(2)[tile_of_functions(starts, len(basis))]
    z.copy_(torch.bmm(values, basis.flatten(1).unsqueeze(2)).squeeze(2))
