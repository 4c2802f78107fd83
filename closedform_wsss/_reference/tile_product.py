"""y = (L + diagonal) x on tiles: the reference of ``csrc/cpu/tile_product.cpp``."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss._common.stencil_layout import TAPS
from closedform_wsss._common.tile_layout import REACH, SIDE, coefficients, surrounded


def tile_product(
    stencil: Tensor, tiles: Tensor, neighbours: Tensor, diagonal: Tensor | None, x: Tensor, y: Tensor, h: int, w: int
) -> None:
    """Write the product with x ``(M, C, 16, 16)`` into y; diagonal ``(M, 16, 16)``."""
    y.copy_(product(stencil, tiles, neighbours, diagonal, x))


def product(stencil: Tensor, tiles: Tensor, neighbours: Tensor, diagonal: Tensor | None, x: Tensor) -> Tensor:
    """(L + diagonal) x."""
    taps = coefficients(stencil, tiles)
    wide = surrounded(x, neighbours)

    def shifted(values: Tensor, dy: int, dx: int) -> Tensor:
        top, left = REACH + dy, REACH + dx
        return values[..., top : top + SIDE, left : left + SIDE]

    y = x.new_zeros(x.shape) if diagonal is None else diagonal[:, None] * x
    for k, (dy, dx) in enumerate(TAPS):
        y += shifted(taps[:, k : k + 1], 0, 0) * (shifted(wide, dy, dx) - x)
        y += shifted(taps[:, k : k + 1], -dy, -dx) * (shifted(wide, -dy, -dx) - x)
    return y
