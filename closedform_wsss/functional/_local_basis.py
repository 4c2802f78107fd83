"""The functions in a tile that the matting Laplacian hardly sees, and what it sees of them.

Conjugate gradients are slow where x^T L x is small although x varies: where x is affine in colour over whole regions,
with other coefficients beyond an edge. Which functions these are differs from place to place, so they are looked up:
in each tile of 16 x 16 pixels the eigenvectors of L's own windows there (nothing said at the border) with the smallest
eigenvalues, as in spectral AMGe (Chartier et al., SIAM J. Sci. Comput. 2003). To keep the eigenproblems small,
candidates are the functions affine in colour in cells of 4 x 4 pixels.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss._build import num_threads
from closedform_wsss.functional._tiles import MOST_WINDOWS, SIDE, Tiles

CELL = 4
ACROSS = SIDE // CELL
CELLS = ACROSS * ACROSS
MOST_CHANNELS = 8  # that csrc/cpu/tile_energy.cpp has room for
MOST_FUNCTIONS = 16  # of a tile
# Eigenvalues, relative to the most that L can be, from which on relaxation does well alone.
THRESHOLD = 1e-2
FLAT = 1e-10  # squared length of a colour in a cell, below which it does not vary there
CHUNK = 1024  # tiles at a time
# Neighbours of a tile, down and to the right: the other half of the eight have it as theirs.
DIRECTIONS = ((0, 1), (1, -1), (1, 0), (1, 1))


@dataclass
class LocalBasis:
    """The functions of every tile, and the energies among them.

    ``functions`` ``(F, 16, 16)``, sorted by tile; ``starts`` ``(M + 1)`` int32; ``exists`` ``(M, K)`` bool: which of
    the K places of a tile hold a function. ``matrix``: L between the functions of pairs of tiles, as tiles ``(M,)``
    and ``(M,)``, -1 for none, and blocks ``(M, K, K)``: each tile with itself, and each pair of neighbours once.

    Energies, with zeros where there is no function: ``inside`` ``(M, K, K)``, of a tile's own windows; ``right`` and
    ``below`` ``(M, 2, 2, K, K)``, of those at a seam, among the functions of the tile and of its neighbour; ``corner``
    ``(M, 4, 4, k, k)``, of those where four tiles meet, among the k functions of the cells there, and ``traces`` ``(M,
    4, k, K)``, what the tile's functions are in its cells at its four corners.
    """

    functions: Tensor
    starts: Tensor
    exists: Tensor
    matrix: list[tuple[Tensor, Tensor, Tensor]]
    inside: Tensor
    right: Tensor
    below: Tensor
    corner: Tensor
    traces: Tensor


def cell_basis(colours: Tensor, free: Tensor) -> Tensor:
    """Orthonormal functions affine in colour in cells: colours ``(M, D, 16, 16)``, free ``(M, 16, 16)`` -> ``(M, D + 1,
    16, 16)``, zero where not free, and zero altogether where a colour says nothing new."""

    def cells(maps: Tensor) -> Tensor:  # (M, K, 16, 16) -> (M, K, 4, 4, 16 pixels)
        return maps.unflatten(3, (ACROSS, CELL)).unflatten(2, (ACROSS, CELL)).permute(0, 1, 2, 4, 3, 5).flatten(4)

    weight = cells(free[:, None].to(colours.dtype))[:, 0]
    count = weight.sum(-1, keepdim=True).clamp_min(1)
    values = cells(colours)
    basis = [weight / count.sqrt()]
    for colour in values.unbind(1):
        v = weight * (colour - (weight * colour).sum(-1, keepdim=True) / count)
        for _ in range(2):  # once more against rounding
            for u in basis:
                v = v - (u * v).sum(-1, keepdim=True) * u
        square = (v * v).sum(-1, keepdim=True)
        basis.append(torch.where(square > FLAT, v * square.clamp_min(FLAT).rsqrt(), 0))
    out = torch.stack(basis, 1).unflatten(4, (CELL, CELL)).permute(0, 1, 2, 4, 3, 5)
    return out.flatten(4).flatten(2, 3).contiguous()


def lowest(matrix: Tensor, live: Tensor, most: int, threshold: float) -> Tensor:
    """Eigenvectors ``(G, n, most)`` of the smallest eigenvalues of symmetric matrices ``(G, n, n)`` whose rows are
    zero but for the ``live`` ones ``(G, n)``; zero from ``threshold`` on. Nearly: in float32."""
    matrix = matrix.float()
    matrix.diagonal(dim1=1, dim2=2).masked_fill_(~live, 2.0)
    values, vectors = _eigh(matrix)
    return vectors[:, :, :most] * (values[:, None, :most] < threshold)


def _eigh(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """``torch.linalg.eigh``, on the CPU with as many matrices at a time as there are threads. LAPACK's own threads
    make such small matrices slower, at times a hundredfold."""
    threads = num_threads()
    if matrices.is_cuda or threads == 1:
        values, vectors = torch.linalg.eigh(matrices)
        return values, vectors
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(torch.linalg.eigh, matrices.chunk(threads)))
    finally:
        torch.set_num_threads(threads)
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def local_basis(
    image: Tensor, tiles: Tiles, free: Tensor, trusted: Tensor, eps: float, learning_based: bool
) -> LocalBasis:
    """
    Args:
        image: ``(N, D, H, W)``.
        tiles: Of it.
        free: ``(M, 16, 16)`` bool, pixels of the tiles that their marks do not hold by themselves.
        trusted: ``(M, 16, 16)``, the marks' diagonal.
        eps, learning_based: Of the Laplacian.
    """
    k = image.shape[1] + 1
    colours = tiles.gather(image)
    basis = torch.cat([cell_basis(c, f) for c, f in zip(colours.split(CHUNK), free.split(CHUNK), strict=True)])
    nothing = torch.full((tiles.count, 4), -1, dtype=torch.int32, device=image.device)
    nothing[:, 0] = torch.arange(tiles.count, device=image.device)
    vectors, values, functions = [], [], []
    for chunk in range(0, tiles.count, CHUNK):
        part = slice(chunk, chunk + CHUNK)
        inside = _ops.tile_energy(image, basis, tiles.tiles[part], nothing[part], eps, learning_based, False)[0]
        cells = _by_cell(basis[part])  # (m, cells, pixels, K)
        held = torch.where(free[part], trusted[part], 0)
        if bool((held > 0).any()):
            pixels = _by_cell(held[:, None]) * cells  # (m, cells, pixels, K)
            own = (pixels.mT.double() @ cells.double()).permute(0, 2, 3, 1)
            inside.unflatten(2, (CELLS, k)).unflatten(1, (CELLS, k)).diagonal(dim1=1, dim2=3).add_(own)
        v = lowest(inside / MOST_WINDOWS, (cells != 0).any(2).flatten(1), MOST_FUNCTIONS, THRESHOLD)
        v = v.to(image.dtype)
        exist = (v != 0).any(1)
        vectors.append(v)
        values.append(v.double().mT @ (inside @ v.double()))
        pixels = (cells @ v.unflatten(1, (CELLS, k))).permute(0, 3, 1, 2)  # (m, functions, cells, pixels)
        functions.append(_by_row(pixels)[exist])
    vector, inside = torch.cat(vectors), torch.cat(values)
    exists = (vector != 0).any(1)
    starts = torch.zeros(tiles.count + 1, dtype=torch.int32, device=image.device)
    starts[1:] = exists.sum(1).cumsum(0)
    matrix, right, below, corner = _seams(image, tiles, basis, vector, inside, eps, learning_based)
    traces = vector.unflatten(1, (CELLS, k))[:, [0, ACROSS - 1, CELLS - ACROSS, CELLS - 1]]
    return LocalBasis(torch.cat(functions), starts, exists, matrix, inside, right, below, corner, traces)


def _by_cell(maps: Tensor) -> Tensor:
    """``(M, K, 16, 16)`` -> ``(M, cells, pixels, K)``."""
    return (
        maps.unflatten(3, (ACROSS, CELL))
        .unflatten(2, (ACROSS, CELL))
        .permute(0, 2, 4, 3, 5, 1)
        .flatten(3, 4)
        .flatten(1, 2)
    )


def _by_row(cells: Tensor) -> Tensor:
    """``(M, F, cells, pixels)`` -> ``(M, F, 16, 16)``."""
    maps = cells.unflatten(3, (CELL, CELL)).unflatten(2, (ACROSS, ACROSS)).permute(0, 1, 2, 4, 3, 5)
    return maps.flatten(4).flatten(2, 3)


def _seams(
    image: Tensor, tiles: Tiles, basis: Tensor, vector: Tensor, inside: Tensor, eps: float, learning_based: bool
) -> tuple[list[tuple[Tensor, Tensor, Tensor]], Tensor, Tensor, Tensor]:
    """``matrix``, ``right``, ``below`` and ``corner`` of :class:`LocalBasis`."""
    m, k = tiles.count, image.shape[1] + 1
    most = vector.shape[2]
    # Windows at a seam belong to the tile above and left of it, whether that is in the list or not.
    owner = torch.cat(
        [torch.stack([tiles.image, tiles.row - dy, tiles.column - dx], 1) for dy in (0, 1) for dx in (0, 1)]
    )
    owner = owner[(owner[:, 1] >= 0) & (owner[:, 2] >= 0)].unique(dim=0)
    n, row, column = owner.unbind(1)
    members = torch.stack([tiles.at(n, row + dy, column + dx) for dy in (0, 1) for dx in (0, 1)], 1).contiguous()
    owner = owner.int().contiguous()
    # One tile more, without functions, for the members that do not exist: at -1.
    of_cells = torch.cat([vector, vector.new_zeros(1, *vector.shape[1:])]).unflatten(1, (ACROSS, ACROSS, k))
    own = inside.new_zeros(m + 1, most, most)
    own[:m] = inside
    right = vector.new_zeros(m + 1, 2, 2, most, most)
    below = torch.zeros_like(right)
    corner = vector.new_zeros(m + 1, 4, 4, k, k)
    links = inside.new_zeros(len(DIRECTIONS), m + 1, most, most)
    for chunk in range(0, len(owner), CHUNK):
        part = slice(chunk, chunk + CHUNK)
        energies = _ops.tile_energy(image, basis, owner[part], members[part], eps, learning_based, True)
        a, b, c, d = members[part].long().unbind(1)
        at_a, at_b, at_c, at_d = (0, 0), (0, 1), (1, 0), (1, 1)
        sides = (
            ((at_a, a, of_cells[a, :, 3]), (at_b, b, of_cells[b, :, 0])),
            ((at_a, a, of_cells[a, 3]), (at_c, c, of_cells[c, 0])),
            (
                (at_a, a, of_cells[a, 3, 3]),
                (at_b, b, of_cells[b, 3, 0]),
                (at_c, c, of_cells[c, 0, 3]),
                (at_d, d, of_cells[d, 0, 0]),
            ),
        )
        for energy, side, kept in zip(energies, sides, (right, below, None), strict=True):
            size = energy.shape[1] // len(side)
            blocks = energy.unflatten(2, (len(side), size)).unflatten(1, (len(side), size))
            if kept is None:
                corner[a] = blocks.transpose(2, 3).to(corner.dtype)
            projections = [(place, tile, cells.flatten(1, -2).double()) for place, tile, cells in side]
            for i, (first_at, first, p) in enumerate(projections):
                for j, (second_at, _, q) in enumerate(projections):
                    if j < i:
                        continue
                    values = p.mT @ (blocks[:, i, :, j] @ q)
                    if kept is not None:
                        kept[a, i, j] = values.to(kept.dtype)
                        if i != j:
                            kept[a, j, i] = values.mT.to(kept.dtype)
                    way = (second_at[0] - first_at[0], second_at[1] - first_at[1])
                    into = own if i == j else links[DIRECTIONS.index(way)]
                    into.index_add_(0, first % (m + 1), values)
    everything = torch.arange(m, device=image.device)
    matrix = [(everything, everything, own[:m])]
    for (down, across), blocks in zip(DIRECTIONS, links, strict=True):
        matrix.append((everything, tiles.at(tiles.image, tiles.row + down, tiles.column + across).long(), blocks[:m]))
    return matrix, right[:m], below[:m], corner[:m]
