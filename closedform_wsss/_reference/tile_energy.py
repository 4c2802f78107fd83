"""x^T L x of basis functions in cells of 4 x 4 pixels: the reference of ``csrc/cpu/tile_energy.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.matting_window import window_block
from closedform_wsss._common.stencil_layout import TAPS
from closedform_wsss._common.tile_layout import CELL, SIDE, gather_padded

LAST_CELL = SIDE - CELL  # first row or column of the last cells of a tile
CROSSING = SIDE - 2  # first row or column of the windows that cross an interface
TILES_AT_ONCE = 8192  # each needs about 150 KB


def tile_energy(
    image: Tensor,
    basis: Tensor,
    anchor_tiles: Tensor,
    corner_tiles: Tensor,
    eps: float,
    learning_based: bool,
    interfaces: bool,
) -> tuple[Tensor, ...]:
    """Energies of the windows that belong to some tiles of an image ``(N, D, H, W)``, float64.

    Args:
        image: ``(N, D, H, W)``.
        basis: ``(B, K, 16, 16)``.
        anchor_tiles: ``(M, 3)``: image, tile row, tile column.
        corner_tiles: ``(M, 4)``: places in basis of the tiles at, right of, below and diagonally below each, or -1.
        eps, learning_based: Options of the Laplacian.
        interfaces: Which windows.

    Returns:
        Matrices with the basis functions ordered cell by cell. Without interfaces: ``(M, 16 K, 16 K)`` of the windows
        inside the tile, cells row by row. With them: ``(M, 8 K, 8 K)`` of the windows across the right interface, cells
        column by column; ``(M, 8 K, 8 K)`` across the one below, cells row by row; ``(M, 4 K, 4 K)`` on the corner.
    """
    parts = [
        _energies(image, basis, *some, eps, learning_based, interfaces)
        for some in zip(anchor_tiles.split(TILES_AT_ONCE), corner_tiles.split(TILES_AT_ONCE), strict=True)
    ]
    return parts[0] if len(parts) == 1 else tuple(torch.cat(part) for part in zip(*parts, strict=True))


def _energies(
    image: Tensor,
    basis: Tensor,
    anchor_tiles: Tensor,
    corner_tiles: Tensor,
    eps: float,
    learning_based: bool,
    interfaces: bool,
) -> tuple[Tensor, ...]:
    h, w = image.shape[-2:]
    number, row, column = anchor_tiles.long().unbind(1)
    # The pixels of the windows that belong to a tile, and whether each window exists.
    reach = torch.arange(SIDE + 2, device=image.device)
    rows, columns = SIDE * row[:, None] + reach, SIDE * column[:, None] + reach
    colours = image[number[:, None, None], :, rows.clamp(max=h - 1)[:, :, None], columns.clamp(max=w - 1)[:, None]]
    colours = colours.movedim(3, 1).double()
    exists = (rows[:, 2:] < h)[:, :, None] & (columns[:, 2:] < w)[:, None]

    def energy(top: int, left: int, bottom: int, right: int, values: Tensor) -> Tensor:
        windows = (..., slice(top, bottom - 2), slice(left, right - 2))
        pixels = (..., slice(top, bottom), slice(left, right))
        return _energy(colours[pixels], exists[windows], values, top % CELL, left % CELL, eps, learning_based)

    def tile(corner: int) -> Tensor:
        return gather_padded(basis, corner_tiles[:, corner]).double()

    own = tile(0)
    if not interfaces:
        return (_matrix(energy(0, 0, SIDE, SIDE, own)),)
    across = torch.cat([own[..., LAST_CELL:], tile(1)[..., :CELL]], 3)
    down = torch.cat([own[..., LAST_CELL:, :], tile(2)[..., :CELL, :]], 2)
    corners = torch.cat([tile(2)[..., :CELL, LAST_CELL:], tile(3)[..., :CELL, :CELL]], 3)
    corners = torch.cat([across[..., LAST_CELL:, :], corners], 2)
    end = SIDE + 2
    return (
        _matrix(energy(0, CROSSING, SIDE, end, across), by_column=True),
        _matrix(energy(CROSSING, 0, end, SIDE, down)),
        _matrix(energy(CROSSING, CROSSING, end, end, corners)),
    )


def _matrix(energy: Tensor, by_column: bool = False) -> Tensor:
    m, rows, columns, k = energy.shape[:4]
    if by_column:
        energy = energy.transpose(1, 2).transpose(4, 5)
    return energy.reshape(m, rows * columns * k, rows * columns * k)


def _energy(
    colours: Tensor, exists: Tensor, values: Tensor, top: int, left: int, eps: float, learning_based: bool
) -> Tensor:
    """Energies ``(M, R, S, K, R, S, K)`` of basis functions in R x S cells, values ``(M, K, 4 R, 4 S)``.

    The windows lie in the pixels colours ``(M, D, y, x)``, which begin at (top, left) of the cells.
    """
    m, k, height, width = values.shape
    y, x = exists.shape[1:]
    block = window_block(colours, eps, learning_based)
    energy = values.new_zeros(m, height // CELL, width // CELL, k, height // CELL, width // CELL, k)
    padded = torch.nn.functional.pad(values, (2, 2, 0, 2))
    # Each pair of pixels once, and half of each pixel with itself: the transpose adds the rest.
    for dy, dx in [(0, 0), *TAPS]:
        plane = values.new_zeros(m, height, width)
        for p in range(9):
            py, px = divmod(p, 3)
            if py + dy <= 2 and 0 <= px + dx <= 2:
                entry = torch.where(exists, block(p, p + 3 * dy + dx), 0.0)
                plane[:, top + py : top + py + y, left + px : left + px + x] += entry
        if (dy, dx) == (0, 0):
            plane /= 2
        partner = padded[:, None, :, dy : dy + height, 2 + dx : 2 + dx + width]
        pairs = (values * plane[:, None])[:, :, None] * partner
        pairs = pairs.unflatten(4, (-1, CELL)).unflatten(3, (-1, CELL))  # (M, K, K, R, 4, S, 4)
        for down, rows in _partner_cells(dy):
            for right, columns in _partner_cells(dx):
                _add_pairs(energy, pairs[:, :, :, :, rows, :, columns].sum((4, 6)), down, right)
    return energy + energy.permute(0, 4, 5, 6, 1, 2, 3)


def _partner_cells(shift: int) -> list[tuple[int, slice]]:
    """The shifts in cells, and the pixels of a cell for which ``shift`` pixels is each of these."""
    cells = [(-1, slice(0, -shift)), (0, slice(max(-shift, 0), CELL - max(shift, 0))), (1, slice(CELL - shift, CELL))]
    return [(cell, pixels) for cell, pixels in cells if cell * shift > 0 or cell == 0]


def _add_pairs(energy: Tensor, pairs: Tensor, down: int, right: int) -> None:
    """Add pairs ``(M, K, K, R, S)`` between each cell and the one ``down`` and ``right`` of it."""
    rows, columns = pairs.shape[3:]
    r = torch.arange(rows - down, device=pairs.device)[:, None]
    s = torch.arange(max(-right, 0), columns - max(right, 0), device=pairs.device)
    energy[:, r, s, :, r + down, s + right] += pairs[:, :, :, r, s].permute(3, 4, 0, 1, 2)
