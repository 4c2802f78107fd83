"""What the functions of a coarse level cost: x^T L x, kept by the windows that it comes from.

A level's functions live in blocks. A window lies inside a block, across the seam of two, or at the corner of four, and
belongs to the first of them: so a block's own energy, nothing said at its border, is known on every level, and the
level's matrix is put together from the same parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from closedform_wsss.solver.grid import Grid

# Places among the 3 x 3 blocks around one.
ABOVE_LEFT, ABOVE, LEFT, RIGHT, BELOW, BELOW_RIGHT = 0, 1, 3, 5, 7, 8


@dataclass
class BlockEnergies:
    """A level's blocks, and energies among their functions, with zeros where there is no function.

    Attributes:
        grid: Of M blocks. Some have no functions, but windows that others have a part in.
        sizes: ``(M,)``, the number of functions, K at most.
        inside: ``(M, K, K)``, float64, of a block's own windows and of marks.
        right, below: ``(M, 2, 2, K, K)``, of the windows at a seam, among the functions of the block and its neighbour.
        corner: ``(M, 4, 4, k, k)``, of those where four blocks meet, among the k functions of the pixels' cells there.
        traces: ``(M, 4, k, K)``, what the block's functions are in its cells at its four corners.
    """

    grid: Grid
    sizes: Tensor
    inside: Tensor
    right: Tensor
    below: Tensor
    corner: Tensor
    traces: Tensor

    def exists(self) -> Tensor:
        """``(M, K)``: whether a place holds a function."""
        return torch.arange(self.inside.shape[1], device=self.sizes.device) < self.sizes[:, None]

    def numbers(self) -> Tensor:
        """``(M, K)``: which of the level's functions it holds, -1 for none."""
        exists = self.exists()
        return torch.where(exists, exists.flatten().cumsum(0).view_as(exists) - 1, -1)


def gather_padded(values: Tensor, places: Tensor, nothing: float = 0) -> Tensor:
    """The entries at ``places``, ``nothing`` at -1."""
    return torch.cat([values, torch.full_like(values[:1], nothing)])[places]


def matrix_blocks(energies: BlockEnergies) -> tuple[Tensor, list[Tensor]]:
    """The matrix of a level: of each block with itself, ``(M, K, K)`` in float64, and its links, ``(M, K, K)``
    from the block's functions to those of the neighbours at right, below left, below, and below right."""
    e, around = energies, energies.grid.neighbours

    def of(values: Tensor, place: int) -> Tensor:
        return gather_padded(values, around[:, place])

    own = e.inside + e.right[:, 0, 0] + of(e.right[:, 1, 1], LEFT) + e.below[:, 0, 0] + of(e.below[:, 1, 1], ABOVE)
    right, below = e.right[:, 0, 1].clone(), e.below[:, 0, 1].clone()
    # Each of the four blocks at a corner shows it the opposite one of its own corners.
    shown = [e.traces[:, 3], of(e.traces[:, 2], RIGHT), of(e.traces[:, 1], BELOW), of(e.traces[:, 0], BELOW_RIGHT)]

    def met(first: int, second: int) -> Tensor:
        return shown[first].mT @ (e.corner[:, first, second] @ shown[second])

    own += met(0, 0)
    own += of(met(1, 1), LEFT)
    own += of(met(2, 2), ABOVE)
    own += of(met(3, 3), ABOVE_LEFT)
    right += met(0, 1)
    right += of(met(2, 3), ABOVE)
    below += met(0, 2)
    below += of(met(1, 3), LEFT)
    return own, [right, of(met(1, 2), LEFT), below, met(0, 3)]
