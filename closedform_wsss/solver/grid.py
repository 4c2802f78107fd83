"""Some cells of a grid over each image: the tiles of a solve, and the blocks of its coarse levels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class Grid:
    """A list of cells and their positions.

    Attributes:
        shape: Images, rows, columns.
        image, row, column: ``(M,)`` each; the list is sorted by them in this order.
        neighbours: ``(M, 9)`` int32, places in the list of the 3 x 3 cells around, row by row, -1 for none.
    """

    def __init__(self, chosen: Tensor) -> None:
        """``chosen``: ``(N, rows, columns)`` bool."""
        self.chosen, self.shape = chosen, tuple(chosen.shape)
        n, row, column = chosen.nonzero(as_tuple=True)
        self.count = len(n)
        self.image, self.row, self.column = n, row, column
        place = torch.full_like(chosen, -1, dtype=torch.int32)
        place[n, row, column] = torch.arange(self.count, dtype=torch.int32, device=chosen.device)
        self._place = F.pad(place, (1, 1, 1, 1), value=-1)
        around = [self.at(n, row + dy, column + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        self.neighbours = torch.stack(around, 1).contiguous()

    def at(self, image: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Places in the list, int32; -1 for other cells, also one row or column beyond the border."""
        return self._place[image, row + 1, column + 1]

    def with_upper_left_neighbours(self) -> Grid:
        """These cells with those above, left, and above left: every 2 x 2 cells with one of these have their first."""
        chosen = F.pad(self.chosen[:, None].float(), (0, 1, 0, 1))
        return Grid(F.max_pool2d(chosen, 2, 1)[:, 0] > 0)

    def coarser(self) -> Grid:
        """Cells of 2 x 2 of these. In an odd number of rows or columns the first stays single. The last may be a tile
        of one or two pixels, too narrow for a window, so that its own energy would be zero."""
        _, rows, columns = self.shape
        chosen = F.pad(self.chosen[:, None].float(), (columns % 2, 0, rows % 2, 0))
        return Grid(F.max_pool2d(chosen, 2)[:, 0] > 0)

    def squares(self, finer: Grid) -> Tensor:
        """Places in ``finer`` of the 2 x 2 cells in each of these, ``(M, 4)``, row by row, -1 for none."""
        row, column = 2 * self.row - finer.shape[1] % 2, 2 * self.column - finer.shape[2] % 2
        return torch.stack([finer.at(self.image, row + dy, column + dx) for dy in (0, 1) for dx in (0, 1)], 1)
