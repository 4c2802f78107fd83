"""The operator L + D on maps in tiles."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss.solver.tiles import Tiles


class TileOperator:
    """L + D of 3 x 3 windows on maps in tiles; values outside of the tiles are zero."""

    mixed = True

    def __init__(self, tiles: Tiles, stencil: Tensor, row_sums: Tensor | None, data_weight: Tensor) -> None:
        """stencil, row_sums: of a ``StencilOperator``; data_weight: D ``(N, H, W)``."""
        diagonal = data_weight if row_sums is None else data_weight + row_sums
        self.tiles, self.stencil = tiles, stencil
        self.diagonal = tiles.gather(diagonal[:, None])[:, 0].contiguous()
        self.exact_diagonal = self.diagonal.double()

    def product(self, x: Tensor, out: Tensor) -> Tensor:
        """out = (L + D) x, in float64 if x is, whatever the precision of the stencil."""
        t = self.tiles
        diagonal = self.diagonal if x.dtype == self.diagonal.dtype else self.exact_diagonal
        _ops.tile_product(self.stencil, t.tiles, t.neighbours, diagonal, x, out, *t.size[1:])
        return out

    def relax(self, x: Tensor, b: Tensor, weight: Tensor, out: Tensor) -> Tensor:
        """out = x + weight (b - (L + D) x), weight ``(M, 16, 16)``."""
        t = self.tiles
        _ops.tile_relax(self.stencil, t.tiles, t.neighbours, self.diagonal, x, b, weight, out, *t.size[1:])
        return out
