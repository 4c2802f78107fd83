"""The near-null-space basis functions of each tile and their energies.

Conjugate gradients converge slowly for every x with a small x^T L x, that is for x affine in colour over whole regions,
with other coefficients beyond an edge. These x depend on the image. So the coarse basis of each tile of 16 x 16 pixels
are the eigenvectors of its local Neumann matrix (the sum of the windows inside the tile) with the smallest eigenvalues,
as in spectral AMGe (Chartier et al., SIAM J. Sci. Comput. 2003). To keep the eigenproblems small, candidates are the
functions affine in colour in cells of 4 x 4 pixels.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss._build import num_threads
from closedform_wsss._common.tile_layout import CELL, SIDE, gather_padded
from closedform_wsss.solver.grid import Grid
from closedform_wsss.solver.multigrid.block_energies import BlockEnergies
from closedform_wsss.solver.tiles import MAX_WINDOWS, Tiles

ACROSS = SIDE // CELL
CELLS = ACROSS * ACROSS
MAX_CHANNELS = 8  # kMaxChannels of csrc/cpu/tile_energy.cpp
MAX_TILE_FUNCTIONS = 16
# Eigenvalues, relative to the largest possible one of L, above which Jacobi alone is enough.
TILE_THRESHOLD = 1e-2
# The largest matrices that torch (up to 2.11 at least) decomposes as a batch on a GPU. Larger ones follow one another
# there, about a millisecond each. One thread of the host takes a tenth of that.
MAX_BATCHED_EIGH = 32
FLAT = 1e-10  # a colour with a smaller squared length in a cell does not vary there
# Few enough for the cache of a CPU. A GPU takes more at a time, or it would wait for thousands of launches a chunk.
TILES_AT_ONCE = {"cpu": 1024, "cuda": 8192}


@dataclass
class LocalBasis:
    """Basis functions ``(F, 16, 16)`` sorted by tile, ``starts`` ``(M + 1)`` int32, and their energies. The blocks are
    the tiles and those above and left of them, to which some of their windows belong."""

    basis: Tensor
    starts: Tensor
    energies: BlockEnergies


def cell_basis(colours: Tensor, free: Tensor) -> Tensor:
    """Orthonormal functions affine in colour in cells: colours ``(M, D, 16, 16)``, free ``(M, 16, 16)`` -> ``(M, D + 1,
    16, 16)``. They are zero where not free; a colour that depends linearly on those before it gives zero."""

    def cells(maps: Tensor) -> Tensor:  # (M, K, 16, 16) -> (M, K, 4, 4, 16 pixels)
        return maps.unflatten(3, (ACROSS, CELL)).unflatten(2, (ACROSS, CELL)).permute(0, 1, 2, 4, 3, 5).flatten(4)

    weight = cells(free[:, None].to(colours.dtype))[:, 0]
    count = weight.sum(-1, keepdim=True).clamp_min(1)
    values = cells(colours)
    basis = [weight / count.sqrt()]
    for colour in values.unbind(1):
        v = weight * (colour - (weight * colour).sum(-1, keepdim=True) / count)
        for _ in range(2):  # twice against rounding
            for u in basis:
                v = v - (u * v).sum(-1, keepdim=True) * u
        square = (v * v).sum(-1, keepdim=True)
        basis.append(torch.where(square > FLAT, v * square.clamp_min(FLAT).rsqrt(), 0))
    out = torch.stack(basis, 1).unflatten(4, (CELL, CELL)).permute(0, 1, 2, 4, 3, 5)
    return out.flatten(4).flatten(2, 3).contiguous()


def lowest(matrix: Tensor, live: Tensor, count: int, threshold: float) -> Tensor:
    """Eigenvectors ``(G, n, count)`` of the smallest eigenvalues of symmetric matrices ``(G, n, n)``, in float32. Rows
    that are not ``live`` ``(G, n)`` must be zero. Eigenvectors of eigenvalues >= ``threshold`` are set to zero."""
    matrix = matrix.float()
    matrix.diagonal(dim1=1, dim2=2).masked_fill_(~live, 2.0)
    values, vectors = _eigh(matrix)
    return vectors[:, :, :count] * (values[:, None, :count] < threshold)


def _decomposes_on_host(device: torch.device, size: int) -> bool:
    """Whether matrices of this size go to the CPU and back."""
    return device.type == "cuda" and size > MAX_BATCHED_EIGH


def _eigh(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """``torch.linalg.eigh`` on the quickest device; on the CPU, one matrix per thread. LAPACK's own threads make such
    small matrices slower, sometimes a hundred times."""
    if _decomposes_on_host(matrices.device, matrices.shape[-1]):
        values, vectors = _eigh_by_threads(matrices.cpu())
        return values.to(matrices.device), vectors.to(matrices.device)
    if matrices.device.type == "cpu":
        return _eigh_by_threads(matrices)
    values, vectors = torch.linalg.eigh(matrices)
    return values, vectors


def _eigh_by_threads(matrices: Tensor) -> tuple[Tensor, Tensor]:
    threads = num_threads()
    if threads == 1:
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
    """Functions on each tile that L + D hardly changes, by eigenvectors.

    Args:
        image: ``(N, D, H, W)``.
        tiles: Tiles of the image.
        free: ``(M, 16, 16)`` bool, pixels where the basis functions may be nonzero.
        data_weight: ``(M, 16, 16)``, D.
        eps, learning_based: Options of the Laplacian.
    """
    k, at_once = image.shape[1] + 1, _tiles_at_once(image.device)
    colours = tiles.gather(image)
    candidates = torch.cat([cell_basis(c, f) for c, f in zip(colours.split(at_once), free.split(at_once), strict=True)])
    single = torch.full((tiles.count, 4), -1, dtype=torch.int32, device=image.device)  # without neighbours
    single[:, 0] = torch.arange(tiles.count, device=image.device)
    vectors, values, basis = [], [], []
    for chunk in range(0, tiles.count, at_once):
        part = slice(chunk, chunk + at_once)
        inside = _ops.tile_energy(image, candidates, tiles.tiles[part], single[part], eps, learning_based, False)[0]
        cells = _by_cell(candidates[part])  # (m, cells, pixels, K)
        weight = torch.where(free[part], data_weight[part], 0)
        if bool((weight > 0).any()):
            pixels = _by_cell(weight[:, None]) * cells  # (m, cells, pixels, K)
            own = (pixels.mT.double() @ cells.double()).permute(0, 2, 3, 1)
            inside.unflatten(2, (CELLS, k)).unflatten(1, (CELLS, k)).diagonal(dim1=1, dim2=3).add_(own)
        v = lowest(inside / MAX_WINDOWS, (cells != 0).any(2).flatten(1), MAX_TILE_FUNCTIONS, TILE_THRESHOLD)
        exist = (v != 0).any(1)
        vectors.append(v.to(image.dtype))
        v = v.double()
        values.append(v.mT @ (inside @ v))
        pixels = (cells.double() @ v.unflatten(1, (CELLS, k))).permute(0, 3, 1, 2)  # (m, F, cells, pixels)
        basis.append(_by_row(pixels)[exist].to(image.dtype))
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
        *_interfaces(image, tiles, grid, candidates, vector, eps, learning_based),
        gather_padded(traces, places),
    )
    return LocalBasis(torch.cat(basis), starts, energies)


def _tiles_at_once(device: torch.device) -> int:
    return TILES_AT_ONCE.get(device.type, TILES_AT_ONCE["cpu"])


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


def _interfaces(
    image: Tensor, tiles: Tiles, grid: Grid, candidates: Tensor, vector: Tensor, eps: float, learning_based: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """``right``, ``below`` and ``corner`` of :class:`BlockEnergies`."""
    k, size, at_once = image.shape[1] + 1, vector.shape[2], _tiles_at_once(image.device)
    n, row, column = grid.image, grid.row, grid.column
    anchor_tiles = torch.stack([n, row, column], 1).int()
    corner_tiles = torch.stack([tiles.at(n, row + dy, column + dx) for dy in (0, 1) for dx in (0, 1)], 1)
    # One more tile without basis functions, at -1, for the corner tiles that do not exist.
    cell_vectors = torch.cat([vector, vector.new_zeros(1, *vector.shape[1:])]).unflatten(1, (ACROSS, ACROSS, k))
    right = vector.new_zeros(grid.count, 2, 2, size, size)
    below = torch.zeros_like(right)
    corner = vector.new_zeros(grid.count, 4, 4, k, k)
    for chunk in range(0, grid.count, at_once):
        part = slice(chunk, chunk + at_once)
        energies = _ops.tile_energy(
            image, candidates, anchor_tiles[part], corner_tiles[part], eps, learning_based, True
        )
        a, b, c, _ = corner_tiles[part].long().unbind(1)
        sides = ((cell_vectors[a, :, 3], cell_vectors[b, :, 0]), (cell_vectors[a, 3], cell_vectors[c, 0]))
        for out, energy, side in zip((right, below), energies[:2], sides, strict=True):
            half = energy.shape[1] // 2
            blocks = energy.unflatten(2, (2, half)).unflatten(1, (2, half))
            first, second = (cells.flatten(1, 2).double() for cells in side)
            out[part, 0, 0] = (first.mT @ (blocks[:, 0, :, 0] @ first)).to(out.dtype)
            out[part, 1, 1] = (second.mT @ (blocks[:, 1, :, 1] @ second)).to(out.dtype)
            out[part, 0, 1] = (first.mT @ (blocks[:, 0, :, 1] @ second)).to(out.dtype)
            out[part, 1, 0] = out[part, 0, 1].mT
        corner[part] = energies[2].unflatten(2, (4, k)).unflatten(1, (4, k)).transpose(2, 3).to(corner.dtype)
    return right, below, corner
