"""Lists of cells: where they are, their neighbours, and the next coarser list."""

import torch

from closedform_wsss.solver.grid import Grid


def cells(grid):
    return list(zip(grid.image.tolist(), grid.row.tolist(), grid.column.tolist(), strict=True))


def test_neighbours_upper_left_cells_and_squares():
    torch.manual_seed(0)
    chosen = torch.rand(2, 5, 7) < 0.4
    grid = Grid(chosen)
    place = {cell: i for i, cell in enumerate(cells(grid))}
    assert list(place) == sorted(place) and grid.count == int(chosen.sum())
    for (n, row, column), around in zip(place, grid.neighbours.tolist(), strict=True):
        expected = [place.get((n, row + dy, column + dx), -1) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        assert around == expected

    expected = {(n, r - dy, c - dx) for n, r, c in place for dy in (0, 1) for dx in (0, 1)}
    assert cells(grid.with_upper_left_neighbours()) == sorted(cell for cell in expected if min(cell) >= 0)

    coarser = grid.coarser()
    assert cells(coarser) == sorted({(n, (r + 1) // 2, (c + 1) // 2) for n, r, c in place})  # 5 rows, 7 columns
    for (n, row, column), children in zip(cells(coarser), coarser.squares(grid).tolist(), strict=True):
        expected = [place.get((n, 2 * row + dy, 2 * column + dx), -1) for dy in (-1, 0) for dx in (-1, 0)]
        assert children == expected


def test_nothing_chosen():
    grid = Grid(torch.zeros(1, 3, 3, dtype=torch.bool))
    assert grid.count == grid.coarser().count == grid.with_upper_left_neighbours().count == 0
