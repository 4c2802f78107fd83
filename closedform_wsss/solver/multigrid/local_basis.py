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
from closedform_wsss.solver.grid import Grid
from closedform_wsss.solver.multigrid.block_energies import BlockEnergies, gather_padded
from closedform_wsss.solver.tiles import MAX_WINDOWS, SIDE, Tiles

CELL = 4
ACROSS = SIDE // CELL
CELLS = ACROSS * ACROSS
MAX_CHANNELS = 8  # that csrc/cpu/tile_energy.cpp has room for
MAX_FUNCTIONS = 16  # of a tile
# Eigenvalues, relative to the most that L can be, from which on relaxation does well alone.
THRESHOLD = 1e-2
FLAT = 1e-10  # squared length of a colour in a cell, below which it does not vary there
CHUNK = 1024  # tiles at a time


@dataclass
class LocalBasis:
    """The functions of every tile, ``(F, 16, 16)``, sorted by tile; ``starts`` ``(M + 1)`` int32; and what they cost,
    the blocks being the tiles and those that windows of theirs belong to."""

    basis: Tensor
    starts: Tensor
    energies: BlockEnergies


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
    image: Tensor, tiles: Tiles, free: Tensor, data_weight: Tensor, eps: float, learning_based: bool
) -> LocalBasis:
    """
    Args:
        image: ``(N, D, H, W)``.
        tiles: Of it.
        free: ``(M, 16, 16)`` bool, pixels of the tiles that their marks do not hold by themselves.
        data_weight: ``(M, 16, 16)``, the marks' diagonal.
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
        held = torch.where(free[part], data_weight[part], 0)
        if bool((held > 0).any()):
            pixels = _by_cell(held[:, None]) * cells  # (m, cells, pixels, K)
            own = (pixels.mT.double() @ cells.double()).permute(0, 2, 3, 1)
            inside.unflatten(2, (CELLS, k)).unflatten(1, (CELLS, k)).diagonal(dim1=1, dim2=3).add_(own)
        v = lowest(inside / MAX_WINDOWS, (cells != 0).any(2).flatten(1), MAX_FUNCTIONS, THRESHOLD)
        v = v.to(image.dtype)
        exist = (v != 0).any(1)
        vectors.append(v)
        values.append(v.double().mT @ (inside @ v.double()))
        pixels = (cells @ v.unflatten(1, (CELLS, k))).permute(0, 3, 1, 2)  # (m, functions, cells, pixels)
        functions.append(_by_row(pixels)[exist])
    vector, inside = torch.cat(vectors), torch.cat(values)
    sizes = (vector != 0).any(1).sum(1)
    starts = torch.zeros(tiles.count + 1, dtype=torch.int32, device=image.device)
    starts[1:] = sizes.cumsum(0)
    grid = tiles.with_upper_left_neighbours()
    places = tiles.at(grid.image, grid.row, grid.column)
    traces = vector.unflatten(1, (CELLS, k))[:, [0, ACROSS - 1, CELLS - ACROSS, CELLS - 1]]
    energies = BlockEnergies(
        grid,
        gather_padded(sizes, places),
        gather_padded(inside, places),
        *_seams(image, tiles, grid, basis, vector, eps, learning_based),
        gather_padded(traces, places),
    )
    return LocalBasis(torch.cat(functions), starts, energies)


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
    image: Tensor, tiles: Tiles, grid: Grid, basis: Tensor, vector: Tensor, eps: float, learning_based: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """``right``, ``below`` and ``corner`` of :class:`BlockEnergies`."""
    k, most = image.shape[1] + 1, vector.shape[2]
    n, row, column = grid.image, grid.row, grid.column
    owners = torch.stack([n, row, column], 1).int()
    members = torch.stack([tiles.at(n, row + dy, column + dx) for dy in (0, 1) for dx in (0, 1)], 1)
    # One tile more, without functions, for the members that do not exist: at -1.
    of_cells = torch.cat([vector, vector.new_zeros(1, *vector.shape[1:])]).unflatten(1, (ACROSS, ACROSS, k))
    right = vector.new_zeros(grid.count, 2, 2, most, most)
    below = torch.zeros_like(right)
    corner = vector.new_zeros(grid.count, 4, 4, k, k)
    for chunk in range(0, grid.count, CHUNK):
        part = slice(chunk, chunk + CHUNK)
        energies = _ops.tile_energy(image, basis, owners[part], members[part], eps, learning_based, True)
        a, b, c, _ = members[part].long().unbind(1)
        sides = ((of_cells[a, :, 3], of_cells[b, :, 0]), (of_cells[a, 3], of_cells[c, 0]))
        for kept, energy, side in zip((right, below), energies[:2], sides, strict=True):
            size = energy.shape[1] // 2
            blocks = energy.unflatten(2, (2, size)).unflatten(1, (2, size))
            first, second = (cells.flatten(1, 2).double() for cells in side)
            kept[part, 0, 0] = (first.mT @ (blocks[:, 0, :, 0] @ first)).to(kept.dtype)
            kept[part, 1, 1] = (second.mT @ (blocks[:, 1, :, 1] @ second)).to(kept.dtype)
            kept[part, 0, 1] = (first.mT @ (blocks[:, 0, :, 1] @ second)).to(kept.dtype)
            kept[part, 1, 0] = kept[part, 0, 1].mT
        corner[part] = energies[2].unflatten(2, (4, k)).unflatten(1, (4, k)).transpose(2, 3).to(corner.dtype)
    return right, below, corner
