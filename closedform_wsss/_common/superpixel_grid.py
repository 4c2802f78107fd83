"""The grid of superpixels; the kernels' is ``csrc/common/superpixel_grid.h``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Rows and columns to the k-th of the 3 x 3 superpixels around a pixel's own cell.
NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))

# A superpixel with a smaller sum of weights counts as empty: dividing by so small a sum overflows in gradients.
EMPTY = 1e-12


def grid_size(height: int, width: int, cell_size: int) -> tuple[int, int]:
    """Rows and columns of cells; the image's border cuts the last ones."""
    return -(-height // cell_size), -(-width // cell_size)


def side_inside(cell_size: int, height: int, width: int) -> int:
    """The side of cells that end where the image does: the same grid, for kernels, whose integers have 32 bits."""
    return min(cell_size, max(height, width))


def cell_sums(x: Tensor, cell_size: int) -> Tensor:
    """Sums over the cells: ``(N, C, H, W)`` -> ``(N, C, h, w)``."""
    h, w = grid_size(x.shape[-2], x.shape[-1], cell_size)
    rows, columns = min(cell_size, x.shape[-2]), min(cell_size, x.shape[-1])  # of a cell; it may exceed the image
    x = F.pad(x, (0, w * columns - x.shape[-1], 0, h * rows - x.shape[-2]))
    return x.unflatten(3, (w, columns)).sum(4).unflatten(2, (h, rows)).sum(3)


def cell_repeat(s: Tensor, cell_size: int, size: tuple[int, int]) -> Tensor:
    """The value of its own cell for every pixel: ``(N, C, h, w)`` -> ``(N, C, H, W)``."""
    x = s.repeat_interleave(min(cell_size, size[0]), 2)[:, :, : size[0]]
    return x.repeat_interleave(min(cell_size, size[1]), 3)[..., : size[1]]


def neighbour_of(s: Tensor, dy: int, dx: int) -> Tensor:
    """For each cell of ``(N, C, h, w)`` the value of the one dy rows and dx columns away, 0 outside."""
    h, w = s.shape[-2:]
    reach = max(abs(dy), abs(dx))
    padded = F.pad(s, (reach, reach, reach, reach))
    return padded[..., reach + dy : reach + dy + h, reach + dx : reach + dx + w]


def exists(h: int, w: int, dy: int, dx: int, device: torch.device) -> Tensor:
    """``(h, w)`` bool: whether the cell dy rows and dx columns away is inside the grid."""
    row = torch.arange(h, device=device)[:, None] + dy
    column = torch.arange(w, device=device) + dx
    return (row >= 0) & (row < h) & (column >= 0) & (column < w)


def neighbours_inside(height: int, width: int, cell_size: int, device: torch.device) -> Tensor:
    """``(9, H, W)`` bool: whether neighbour ``3 * (dy + 1) + (dx + 1)`` of a pixel's own cell lies in the grid."""
    h, w = grid_size(height, width, cell_size)
    step = torch.arange(-1, 2, device=device)[:, None]
    row = torch.arange(height, device=device) // cell_size + step
    column = torch.arange(width, device=device) // cell_size + step
    inside = ((row >= 0) & (row < h))[:, None, :, None] & ((column >= 0) & (column < w))[None, :, None, :]
    return inside.reshape(9, height, width)
