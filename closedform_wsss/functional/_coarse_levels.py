"""The levels below the pixels: sparse systems of the local functions of tiles, then of 2 x 2 tiles, 4 x 4 tiles ...

Each level takes from 2 x 2 blocks of the one above the functions of least energy, found as in _local_basis: so
whatever is slow there is corrected here. Iterations then hardly grow with the image.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from closedform_wsss.functional._direct import direct_solver
from closedform_wsss.functional._local_basis import LocalBasis, lowest
from closedform_wsss.functional._tiles import Tiles

# Of the coarsest system. A sparse factorization of so many costs as much as some sweeps over the pixels that they
# stand for.
MOST_UNKNOWNS = 8000
MOST_UNKNOWNS_DENSE = 4096
MOST_FUNCTIONS = 32  # of a block of tiles
# Eigenvalues, relative to the diagonal of the level's matrix, from which on its relaxation does well alone.
THRESHOLD = 0.1
# Damped Jacobi steps that leave least of the eigenvalues from 0.05 to 1 times the largest.
STEPS = (1.068, 1.905, 8.800)
POWER_STEPS = 12
SAFETY = 1.1  # the largest eigenvalue may be larger than these steps found
RIDGE = {torch.float32: 1e-6, torch.float64: 1e-12}  # relative: what rounding leaves of the operator on the pixels
CHUNK = 512


@dataclass
class _Blocks:
    """The blocks of a level: where they are, which functions they have, and their energies as in
    :class:`LocalBasis`."""

    key: np.ndarray  # (M, 3) image, row, column
    number: Tensor  # (M, K) of a function, -1 for none
    inside: Tensor  # (M, K, K)
    right: Tensor
    below: Tensor
    corner: Tensor
    traces: Tensor


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
    """A sparse system A z = r with a damped Jacobi relaxation, and the way P to the next coarser one."""

    def __init__(self, matrix: sp.csr_array, prolongation: sp.csr_array, like: Tensor) -> None:
        """In the device and precision of ``like``."""
        self.matrix = _Sparse(matrix, like)
        self.prolongation, self.restriction = _Sparse(prolongation, like), _Sparse(prolongation.T.tocsr(), like)
        inverse = 1 / matrix.diagonal()
        v = np.random.default_rng(0).standard_normal(len(inverse))
        largest = 1.0
        for _ in range(POWER_STEPS):
            v = inverse * (matrix @ v)
            largest = float(np.linalg.norm(v))
            v /= largest
        inverse = torch.from_numpy(inverse / (SAFETY * largest)).to(like)[:, None]
        self.weights = [step * inverse for step in STEPS]


class CoarseLevels:
    """An approximate inverse of the matrix of the tiles' functions: a V-cycle."""

    def __init__(self, local: LocalBasis, tiles: Tiles) -> None:
        device = local.functions.device
        count = int(local.starts[-1])
        number = torch.where(local.exists, local.exists.flatten().cumsum(0).view_as(local.exists) - 1, -1)
        matrix = _assemble(local, number, count)
        ridge = RIDGE[local.functions.dtype]
        matrix = (matrix + sp.diags_array(ridge * matrix.diagonal())).tocsr()
        self.levels: list[_Level] = []
        energies = (local.inside, local.right, local.below, local.corner, local.traces)
        blocks = _Blocks(tiles.tiles.cpu().numpy(), number, *energies)
        dense = device.type != "cpu"
        while matrix.shape[0] > (MOST_UNKNOWNS_DENSE if dense else MOST_UNKNOWNS):
            blocks, prolongation = _coarsen(blocks, torch.from_numpy(matrix.diagonal()).to(device))
            if prolongation.shape[1] > 0.9 * matrix.shape[0]:
                break
            self.levels.append(_Level(matrix, prolongation, local.functions))
            matrix = (prolongation.T @ matrix @ prolongation).tocsr()
            matrix = ((matrix + matrix.T) / 2).tocsr()
        self.solve = direct_solver(matrix.tocsc(), device, dense)

    def correct(self, r: Tensor) -> Tensor:
        """r ``(F, C)`` -> about A^-1 r."""
        return self._cycle(0, r)

    def _cycle(self, depth: int, r: Tensor) -> Tensor:
        if depth == len(self.levels):
            return self.solve(r.double().mT).mT.to(r.dtype)
        level = self.levels[depth]
        z = level.weights[0] * r
        for weight in level.weights[1:]:
            z.addcmul_(weight, r - level.matrix @ z)
        coarse = level.restriction @ (r - level.matrix @ z)
        z += level.prolongation @ self._cycle(depth + 1, coarse)
        for weight in level.weights[::-1]:
            z.addcmul_(weight, r - level.matrix @ z)
        return z


def _assemble(local: LocalBasis, number: Tensor, count: int) -> sp.csr_array:
    """P^T (L + D) P of the tiles' functions."""
    entries: list[tuple[Tensor, Tensor, Tensor]] = []
    for first, second, blocks in local.matrix:
        exists = (first >= 0) & (second >= 0)
        row, column = number[first[exists]][:, :, None], number[second[exists]][:, None]
        live = (row >= 0) & (column >= 0)
        row, column, value = row.expand_as(live)[live], column.expand_as(live)[live], blocks[exists][live]
        entries.append((row, column, value))
        if first is not second:
            entries.append((column, row, value))
    i, j, v = (torch.cat(part).cpu().numpy() for part in zip(*entries, strict=True))
    return sp.coo_array((v, (i, j)), shape=(count, count)).tocsr()


def _coarsen(blocks: _Blocks, diagonal: Tensor) -> tuple[_Blocks, sp.csr_array]:
    """Blocks of 2 x 2 blocks, and the functions taken for them, as columns."""
    device = diagonal.device
    most = blocks.number.shape[1]
    group, at = np.unique(blocks.key // [1, 2, 2], axis=0, return_inverse=True)
    children = np.full((len(group), 4), -1)
    children[at.ravel(), blocks.key[:, 1] % 2 * 2 + blocks.key[:, 2] % 2] = np.arange(len(blocks.key))
    child = torch.from_numpy(children).to(device)  # (G, 4)

    # The group's own energies: its blocks', those of the four seams between them, and those of its middle.
    local = torch.zeros(len(group), 4, 4, most, most, dtype=torch.float64, device=device)
    for c in range(4):
        local[:, c, c] += _of(blocks.inside, child[:, c])
    for seams, pairs in ((blocks.right, ((0, 1), (2, 3))), (blocks.below, ((0, 2), (1, 3)))):
        for a, b in pairs:
            seam = _of(seams, child[:, a]).double()
            for i, c in enumerate((a, b)):
                for j, d in enumerate((a, b)):
                    local[:, c, d] += seam[:, i, j]
    corner = _of(blocks.corner, child[:, 0]).double()
    traces = [_of(blocks.traces, child[:, c])[:, 3 - c].double() for c in range(4)]
    for c in range(4):
        for d in range(4):
            local[:, c, d] += traces[c].mT @ corner[:, c, d] @ traces[d]
    local = local.transpose(2, 3).flatten(3).flatten(1, 2)

    number = _of(blocks.number, child, -1).flatten(1)  # (G, 4 K)
    live = number >= 0
    scale = torch.where(live, diagonal[number].rsqrt(), 0)
    vectors = scale[:, :, None] * _lowest(scale[:, :, None] * local * scale[:, None], live)
    exists = (vectors != 0).any(1)
    coarse = torch.where(exists, exists.flatten().cumsum(0).view_as(exists) - 1, -1)
    some = vectors != 0
    values = vectors[some].cpu().numpy()
    rows, columns = (index.expand_as(vectors)[some].cpu().numpy() for index in (number[:, :, None], coarse[:, None]))
    prolongation = sp.coo_array((values, (rows, columns)), shape=(len(diagonal), int(exists.sum()))).tocsr()

    of_child = vectors.unflatten(1, (4, most))  # (G, 4, K, new K)
    return _Blocks(
        group,
        coarse,
        vectors.mT @ local @ vectors,
        _joined(blocks, blocks.right, child, of_child, _neighbour(group, 0, 1), ((1, 0), (3, 2))),
        _joined(blocks, blocks.below, child, of_child, _neighbour(group, 1, 0), ((2, 0), (3, 1))),
        _of(blocks.corner, child[:, 3]),
        torch.stack([_of(blocks.traces, child[:, c])[:, c].double() @ of_child[:, c] for c in range(4)], 1),
    ), prolongation


def _lowest(local: Tensor, live: Tensor) -> Tensor:
    """:func:`lowest` of matrices ``(G, n, n)`` of which few rows are live: those of like number together, the others
    cut off."""
    g, n = live.shape
    vectors = local.new_zeros(g, n, MOST_FUNCTIONS)
    count = live.sum(1)
    for chosen in count.argsort().split(CHUNK):
        size = max(int(count[chosen].max()), 1)
        front = (~live[chosen]).int().argsort(dim=1, stable=True)[:, :size]  # live ones first
        part = local[chosen].gather(1, front[:, :, None].expand(-1, -1, n))
        part = part.gather(2, front[:, None].expand(-1, size, -1))
        found = lowest(part, live[chosen].gather(1, front), MOST_FUNCTIONS, THRESHOLD)
        wide = local.new_zeros(len(chosen), n, found.shape[2])
        vectors[chosen, :, : found.shape[2]] = wide.scatter_(1, front[:, :, None].expand_as(found), found.double())
    return vectors[:, :, : max(int((vectors != 0).any(1).sum(1).max()), 1)]


def _of(values: Tensor, places: Tensor, nothing: float = 0) -> Tensor:
    """The entries at ``places``, ``nothing`` at -1."""
    return torch.cat([values, torch.full_like(values[:1], nothing)])[places]


def _neighbour(group: np.ndarray, down: int, right: int) -> Tensor:
    """The place of each group's neighbour, -1 for none."""
    place = {tuple(key): i for i, key in enumerate(group.tolist())}
    return torch.tensor([place.get((n, row + down, column + right), -1) for n, row, column in group.tolist()])


def _joined(
    blocks: _Blocks,
    seams: Tensor,
    child: Tensor,
    of_child: Tensor,
    neighbour: Tensor,
    pairs: tuple[tuple[int, int], tuple[int, int]],
) -> Tensor:
    """The energies at the seam of each group and its neighbour: of the seams of two pairs of blocks (a block of the
    group and one of the neighbour), and of the corner between these."""
    neighbour = neighbour.to(child.device)
    theirs, their_child = _of(of_child, neighbour), _of(child, neighbour, -1)
    k = of_child.shape[3]
    out = torch.zeros(len(child), 2, 2, k, k, dtype=torch.float64, device=child.device)
    for a, b in pairs:
        seam = _of(seams, child[:, a]).double()
        sides = (of_child[:, a], theirs[:, b])
        for i in range(2):
            for j in range(2):
                out[:, i, j] += sides[i].mT @ seam[:, i, j] @ sides[j]
    # Four blocks meet at the corner that belongs to the first of them; each shows it the opposite one of its own
    # corners.
    (a, b), (c, d) = pairs
    places = [0, 1, 2, 3] if (a, b) == (1, 0) else [0, 2, 1, 3]
    members = [(0, a, child[:, a]), (1, b, their_child[:, b]), (0, c, child[:, c]), (1, d, their_child[:, d])]
    corner = _of(blocks.corner, child[:, a]).double()
    traces = []
    for place, (side, own, tile) in zip(places, members, strict=True):
        trace = _of(blocks.traces, tile)[:, 3 - place].double()
        traces.append((place, side, trace @ (of_child, theirs)[side][:, own]))
    for first, i, p in traces:
        for second, j, q in traces:
            out[:, i, j] += p.mT @ corner[:, first, second] @ q
    return out.to(seams.dtype)
