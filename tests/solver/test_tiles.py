"""Maps in tiles, and which tiles a solve may leave out."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from helpers.oracle import dense_laplacian
from scipy.sparse.linalg import spsolve

from closedform_wsss.functional import solve_matting
from closedform_wsss.solver.tiles import SIDE, Tiles, active_tiles


@pytest.fixture
def tiles():
    torch.manual_seed(1)
    return Tiles(torch.rand(2, 3, 4) < 0.6, 40, 57)


def test_gather_and_scatter(tiles):
    maps = torch.randn(2, 3, 40, 57)
    values = tiles.gather(maps)
    assert values.shape == (tiles.count, 3, SIDE, SIDE)
    expected = torch.zeros(2, 3, 40, 57)
    for (n, row, column), tile in zip(tiles.tiles.tolist(), values, strict=True):
        y, x = SIDE * row, SIDE * column
        part = maps[n, :, y : y + SIDE, x : x + SIDE]
        assert torch.equal(tile[:, : part.shape[1], : part.shape[2]], part)
        assert (tile[:, part.shape[1] :] == 0).all() and (tile[:, :, part.shape[2] :] == 0).all()
        expected[n, :, y : y + SIDE, x : x + SIDE] = part
    before = maps.clone()
    assert torch.equal(tiles.scatter(values, torch.zeros_like(maps)), expected)
    assert torch.equal(tiles.scatter(values, maps), before) and torch.equal(maps, before)


def test_scatter_leaves_its_argument_alone():
    """Where no tile reaches beyond the image too."""
    tiles = Tiles(torch.ones(1, 2, 2, dtype=torch.bool), 32, 32)
    maps = torch.zeros(1, 1, 32, 32)
    tiles.scatter(torch.ones(4, 1, SIDE, SIDE), maps)
    assert (maps == 0).all()


def test_neighbours(tiles):
    place = {tuple(tile): i for i, tile in enumerate(tiles.tiles.tolist())}
    for (n, row, column), around in zip(tiles.tiles.tolist(), tiles.neighbours.tolist(), strict=True):
        expected = [place.get((n, row + dy, column + dx), -1) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        assert around == expected


def test_sums_and_maxima_of_images(tiles):
    values = torch.rand(tiles.count, 3)
    image = tiles.image
    for n in range(2):
        torch.testing.assert_close(tiles.sum_images(values)[n], values[image == n].sum(0))
        assert torch.equal(tiles.max_images(values)[n], values[image == n].amax(0))
    few = Tiles(
        torch.tensor([[[True, False]], [[False, False]], [[True, True]]]), 8, 20
    )  # and none of the second image
    assert few.sum_images(torch.tensor([[1.0], [2.0], [4.0]])).flatten().tolist() == [1, 0, 6]
    assert few.max_images(torch.tensor([[1.0], [2.0], [4.0]])).flatten().tolist() == [1, 0, 4]
    empty = Tiles(torch.zeros(2, 1, 1, dtype=torch.bool), 8, 8)
    assert (empty.max_images(torch.zeros(0, 3)) == 0).all() and empty.max_images(torch.zeros(0, 3)).shape == (2, 3)


def trimap(size=(70, 118)):
    """Mostly known; two classes touch without unknown pixels between them at the bottom."""
    marks = torch.full((1, *size), 0)
    marks[:, :, 60:] = 1
    marks[:, 20:34, 52:66] = -1
    return marks


def photograph(height, width):
    """Two colours with noise, and the Laplacian from the dense construction."""
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.1
    image[..., width // 2 - 1 :] += 0.5
    return image, sp.csc_array(dense_laplacian(image[0].numpy(), 1e-7))


def largest_error(image, L, marks, mark_weight, tol):
    """The largest error of a solve that leaves tiles out, against a solve of all pixels."""
    alpha = solve_matting(torch.where(marks < 0, 255, marks), image, mark_weight=mark_weight, tol=tol).alpha
    D = mark_weight * (marks >= 0).double().numpy().ravel()
    expected = spsolve(L + sp.diags(D, format="csc"), D * (marks == 1).numpy().ravel())
    return np.abs(alpha[0, 1].numpy().ravel() - expected).max()


@pytest.fixture(scope="module")
def problem():
    marks = trimap()
    return *photograph(*marks.shape[1:]), marks


@pytest.mark.parametrize(("mark_weight", "fewest"), [(1e4, 18), (100.0, 12), (25.0, 1), (1.0, 0)])
def test_tiles_left_out_do_not_matter(mark_weight, fewest, problem):
    image, L, marks = problem
    chosen = active_tiles(marks, mark_weight, 1e-4)
    assert chosen[:, 1:3, 3:5].all() and chosen.any(1).any(1).all()
    assert int((~chosen).sum()) >= fewest
    assert largest_error(image, L, marks, mark_weight, 1e-3) < 1e-3


def test_the_margin_follows_the_tolerance():
    """Just one tile is unknown; the tiles beside it alone would give an error of 1e-5."""
    marks = torch.zeros(1, 64, 112, dtype=torch.long)
    marks[:, :, 56:] = 1
    marks[:, 16:32, 48:64] = -1
    assert largest_error(*photograph(64, 112), marks, 10.0, 1e-8) < 1e-8


def test_everything_is_settled():
    """One class on all pixels: no active tile."""
    assert not active_tiles(torch.ones(1, 40, 40, dtype=torch.long), 100.0, 1e-4).any()


def test_marks_without_confidence_are_no_marks():
    target = torch.zeros(1, 48, 48, dtype=torch.long)
    target[:, :, 24:] = 1
    mark_weight = torch.full((1, 48, 48), 100.0)
    mark_weight[:, :, 10:40] = 0
    image = torch.rand(1, 3, 48, 48, dtype=torch.float64)
    alpha = solve_matting(target, image, mark_weight=mark_weight.double(), tol=1e-6).alpha
    D = mark_weight.double().numpy().ravel()
    L = dense_laplacian(image[0].numpy(), 1e-7)
    expected = np.linalg.solve(L + np.diag(D), D * (target == 1).numpy().ravel())
    assert np.abs(alpha[0, 1].numpy().ravel() - expected).max() < 1e-5
