"""Soft superpixels to test with."""

from __future__ import annotations

import torch

from closedform_wsss import Superpixels
from closedform_wsss._common.superpixel_grid import neighbours_inside

# (height, width, cell size): cells cut at the border, one cell, 1-pixel-wide images, cells of one pixel and larger than
# a strip.
GRIDS = [
    (1, 1, 16),
    (1, 23, 4),
    (23, 1, 4),
    (13, 29, 5),
    (33, 17, 16),
    (7, 6, 1),
    (20, 21, 40),
    (9, 40, 8),
]


def association(n: int, height: int, width: int, cell_size: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Random weights (n, 9, H, W) that add up to 1 over the superpixels inside the grid."""
    q = torch.rand(n, 9, height, width, dtype=torch.float64) ** 3
    q = q * neighbours_inside(height, width, cell_size, q.device)
    return (q / q.sum(1, keepdim=True)).to(dtype)


def gridded(value: object) -> object:
    """A soft assignment on a grid of cells of 4 pixels; everything else as it is."""
    return Superpixels(value, 4) if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def cells(height: int, width: int, cell_size: int) -> tuple[int, int]:
    return -(-height // cell_size), -(-width // cell_size)
