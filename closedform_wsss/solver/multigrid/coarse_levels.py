"""The levels below the pixels: systems of the functions of tiles, then of 2 x 2 tiles, 4 x 4 tiles ...

Each level takes from 2 x 2 blocks of the one above the functions of least energy, found as in _local_basis: so
whatever is slow there is corrected here. Iterations then hardly grow with the image. On every level but the last, which
is solved directly, a sweep of block Gauss-Seidel forward and one backward see to the rest.
"""

from __future__ import annotations

import warnings
from typing import Any

import scipy.sparse as sp
import torch
from torch import Tensor

from closedform_wsss._common.block_layout import LINK_PLACES, MAX_FUNCTIONS
from closedform_wsss.solver.multigrid.block_energies import BELOW, RIGHT, BlockEnergies, gather_padded, matrix_blocks
from closedform_wsss.solver.multigrid.block_matrix import BlockMatrix
from closedform_wsss.solver.multigrid.direct import direct_solver
from closedform_wsss.solver.multigrid.local_basis import lowest

# Of the coarsest system. A sparse factorization of so many costs as much as some sweeps over the pixels that they
# stand for.
MAX_UNKNOWNS = 3000
MAX_UNKNOWNS_DENSE = 4096
# Eigenvalues, relative to the diagonal of the level's matrix, from which on its relaxation does well alone.
THRESHOLD = 0.1
# How often a level but the first is left for the next coarser one. These cost a fraction of the first, and what they
# leave undone costs iterations on the pixels: a third of them on 12 megapixels.
CYCLE_INDEX = 2
RIDGE = {torch.float32: 1e-6, torch.float64: 1e-12}  # relative: what rounding leaves of the operator on the pixels
CHUNK = 512


class _Sparse:
    """A sparse matrix for products with ``(n, C)``. On the CPU it is SciPy's, on one thread: as quick as torch's on
    two, and not held up where other work keeps a core busy."""

    def __init__(self, matrix: sp.csr_array, like: Tensor) -> None:
        """In the device and precision of ``like``."""
        rows, columns, values = (torch.from_numpy(part) for part in (matrix.indptr, matrix.indices, matrix.data))
        values = values.to(like.dtype)
        self.matrix: Any
        if like.device.type == "cpu":
            self.matrix = sp.csr_array((values.numpy(), matrix.indices, matrix.indptr), matrix.shape)
            return
        with warnings.catch_warnings():  # torch calls its CSR tensors a beta, once
            warnings.simplefilter("ignore", UserWarning)
            self.matrix = torch.sparse_csr_tensor(rows, columns, values, matrix.shape, check_invariants=False)
            self.matrix = self.matrix.to(like.device)

    def __matmul__(self, z: Tensor) -> Tensor:
        alone = z.shape[1] == 1  # one column is twice as fast as a vector
        z = z[:, 0] if alone else z.contiguous()
        y: Tensor = self.matrix @ z if isinstance(self.matrix, Tensor) else torch.from_numpy(self.matrix @ z.numpy())
        return y[:, None] if alone else y


class _Level:
    """A system A z = r, and the way P to the next coarser one."""

    def __init__(self, matrix: BlockMatrix, prolongation: sp.csr_array) -> None:
        self.matrix = matrix
        like = matrix.matrix
        self.prolongation, self.restriction = _Sparse(prolongation, like), _Sparse(prolongation.T.tocsr(), like)


class CoarseLevels:
    """An approximate inverse of the matrix of the tiles' functions: a cycle over levels."""

    def __init__(self, energies: BlockEnergies) -> None:
        device = energies.inside.device
        most = MAX_UNKNOWNS if device.type == "cpu" else MAX_UNKNOWNS_DENSE
        self.levels: list[_Level] = []
        own, links = _matrix(energies)
        while int(energies.sizes.sum()) > most:
            matrix = BlockMatrix(energies, own, links)
            coarser, prolongation = _coarsen(energies, own.diagonal(dim1=1, dim2=2))
            if prolongation.shape[1] > 0.9 * prolongation.shape[0]:
                break
            self.levels.append(_Level(matrix, prolongation))
            energies = coarser
            own, links = _matrix(energies)
        coarsest = _to_scipy(energies, own, links)
        self.solve = direct_solver(coarsest, device, dense=device.type != "cpu")

    def correct(self, r: Tensor) -> Tensor:
        """r ``(F, C)`` -> about A^-1 r."""
        return self._cycle(0, r.contiguous())

    def _cycle(self, depth: int, r: Tensor) -> Tensor:
        if depth == len(self.levels):
            return self.solve(r.double().mT).mT.to(r.dtype)
        level = self.levels[depth]
        z = torch.zeros_like(r)
        for _ in range(CYCLE_INDEX if depth else 1):
            level.matrix.relax(r, z, backward=False)
            z += level.prolongation @ self._cycle(depth + 1, level.restriction @ (r - level.matrix.product(z)))
            level.matrix.relax(r, z, backward=True)
        return z


def _matrix(energies: BlockEnergies) -> tuple[Tensor, list[Tensor]]:
    """:func:`matrix_blocks`, with a ridge against rounding."""
    own, links = matrix_blocks(energies)
    own.diagonal(dim1=1, dim2=2).mul_(1 + RIDGE[energies.right.dtype])
    return own, links


def _to_scipy(energies: BlockEnergies, own: Tensor, links: list[Tensor]) -> sp.csc_array:
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


def _coarsen(energies: BlockEnergies, diagonal: Tensor) -> tuple[BlockEnergies, sp.csr_array]:
    """Blocks of 2 x 2 blocks, and the functions taken for them, as columns. ``diagonal``: ``(M, K)``, of the matrix."""
    e, most = energies, energies.inside.shape[1]
    grid = e.grid.coarser()
    child = grid.squares(e.grid)  # (G, 4)

    # The square's own energies: its blocks', those of the four seams between them, and those of its middle.
    local = e.inside.new_zeros(grid.count, 4, 4, most, most)
    for c in range(4):
        local[:, c, c] += gather_padded(e.inside, child[:, c])
    for seams, pairs in ((e.right, ((0, 1), (2, 3))), (e.below, ((0, 2), (1, 3)))):
        for a, b in pairs:
            seam = gather_padded(seams, child[:, a])
            for i, c in enumerate((a, b)):
                for j, d in enumerate((a, b)):
                    local[:, c, d] += seam[:, i, j]
    corner = gather_padded(e.corner, child[:, 0])
    traces = [gather_padded(e.traces, child[:, c])[:, 3 - c] for c in range(4)]
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
    some = vectors != 0
    values = vectors[some].cpu().numpy()
    rows, columns = (index.expand_as(vectors)[some].cpu().numpy() for index in (number[:, :, None], coarse[:, None]))
    shape = (int(e.sizes.sum()), int(taken.sum()))
    prolongation = sp.coo_array((values, (rows, columns)), shape=shape).tocsr()

    of_child = vectors.to(e.right.dtype).unflatten(1, (4, most))  # (G, 4, K, new K)
    return BlockEnergies(
        grid,
        taken.sum(1),
        vectors.mT @ local @ vectors,
        _joined(e, e.right, child, of_child, grid.neighbours[:, RIGHT], ((1, 0), (3, 2))),
        _joined(e, e.below, child, of_child, grid.neighbours[:, BELOW], ((2, 0), (3, 1))),
        gather_padded(e.corner, child[:, 3]),
        torch.stack([gather_padded(e.traces, child[:, c])[:, c] @ of_child[:, c] for c in range(4)], 1),
    ), prolongation


def _lowest(local: Tensor, live: Tensor) -> Tensor:
    """:func:`lowest` of matrices ``(G, n, n)`` of which few rows are live: those of like number together, the others
    cut off."""
    g, n = live.shape
    vectors = local.new_zeros(g, n, MAX_FUNCTIONS)
    count = live.sum(1)
    for chosen in count.argsort().split(CHUNK):
        size = max(int(count[chosen].max()), 1)
        front = (~live[chosen]).int().argsort(dim=1, stable=True)[:, :size]  # live ones first
        part = local[chosen].gather(1, front[:, :, None].expand(-1, -1, n))
        part = part.gather(2, front[:, None].expand(-1, size, -1))
        found = lowest(part, live[chosen].gather(1, front), MAX_FUNCTIONS, THRESHOLD)
        wide = local.new_zeros(len(chosen), n, found.shape[2])
        vectors[chosen, :, : found.shape[2]] = wide.scatter_(1, front[:, :, None].expand_as(found), found.double())
    return vectors[:, :, : max(int((vectors != 0).any(1).sum(1).max()), 1)]


def _joined(
    energies: BlockEnergies,
    seams: Tensor,
    child: Tensor,
    of_child: Tensor,
    neighbour: Tensor,
    pairs: tuple[tuple[int, int], tuple[int, int]],
) -> Tensor:
    """The energies at the seam of each square and its neighbour: of the seams of two pairs of blocks (a block of the
    square and one of the neighbour), and of the corner between these."""
    theirs, their_child = gather_padded(of_child, neighbour), gather_padded(child, neighbour, -1)
    k = of_child.shape[3]
    out = of_child.new_zeros(len(child), 2, 2, k, k)
    for a, b in pairs:
        seam = gather_padded(seams, child[:, a])
        sides = (of_child[:, a], theirs[:, b])
        for i in range(2):
            for j in range(2):
                out[:, i, j] += sides[i].mT @ seam[:, i, j] @ sides[j]
    # Four blocks meet at the corner that belongs to the first of them; each shows it the opposite one of its own
    # corners.
    (a, b), (c, d) = pairs
    places = [0, 1, 2, 3] if (a, b) == (1, 0) else [0, 2, 1, 3]
    members = [(0, a, child[:, a]), (1, b, their_child[:, b]), (0, c, child[:, c]), (1, d, their_child[:, d])]
    corner = gather_padded(energies.corner, child[:, a])
    traces = []
    for place, (side, own, tile) in zip(places, members, strict=True):
        trace = gather_padded(energies.traces, tile)[:, 3 - place]
        traces.append((place, side, trace @ (of_child, theirs)[side][:, own]))
    for first, i, p in traces:
        for second, j, q in traces:
            out[:, i, j] += p.mT @ corner[:, first, second] @ q
    return out
