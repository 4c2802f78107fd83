"""Coarse systems in blocks, as ``csrc/common/block_layout.h`` explains them."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.sparse_tensor import sparse_coo

MAX_FUNCTIONS = 32  # basis functions of a block
INVERSE, OWN, LINKS = 0, 1, 2  # parts of a block
LINK_PLACES = (5, 6, 7, 8)  # of the neighbours that a block has links to
SPARE = 3  # values at the end of a matrix


def entries(offsets: Tensor, starts: Tensor, neighbours: Tensor, part: int) -> tuple[Tensor, Tensor, Tensor]:
    """Row, column and place in the matrix of every entry of one part of all blocks."""
    starts = starts.long()
    size = starts.diff()
    other = torch.arange(len(size), device=starts.device)
    if part >= LINKS:
        other = neighbours[:, LINK_PLACES[part - LINKS]].long()
    columns = torch.where(other < 0, 0, size[other])
    count = size * columns
    block = torch.arange(len(size), device=starts.device).repeat_interleave(count)
    number = torch.arange(len(block), device=starts.device) - (count.cumsum(0) - count)[block]
    row, column = number // columns[block], number % columns[block]
    return starts[block] + row, starts[other[block]] + column, offsets[block, part] + number


def assemble(matrix: Tensor, offsets: Tensor, starts: Tensor, neighbours: Tensor, *, own: bool = True) -> Tensor:
    """A as a sparse COO tensor ``(F, F)``, with or without the blocks' own parts."""
    rows, columns, values = [], [], []
    for part in range(OWN if own else LINKS, LINKS + len(LINK_PLACES)):
        i, j, place = entries(offsets, starts, neighbours, part)
        for row, column in ((i, j),) if part == OWN else ((i, j), (j, i)):
            rows.append(row)
            columns.append(column)
            values.append(matrix[place])
    size = int(starts[-1])
    indices = torch.stack([torch.cat(rows), torch.cat(columns)])
    return sparse_coo(indices, torch.cat(values), (size, size))
