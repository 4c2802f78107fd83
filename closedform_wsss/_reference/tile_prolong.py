"""y = x + P z on tiles: the reference of ``csrc/cpu/tile_prolong.cpp``."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss._common.tile_layout import tile_of_functions


def tile_prolong(basis: Tensor, starts: Tensor, z: Tensor, x: Tensor, y: Tensor) -> None:
    """Write x ``(M, C, 16, 16)`` + P z, z ``(F, C)``, basis ``(F, 16, 16)``, into y; y may be x."""
    y.copy_(x)
    y.index_add_(0, tile_of_functions(starts, len(basis)), basis[:, None] * z[:, :, None, None])
