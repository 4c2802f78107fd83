"""The matrix of a coarse level in blocks (csrc/common/block_layout.h)."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss._common.block_layout import LINK_PLACES, SPARE
from closedform_wsss.solver.multigrid.block_energies import BlockEnergies


class BlockMatrix:
    """A symmetric positive definite A, for vectors ``(F, C)``.

    Attributes:
        starts: ``(M + 1)`` int32, the first basis function of each block.
    """

    def __init__(self, energies: BlockEnergies, own: Tensor, links: list[Tensor]) -> None:
        """own and links: of :func:`matrix_blocks`. They are stored in the precision of the energies."""
        grid, sizes, dtype = energies.grid, energies.sizes, energies.right.dtype
        self.neighbours = grid.neighbours
        self.starts = torch.zeros(len(sizes) + 1, dtype=torch.int32, device=own.device)
        self.starts[1:] = sizes.cumsum(0)
        exists = energies.exists()
        inverse = torch.linalg.inv(own + torch.diag_embed((~exists).to(own)))
        parts, offsets, begin = [], [], 0
        for part, other in ((inverse, None), (own, None), *zip(links, LINK_PLACES, strict=True)):
            columns = exists
            if other is not None:
                place = grid.neighbours[:, other].long()
                columns = (place >= 0)[:, None] & exists[place]
            count = sizes * columns.sum(1)
            offsets.append(begin + count.cumsum(0) - count)
            begin += int(count.sum())
            parts.append(part[exists[:, :, None] & columns[:, None]].to(dtype))
        self.matrix = torch.cat([*parts, own.new_zeros(SPARE, dtype=dtype)])
        self.offsets = torch.stack(offsets, 1)
        color = 2 * (grid.row % 2) + grid.column % 2
        self.order = color.argsort(stable=True).int()
        self.ends = torch.bincount(color, minlength=4).cumsum(0).int().cpu()

    def product(self, x: Tensor) -> Tensor:
        """A x."""
        y = torch.empty_like(x)
        _ops.block_product(self.matrix, self.offsets, self.starts, self.neighbours, x, y)
        return y

    def relax(self, r: Tensor, z: Tensor, *, backward: bool) -> None:
        """A sweep of block Gauss-Seidel over A z = r, in place."""
        layout = (self.matrix, self.offsets, self.starts, self.neighbours, self.order, self.ends)
        _ops.block_relax(*layout, r, z, backward)
