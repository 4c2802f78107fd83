"""x^T L x of functions in cells of 4 x 4 pixels; the twin of ``csrc/cpu/tile_energy.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.matting_window import window_block
from closedform_wsss._common.stencil_layout import TAPS
from closedform_wsss._common.tile_layout import SIDE, gather_padded

CELL = 4
SEAM = SIDE - CELL  # the first row or column of the last cells of a tile
FIRST = SIDE - 2  # and of the windows that cross a seam
AT_ONCE = 2048  # owners; each takes about 150 KB on the way


def tile_energy(
    image: Tensor, basis: Tensor, owners: Tensor, members: Tensor, eps: float, learning_based: bool, seams: bool
) -> tuple[Tensor, ...]:
    """Energies of the windows of tiles in an image ``(N, D, H, W)``, float64.

    Basis ``(B, K, 16, 16)``; owners ``(M, 3)``: image, tile row, tile column; members ``(M, 4)``: places in basis of
    the tiles at, right of, below and diagonally below each, or -1. Returns, with the functions ordered cell by cell,

    - without seams: ``(M, 16 K, 16 K)``, of the windows inside of the tile, cells row by row;
    - with them: ``(M, 8 K, 8 K)``, of the windows across the seam on the right, cells column by column;
      ``(M, 8 K, 8 K)``, below, row by row; ``(M, 4 K, 4 K)``, at the corner.
    """
    parts = [
        _energies(image, basis, *some, eps, learning_based, seams)
        for some in zip(owners.split(AT_ONCE), members.split(AT_ONCE), strict=True)
    ]
    return parts[0] if len(parts) == 1 else tuple(torch.cat(part) for part in zip(*parts, strict=True))


def _energies(
    image: Tensor, basis: Tensor, owners: Tensor, members: Tensor, eps: float, learning_based: bool, seams: bool
) -> tuple[Tensor, ...]:
    h, w = image.shape[-2:]
    number, row, column = owners.long().unbind(1)
    # The pixels of the windows that are a tile's own, and which of the windows exist.
    reach = torch.arange(SIDE + 2, device=image.device)
    rows, columns = SIDE * row[:, None] + reach, SIDE * column[:, None] + reach
    colours = image[number[:, None, None], :, rows.clamp(max=h - 1)[:, :, None], columns.clamp(max=w - 1)[:, None]]
    colours = colours.movedim(3, 1).double()
    exists = (rows[:, 2:] < h)[:, :, None] & (columns[:, 2:] < w)[:, None]

    def energy(top: int, left: int, bottom: int, right: int, values: Tensor) -> Tensor:
        windows = (..., slice(top, bottom - 2), slice(left, right - 2))
        pixels = (..., slice(top, bottom), slice(left, right))
        return _energy(colours[pixels], exists[windows], values, top % CELL, left % CELL, eps, learning_based)

    def tile(member: int) -> Tensor:
        return gather_padded(basis, members[:, member]).double()

    own = tile(0)
    if not seams:
        return (_matrix(energy(0, 0, SIDE, SIDE, own)),)
    across = torch.cat([own[..., SEAM:], tile(1)[..., :CELL]], 3)
    down = torch.cat([own[..., SEAM:, :], tile(2)[..., :CELL, :]], 2)
    corners = torch.cat([tile(2)[..., :CELL, SEAM:], tile(3)[..., :CELL, :CELL]], 3)
    corners = torch.cat([across[..., SEAM:, :], corners], 2)
    end = SIDE + 2
    return (
        _matrix(energy(0, FIRST, SIDE, end, across), by_column=True),
        _matrix(energy(FIRST, 0, end, SIDE, down)),
        _matrix(energy(FIRST, FIRST, end, end, corners)),
    )


def _matrix(energy: Tensor, by_column: bool = False) -> Tensor:
    m, rows, columns, k = energy.shape[:4]
    if by_column:
        energy = energy.transpose(1, 2).transpose(4, 5)
    return energy.reshape(m, rows * columns * k, rows * columns * k)


def _energy(
    colours: Tensor, exists: Tensor, values: Tensor, top: int, left: int, eps: float, learning_based: bool
) -> Tensor:
    """Energies ``(M, R, S, K, R, S, K)`` of functions in R x S cells, values ``(M, K, 4 R, 4 S)``.

    The windows are those of the pixels colours ``(M, D, y, x)``, the first of which is (top, left) of the cells.
    """
    m, k, height, width = values.shape
    y, x = exists.shape[1:]
    block = window_block(colours, eps, learning_based)
    energy = values.new_zeros(m, height // CELL, width // CELL, k, height // CELL, width // CELL, k)
    padded = torch.nn.functional.pad(values, (2, 2, 0, 2))
    # Each pair of pixels once, and half of those of a pixel with itself: the transpose has the others.
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
    """By how many cells the pixels of a cell move, if they move by ``shift`` pixels."""
    cells = [(-1, slice(0, -shift)), (0, slice(max(-shift, 0), CELL - max(shift, 0))), (1, slice(CELL - shift, CELL))]
    return [(cell, pixels) for cell, pixels in cells if cell * shift > 0 or cell == 0]


def _add_pairs(energy: Tensor, pairs: Tensor, down: int, right: int) -> None:
    """Add pairs ``(M, K, K, R, S)`` between each cell and the one ``down`` and ``right`` of it."""
    rows, columns = pairs.shape[3:]
    r = torch.arange(rows - down, device=pairs.device)[:, None]
    s = torch.arange(max(-right, 0), columns - max(right, 0), device=pairs.device)
    energy[:, r, s, :, r + down, s + right] += pairs[:, :, :, r, s].permute(3, 4, 0, 1, 2)
