"""The energies x^T L x of the basis functions of a coarse level, separately for each set of windows.

Basis functions live in blocks. A window lies inside a block, across the interface of two blocks, or on the corner of
four, and belongs to the first of these blocks. So each level has the local Neumann matrices of its blocks (from the
windows inside a block, with natural boundary conditions), and its own matrix is assembled from the same parts.

Energies are small differences of numbers of about 1. So they are stored in the precision of the image, but all products
of matrices are in float64: those in float32 may be rounded to 10 bits (TF32) or to 7 (bfloat16), at the wish of
``torch.set_float32_matmul_precision``, and the solver would diverge.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from closedform_wsss._common.tile_layout import gather_padded
from closedform_wsss.solver.grid import Grid

# Places among the 3 x 3 blocks around one.
ABOVE_LEFT, ABOVE, LEFT, RIGHT, BELOW, BELOW_RIGHT = 0, 1, 3, 5, 7, 8


@dataclass
class BlockEnergies:
    """The blocks of a level and the energies among their basis functions; unused places are zero.

    Attributes:
        grid: Of M blocks. Some have no basis functions, only windows that reach into other blocks.
        sizes: ``(M,)``, the number of basis functions, at most K.
        inside: ``(M, K, K)``, float64, of the windows inside a block and of marks.
        right, below: ``(M, 2, 2, K, K)``, of the windows across an interface, among the block and its neighbour.
        corner: ``(M, 4, 4, k, k)``, of the windows on the corner of four blocks, among the k candidate functions of the
            pixel cells there.
        traces: ``(M, 4, k, K)``, the coefficients of the basis functions in the cells at the four corners of a block.
    """

    grid: Grid
    sizes: Tensor
    inside: Tensor
    right: Tensor
    below: Tensor
    corner: Tensor
    traces: Tensor

    def exists(self) -> Tensor:
        """``(M, K)``: whether a place holds a basis function."""
        return torch.arange(self.inside.shape[1], device=self.sizes.device) < self.sizes[:, None]

    def numbers(self) -> Tensor:
        """``(M, K)``: the number of the basis function in the level, -1 for none."""
        exists = self.exists()
        return torch.where(exists, exists.flatten().cumsum(0).view_as(exists) - 1, -1)


def matrix_blocks(energies: BlockEnergies) -> tuple[Tensor, list[Tensor]]:
    """The matrix of a level: diagonal blocks ``(M, K, K)`` in float64, and links ``(M, K, K)`` from each block to its
    neighbours at right, below left, below, and below right."""
    e, around = energies, energies.grid.neighbours

    def at(values: Tensor, place: int) -> Tensor:
        return gather_padded(values, around[:, place])

    own = e.inside + e.right[:, 0, 0] + at(e.right[:, 1, 1], LEFT) + e.below[:, 0, 0] + at(e.below[:, 1, 1], ABOVE)
    right, below = e.right[:, 0, 1].clone(), e.below[:, 0, 1].clone()
    # Of each of the four blocks at a corner, the traces at the opposite one of its own corners.
    traces, corner = e.traces.double(), e.corner.double()
    corner_traces = [traces[:, 3], at(traces[:, 2], RIGHT), at(traces[:, 1], BELOW), at(traces[:, 0], BELOW_RIGHT)]

    def corner_coupling(first: int, second: int) -> Tensor:
        return corner_traces[first].mT @ (corner[:, first, second] @ corner_traces[second])

    own += corner_coupling(0, 0)
    own += at(corner_coupling(1, 1), LEFT)
    own += at(corner_coupling(2, 2), ABOVE)
    own += at(corner_coupling(3, 3), ABOVE_LEFT)
    right += corner_coupling(0, 1)
    right += at(corner_coupling(2, 3), ABOVE)
    below += corner_coupling(0, 2)
    below += at(corner_coupling(1, 3), LEFT)
    return own, [right, at(corner_coupling(1, 2), LEFT), below, corner_coupling(0, 3)]
