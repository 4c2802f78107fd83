"""From one coarse level to the next: basis functions of 2 x 2 blocks, their energies, and the matrix of a level.

The basis of each next level are the combinations of least energy in 2 x 2 blocks of the level before, found as in
local_basis.py.
"""

from __future__ import annotations

import scipy.sparse as sp
import torch
from torch import Tensor

from closedform_wsss._common.block_layout import LINK_PLACES, MAX_FUNCTIONS
from closedform_wsss._common.tile_layout import gather_padded
from closedform_wsss.solver.multigrid.block_energies import BELOW, RIGHT, BlockEnergies, matrix_blocks
from closedform_wsss.solver.multigrid.local_basis import lowest

# Eigenvalues, relative to the diagonal of the level's matrix, above which the smoother alone is enough.
LEVEL_THRESHOLD = 0.1
LEVEL_RIDGE = {torch.float32: 1e-6, torch.float64: 1e-12}  # relative: the rounding of the operator on the pixels
BLOCKS_AT_ONCE = 512


def level_matrix(energies: BlockEnergies) -> tuple[Tensor, list[Tensor]]:
    """:func:`matrix_blocks`, with a ridge against rounding."""
    own, links = matrix_blocks(energies)
    own.diagonal(dim1=1, dim2=2).mul_(1 + LEVEL_RIDGE[energies.right.dtype])
    return own, links


def to_scipy(energies: BlockEnergies, own: Tensor, links: list[Tensor]) -> sp.csc_array:
    """The matrix of a level."""
    number, entries = energies.numbers(), []
    for part, place in ((own, 4), *zip(links, LINK_PLACES, strict=True)):
        row, column = number[:, :, None], gather_padded(number, energies.grid.neighbours[:, place], -1)[:, None]
        live = (row >= 0) & (column >= 0)
        row, column, value = row.expand_as(live)[live], column.expand_as(live)[live], part[live].double()
        entries.append((row, column, value))
        if part is not own:
            entries.append((column, row, value))
    i, j, v = (torch.cat(part).cpu().numpy() for part in zip(*entries, strict=True))
    count = int(energies.sizes.sum())
    return sp.coo_array((v, (i, j)), shape=(count, count)).tocsc()


def coarsen(energies: BlockEnergies, diagonal: Tensor) -> tuple[BlockEnergies, sp.csr_array]:
    """The next level, in blocks of 2 x 2 blocks, and its basis functions as columns of P. diagonal: of the matrix,
    ``(M, K)``."""
    e, size = energies, energies.inside.shape[1]
    grid = e.grid.coarser()
    child = grid.squares(e.grid)  # (G, 4)

    # The local Neumann matrices: inside the four blocks, across the four interfaces between them, and on their corner.
    local = e.inside.new_zeros(grid.count, 4, 4, size, size)
    for c in range(4):
        local[:, c, c] += gather_padded(e.inside, child[:, c])
    for interfaces, pairs in ((e.right, ((0, 1), (2, 3))), (e.below, ((0, 2), (1, 3)))):
        for a, b in pairs:
            interface = gather_padded(interfaces, child[:, a])
            for i, c in enumerate((a, b)):
                for j, d in enumerate((a, b)):
                    local[:, c, d] += interface[:, i, j]
    corner = gather_padded(e.corner, child[:, 0]).double()
    traces = [gather_padded(e.traces, child[:, c])[:, 3 - c].double() for c in range(4)]
    for c in range(4):
        for d in range(4):
            local[:, c, d] += traces[c].mT @ corner[:, c, d] @ traces[d]
    local = local.transpose(2, 3).flatten(3).flatten(1, 2)

    number = gather_padded(e.numbers(), child, -1).flatten(1)  # (G, 4 K)
    live = number >= 0
    scale = torch.where(live, gather_padded(diagonal, child).flatten(1), torch.inf).rsqrt()
    vectors = scale[:, :, None] * _lowest(scale[:, :, None] * local * scale[:, None], live)
    taken = (vectors != 0).any(1)
    coarse = torch.where(taken, taken.flatten().cumsum(0).view_as(taken) - 1, -1)
    nonzero = vectors != 0
    values = vectors[nonzero].cpu().numpy()
    rows, columns = (index.expand_as(vectors)[nonzero].cpu().numpy() for index in (number[:, :, None], coarse[:, None]))
    shape = (int(e.sizes.sum()), int(taken.sum()))
    prolongation = sp.coo_array((values, (rows, columns)), shape=shape).tocsr()

    child_vectors = vectors.unflatten(1, (4, size))  # (G, 4, K, new K)
    new_traces = [gather_padded(e.traces, child[:, c])[:, c].double() @ child_vectors[:, c] for c in range(4)]
    return BlockEnergies(
        grid,
        taken.sum(1),
        vectors.mT @ local @ vectors,
        _assemble_interface(e, e.right, child, child_vectors, grid.neighbours[:, RIGHT], ((1, 0), (3, 2))),
        _assemble_interface(e, e.below, child, child_vectors, grid.neighbours[:, BELOW], ((2, 0), (3, 1))),
        gather_padded(e.corner, child[:, 3]),
        torch.stack(new_traces, 1).to(e.traces.dtype),
    ), prolongation


def _lowest(local: Tensor, live: Tensor) -> Tensor:
    """:func:`lowest` of matrices ``(G, n, n)`` with few live rows: cut to these, and solved together with others that
    have a similar number of them."""
    g, n = live.shape
    vectors = local.new_zeros(g, n, MAX_FUNCTIONS)
    count = live.sum(1)
    for chosen in count.argsort().split(BLOCKS_AT_ONCE):
        size = max(int(count[chosen].max()), 1)
        front = (~live[chosen]).int().argsort(dim=1, stable=True)[:, :size]  # live ones first
        part = local[chosen].gather(1, front[:, :, None].expand(-1, -1, n))
        part = part.gather(2, front[:, None].expand(-1, size, -1))
        found = lowest(part, live[chosen].gather(1, front), MAX_FUNCTIONS, LEVEL_THRESHOLD)
        wide = local.new_zeros(len(chosen), n, found.shape[2])
        vectors[chosen, :, : found.shape[2]] = wide.scatter_(1, front[:, :, None].expand_as(found), found.double())
    return vectors[:, :, : max(int((vectors != 0).any(1).sum(1).max()), 1)]


def _assemble_interface(
    energies: BlockEnergies,
    interfaces: Tensor,
    child: Tensor,
    child_vectors: Tensor,
    neighbour: Tensor,
    pairs: tuple[tuple[int, int], tuple[int, int]],
) -> Tensor:
    """The energies at the interface of each new block and its neighbour: of the interfaces of two pairs of old blocks
    (one in the new block, one in the neighbour), and of the corner between the pairs."""
    neighbour_vectors, neighbour_child = gather_padded(child_vectors, neighbour), gather_padded(child, neighbour, -1)
    k = child_vectors.shape[3]
    out = child_vectors.new_zeros(len(child), 2, 2, k, k)
    for a, b in pairs:
        interface = gather_padded(interfaces, child[:, a]).double()
        sides = (child_vectors[:, a], neighbour_vectors[:, b])
        for i in range(2):
            for j in range(2):
                out[:, i, j] += sides[i].mT @ interface[:, i, j] @ sides[j]
    # The corner belongs to the first of its four blocks. For each block it is the opposite one of its own corners.
    (a, b), (c, d) = pairs
    places = [0, 1, 2, 3] if (a, b) == (1, 0) else [0, 2, 1, 3]
    corner_blocks = [
        (0, a, child[:, a]),
        (1, b, neighbour_child[:, b]),
        (0, c, child[:, c]),
        (1, d, neighbour_child[:, d]),
    ]
    corner = gather_padded(energies.corner, child[:, a]).double()
    traces = []
    for place, (side, own, tile) in zip(places, corner_blocks, strict=True):
        trace = gather_padded(energies.traces, tile)[:, 3 - place].double()
        traces.append((place, side, trace @ (child_vectors, neighbour_vectors)[side][:, own]))
    for first, i, p in traces:
        for second, j, q in traces:
            out[:, i, j] += p.mT @ corner[:, first, second] @ q
    return out.to(interfaces.dtype)
