"""Energies of functions in cells: the kernel and its reference against window blocks, added one by one."""

import numpy as np
import pytest
import torch
from helpers import oracle
from helpers.tiles import tile_list, to_tiles
from torch.library import opcheck

from closedform_wsss import MattingLaplacian, _ops, _reference

EPS = 1e-4
SIZES = [(3, 3), (5, 40), (17, 18), (18, 33), (32, 32), (35, 29)]
KINDS = ["closed_form", "learning_based"]
SIDE, CELL, ACROSS = 16, 4, 4
PARTS = ("inside", "right", "below", "corner")
CELLS = {"inside": 16, "right": 8, "below": 8, "corner": 4}


def problem(size, channels=3, dtype=torch.float64, n=2, fraction=0.7):
    """Image, basis, anchor_tiles and corner_tiles; the tiles of basis, in any order, are the anchor_tiles."""
    image = torch.rand(n, channels, *size, dtype=dtype)
    anchor_tiles, neighbours = tile_list(n, *size, fraction)
    basis = torch.randn(len(anchor_tiles), channels + 1, SIDE, SIDE, dtype=dtype)
    return image, basis, anchor_tiles, neighbours[:, [4, 5, 7, 8]].contiguous()


def energies(arguments, kind, run=_ops.tile_energy, eps=EPS):
    """(M, size, size) of every part."""
    learning_based = kind == "learning_based"
    inside, *others = (run(*arguments, eps, learning_based, interfaces) for interfaces in (False, True))
    return dict(zip(PARTS, [*inside, *others[0]], strict=True))


def place(part, row, column):
    """The tile of a cell among the corner tiles, and its place in a part; cells count from the anchor tile's first."""
    own = {
        "inside": ACROSS * row + column,
        "right": ACROSS * (column - 3) + row,
        "below": ACROSS * (row - 3) + column,
        "corner": 2 * (row - 3) + column - 3,
    }[part]
    return 2 * (row // ACROSS) + column // ACROSS, own


def naive(image, basis, anchor_tiles, corner_tiles, kind):
    """The definition, with numpy: the block of each window, between the functions at its nine pixels."""
    image, basis, anchor_tiles, corner_tiles = (t.numpy(force=True) for t in (image, basis, anchor_tiles, corner_tiles))
    k, (h, w) = basis.shape[1], image.shape[2:]
    result = {part: np.zeros((len(anchor_tiles), CELLS[part] * k, CELLS[part] * k)) for part in PARTS}
    for t, (n, row, column) in enumerate(anchor_tiles):
        y0, x0 = SIDE * row, SIDE * column
        for cy in range(y0 + 1, min(y0 + SIDE, h - 2) + 1):
            for cx in range(x0 + 1, min(x0 + SIDE, w - 2) + 1):
                block = oracle.dense_laplacian(image[n, :, cy - 1 : cy + 2, cx - 1 : cx + 2], EPS, kind=kind)
                part = PARTS[(cx - x0 >= 15) + 2 * (cy - y0 >= 15)]
                P = np.zeros((9, CELLS[part] * k))
                for i in range(9):
                    y, x = cy - y0 - 1 + i // 3, cx - x0 - 1 + i % 3
                    corner_tile, own = place(part, y // CELL, x // CELL)
                    if corner_tiles[t, corner_tile] >= 0:
                        P[i, own * k : (own + 1) * k] = basis[corner_tiles[t, corner_tile], :, y % SIDE, x % SIDE]
                result[part][t] += P.T @ block @ P
    return result


def assert_all_close(got, expected, tolerance):
    for part in PARTS:
        assert got[part].dtype == torch.float64
        other = torch.as_tensor(expected[part], device=got[part].device)
        torch.testing.assert_close(got[part], other, rtol=0, atol=tolerance, msg=lambda m, p=part: f"{p}: {m}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_single_windows(level, size, channels, kind):
    arguments = problem(size, channels)
    expected = naive(*arguments, kind)
    assert_all_close(energies(arguments, kind), expected, 1e-9)
    assert_all_close(energies(arguments, kind, _reference.tile_energy), expected, 1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_reference(level, channels, kind, dtype):
    """In float64, whatever it reads."""
    arguments = problem((70, 53), channels, dtype)
    assert_all_close(energies(arguments, kind), energies(arguments, kind, _reference.tile_energy), 1e-10)
    doubled = arguments[0].double(), arguments[1].double(), *arguments[2:]
    assert_all_close(energies(arguments, kind), energies(doubled, kind), 1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_all_parts_together_are_the_matrix_of_the_image(level, size, channels, kind):
    image, basis, anchor_tiles, corner_tiles = problem(size, channels, n=1, fraction=1.0)
    L, k, count = MattingLaplacian(image, kind=kind, eps=EPS).to_scipy(0), channels + 1, len(anchor_tiles)
    # Functions: tile, cell, k.
    pixel_cells = np.arange(16).reshape(4, 4).repeat(CELL, 0).repeat(CELL, 1)
    values = np.zeros((count, *size, 16, k))
    for t in range(count):
        _, row, column = anchor_tiles[t].tolist()
        rows, columns = np.arange(SIDE) + SIDE * row, np.arange(SIDE) + SIDE * column
        y, x = np.nonzero((rows < size[0])[:, None] & (columns < size[1]))
        values[t, rows[y], columns[x], pixel_cells[y, x]] = basis[t, :, y, x].numpy(force=True).T
    P = values.transpose(1, 2, 0, 3, 4).reshape(size[0] * size[1], -1)
    assembled = np.zeros((P.shape[1], P.shape[1])).reshape(count, 16, k, count, 16, k)
    for part, matrices in energies((image, basis, anchor_tiles, corner_tiles), kind).items():
        cells = CELLS[part]
        matrices = matrices.numpy(force=True).reshape(count, cells, k, cells, k)
        first = {"inside": (0, 0), "right": (0, 3), "below": (3, 0), "corner": (3, 3)}[part]
        shape = {"inside": (4, 4), "right": (4, 2), "below": (2, 4), "corner": (2, 2)}[part]
        grid = [(first[0] + i // shape[1], first[1] + i % shape[1]) for i in range(cells)]
        for t in range(count):
            for a_row, a_column in grid:
                tile_a, a = place(part, a_row, a_column)
                for b_row, b_column in grid:
                    tile_b, b = place(part, b_row, b_column)
                    i, j = int(corner_tiles[t, tile_a]), int(corner_tiles[t, tile_b])
                    if i < 0 or j < 0:
                        assert (matrices[t, a, :, b] == 0).all()
                        continue
                    cell_a, cell_b = (4 * (r % 4) + c % 4 for r, c in ((a_row, a_column), (b_row, b_column)))
                    assembled[i, cell_a, :, j, cell_b] += matrices[t, a, :, b]
    np.testing.assert_allclose(assembled.reshape(P.shape[1], -1), P.T @ (L @ P), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_symmetric_and_positive(level, kind):
    for matrices in energies(problem((35, 40)), kind).values():
        torch.testing.assert_close(matrices, matrices.mT, rtol=0, atol=1e-11)
        assert torch.linalg.eigvalsh(matrices).min() > -1e-10


def test_what_is_affine_in_colour_has_no_energy(level):
    size = (35, 40)
    image, _, anchor_tiles, corner_tiles = problem(size, n=1, fraction=1.0)
    basis = torch.cat([torch.ones_like(image[:, :1]), image], 1)
    arguments = image, to_tiles(basis, anchor_tiles), anchor_tiles, corner_tiles
    everywhere = torch.eye(4, dtype=torch.float64)
    for part, matrices in energies(arguments, "closed_form", eps=1e-9).items():
        complete = (corner_tiles >= 0).all(1)
        matrices = matrices[complete]
        same_in_all_cells = everywhere.repeat(CELLS[part], 1)
        assert len(matrices) > 0 and matrices.abs().max() > 0.1
        assert (same_in_all_cells.T @ matrices @ same_in_all_cells).abs().max() < 1e-6


def test_other_tiles_of_basis_do_not_count(level):
    arguments = image, basis, anchor_tiles, corner_tiles = problem((35, 40))
    expected = energies(arguments, "closed_form")
    spoiled = torch.cat([basis, torch.full_like(basis[:2], torch.nan)])
    assert_all_close(energies((image, spoiled, anchor_tiles, corner_tiles), "closed_form"), expected, 0)
    spoiled = basis.clone()
    spoiled[corner_tiles[0, 1:].clamp_min(0).long()] = torch.nan
    spoiled[corner_tiles[0, 0].long()] = basis[corner_tiles[0, 0].long()]
    (inside,) = _ops.tile_energy(image, spoiled, anchor_tiles[:1], corner_tiles[:1], EPS, False, False)
    torch.testing.assert_close(inside, expected["inside"][:1], rtol=0, atol=0)


def test_no_tiles(level):
    image, basis, anchor_tiles, corner_tiles = problem((20, 33), 1)
    for run in (_ops.tile_energy, _reference.tile_energy):
        nothing = energies((image, basis, anchor_tiles[:0], corner_tiles[:0]), "closed_form", run)
        assert {part: tuple(m.shape) for part, m in nothing.items()} == {p: (0, 2 * c, 2 * c) for p, c in CELLS.items()}


def test_reference_takes_some_tiles_at_once(monkeypatch):
    arguments = problem((70, 53), 1)
    expected = energies(arguments, "closed_form", _reference.tile_energy)
    monkeypatch.setitem(_reference.tile_energy.__globals__, "TILES_AT_ONCE", 3)
    assert len(arguments[2]) > 6
    assert_all_close(energies(arguments, "closed_form", _reference.tile_energy), expected, 1e-11)


def test_same_bits_for_any_number_of_threads(threads):
    arguments = problem((70, 90))
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(energies(arguments, "closed_form"))
    assert all(torch.equal(results[0][part], other[part]) for other in results[1:] for part in PARTS)


@pytest.mark.parametrize("interfaces", [False, True])
def test_opcheck(interfaces):
    opcheck(_ops.tile_energy.default, (*problem((5, 40), dtype=torch.float32), EPS, True, interfaces))
