"""The tiles of 16 x 16 pixels on which a solve works (csrc/common/tile_layout.h).

Inside a region of one mark, alpha = s solves (L + D) alpha = D s. The effect of an unknown pixel on marked ones
shrinks with every step of the stencil by L / (L + D) < 9 / (9 + lambda). So tiles deep inside a marked region are left
out.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._common.tile_layout import REACH, SIDE
from closedform_wsss.solver.grid import Grid

SQUARE = 8  # side of the squares in which marked regions are measured
STEPS_ACROSS = SQUARE // REACH  # of the stencil
MAX_WINDOWS = 9  # that contain a pixel: a bound of L


def active_tiles(marks: Tensor, mark_weight: float, error: float) -> Tensor:
    """The tiles that must be solved, ``(N, rows, columns)`` bool.

    Args:
        marks: ``(N, H, W)``, the class of a marked pixel, negative where there is none.
        mark_weight: The smallest of all marked pixels.
        error: Of alpha, allowed by leaving tiles out.
    """
    n, h, w = marks.shape
    rows, columns = -(-h // SIDE), -(-w // SIDE)
    rings = math.ceil(math.log(error) / (STEPS_ACROSS * math.log(MAX_WINDOWS / (MAX_WINDOWS + mark_weight))))
    if rings > 2 * SIDE // SQUARE:  # the marks are too weak to leave tiles out
        return torch.ones(n, rows, columns, dtype=torch.bool, device=marks.device)
    # There is nothing beyond the border, so the marks on it are repeated there.
    padded = F.pad(marks[:, None].float(), (0, columns * SIDE - w, 0, rows * SIDE - h), mode="replicate")
    squares = padded.unflatten(3, (-1, SQUARE)).unflatten(2, (-1, SQUARE))
    low, high = squares.amin((3, 5)), squares.amax((3, 5))
    side = 2 * rings + 1
    high = F.max_pool2d(high, side, 1, rings)
    low = -F.max_pool2d(-low, side, 1, rings)
    open_squares = ((low != high) | (low < 0)).float()
    return F.max_pool2d(open_squares, SIDE // SQUARE)[:, 0] > 0


class Tiles(Grid):
    """A list of tiles, and a :class:`VectorSpace` of maps ``(M, C, 16, 16)`` on them.

    Attributes:
        size: Images, height, width.
        tiles: ``(M, 3)`` int32, image, row and column.
        covers_all: Whether the list holds all tiles of all images.
    """

    def __init__(self, chosen: Tensor, height: int, width: int) -> None:
        """``chosen``: ``(N, rows, columns)`` bool."""
        super().__init__(chosen)
        self.size = (chosen.shape[0], height, width)
        counts = chosen.sum((1, 2))
        number = torch.arange(max([1, *counts.tolist()]), device=chosen.device)
        first = (counts.cumsum(0) - counts)[:, None]
        self._places = torch.where(number < counts[:, None], first + number, self.count).flatten()
        self.covers_all = self.count == chosen.numel()
        self.tiles = torch.stack([self.image, self.row, self.column], 1).int().contiguous()

    def gather(self, maps: Tensor) -> Tensor:
        """``(N, C, H, W)`` -> ``(M, C, 16, 16)``, zero outside of the image."""
        return self._cut(self._pad(maps))[self.image, self.row, self.column]

    def scatter(self, values: Tensor, maps: Tensor) -> Tensor:
        """``maps`` ``(N, C, H, W)`` with the values of the tiles in their places."""
        padded = self._pad(maps)
        padded = padded.clone() if padded is maps else padded
        self._cut(padded)[self.image, self.row, self.column] = values
        return padded[..., : self.size[1], : self.size[2]].contiguous()

    def _pad(self, maps: Tensor) -> Tensor:
        down, across = self.shape[1] * SIDE - self.size[1], self.shape[2] * SIDE - self.size[2]
        return F.pad(maps, (0, across, 0, down)) if down or across else maps

    def _cut(self, padded: Tensor) -> Tensor:
        """A view ``(N, rows, columns, C, 16, 16)``."""
        return padded.unflatten(3, (-1, SIDE)).unflatten(2, (-1, SIDE)).permute(0, 2, 4, 1, 3, 5)

    def sum_images(self, values: Tensor) -> Tensor:
        """Sums over the tiles of each image: ``(M, C)`` -> ``(N, C)``."""
        return self._by_image(values).sum(1)

    def max_images(self, values: Tensor) -> Tensor:
        """The same with maxima of values >= 0."""
        return self._by_image(values).amax(1)

    def _by_image(self, values: Tensor) -> Tensor:
        """``(M, C)`` -> ``(N, tiles of an image, C)``, with zeros where an image has fewer tiles than another.

        Reductions of it have a fixed order on a GPU. ``index_add_`` has none there, and a solve amplifies differences
        of the last bit.
        """
        if self.shape[0] == 1 and self.count:
            return values[None]
        padded = torch.cat([values, values.new_zeros(1, values.shape[1])])
        return padded.index_select(0, self._places).unflatten(0, (self.shape[0], -1))

    def broadcast(self, values: Tensor) -> Tensor:
        """``(N, C)`` -> a factor of maps in tiles, ``(M or 1, C, 1, 1)``."""
        return (values if self.shape[0] == 1 else values[self.image])[:, :, None, None]
