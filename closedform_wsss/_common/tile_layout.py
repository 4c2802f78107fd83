"""Maps in tiles, as ``csrc/common/tile_layout.h`` explains them."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.stencil_layout import LEFT_PAD, TAPS

SIDE = 16
CELL = 4  # side of the cells of the coarse basis functions
REACH = 2  # of the stencil
# For the tiles above, at and below (or left, at and right): the lines in a surrounded tile, and the tile's own lines.
_SURROUNDINGS = [
    (slice(0, REACH), slice(SIDE - REACH, None)),
    (slice(REACH, REACH + SIDE), slice(None)),
    (slice(REACH + SIDE, None), slice(0, REACH)),
]


def gather_padded(values: Tensor, places: Tensor, padding: float = 0) -> Tensor:
    """The entries at ``places``, ``padding`` at -1."""
    return torch.cat([values, values.new_full((1, *values.shape[1:]), padding)])[places]


def surrounded(x: Tensor, neighbours: Tensor) -> Tensor:
    """Tiles ``(M, C, 16, 16)`` with the two rows and columns around them: ``(M, C, 20, 20)``."""
    side = SIDE + 2 * REACH
    wide = x.new_zeros(*x.shape[:2], side, side)
    for place in range(9):
        (rows, own_rows), (columns, own_columns) = (_SURROUNDINGS[i] for i in divmod(place, 3))
        wide[:, :, rows, columns] = gather_padded(x[:, :, own_rows, own_columns], neighbours[:, place])
    return wide


def coefficients(stencil: Tensor, tiles: Tensor) -> Tensor:
    """The stencil ``(M, 12, 18, 20)`` of tiles and of the two rows above and two columns on either side of them."""
    image, row, column = tiles.long().unbind(1)
    # Row y of the image is row y + 2 of the stencil. Row 0 is zero; it stands for the rows below the image.
    rows = SIDE * row[:, None] + torch.arange(SIDE + REACH, device=stencil.device)
    rows = torch.where(rows < stencil.shape[1], rows, 0)
    columns = SIDE * column[:, None] + LEFT_PAD - REACH + torch.arange(SIDE + 2 * REACH, device=stencil.device)
    taps = torch.arange(len(TAPS), device=stencil.device)
    return stencil[image[:, None, None, None], rows[:, None, :, None], taps[:, None, None], columns[:, None, None]]


def tile_of_functions(starts: Tensor, functions: int) -> Tensor:
    """The tile of each basis function."""
    tiles = torch.arange(len(starts) - 1, device=starts.device)
    return tiles.repeat_interleave(starts.long().diff(), output_size=functions)
