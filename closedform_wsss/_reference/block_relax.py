"""A sweep of Gauss-Seidel over A z = r in blocks: the reference of ``csrc/cpu/block_relax.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.block_layout import INVERSE, assemble, entries
from closedform_wsss._common.sparse_tensor import sparse_coo


def block_relax(
    matrix: Tensor,
    offsets: Tensor,
    starts: Tensor,
    neighbours: Tensor,
    order: Tensor,
    ends: Tensor,
    r: Tensor,
    z: Tensor,
    backward: bool,
) -> None:
    """Replace z ``(F, C)``, color by color. ``ends`` is on the CPU."""
    links = assemble(matrix, offsets, starts, neighbours, own=False)
    i, j, place = entries(offsets, starts, neighbours, INVERSE)
    inverse = sparse_coo(torch.stack([i, j]), matrix[place], (links.shape[0], links.shape[1]))
    size = starts.long().diff()
    block = torch.arange(len(size), device=starts.device).repeat_interleave(size)
    color = torch.zeros_like(size)
    places = torch.arange(len(size), device=ends.device)
    color[order.long()] = torch.bucketize(places, ends.long(), right=True).to(color)
    for which in range(3, -1, -1) if backward else range(4):
        now = (color[block] == which)[:, None]
        z.copy_(torch.where(now, inverse @ (r - links @ z), z))
