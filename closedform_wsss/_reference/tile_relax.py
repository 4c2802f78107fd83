"""y = x + weight (b - (L + diagonal) x) on tiles: the reference of ``csrc/cpu/tile_relax.cpp``."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss._reference.tile_product import product


def tile_relax(
    stencil: Tensor,
    tiles: Tensor,
    neighbours: Tensor,
    diagonal: Tensor | None,
    x: Tensor,
    b: Tensor,
    weight: Tensor,
    y: Tensor,
    h: int,
    w: int,
) -> None:
    """Write the relaxed x ``(M, C, 16, 16)`` into y; b like x, diagonal and weight ``(M, 16, 16)``."""
    y.copy_(x + weight[:, None] * (b - product(stencil, tiles, neighbours, diagonal, x)))
