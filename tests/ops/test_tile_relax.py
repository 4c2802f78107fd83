"""A step of relaxation on tiles: the kernel against dense matrices and its reference implementation."""

import pytest
import torch
from helpers import oracle
from helpers.tiles import SIZES, outcome, stencil_problem, tile_list, to_maps, to_tiles
from torch.library import opcheck

from closedform_wsss import _ops, _reference

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}


def relax(stencil, tiles, neighbours, diagonal, x, b, weight, size, run=_ops.tile_relax):
    return outcome(run, _ops.tile_relax, (stencil, tiles, neighbours, diagonal, x, b, weight, x, *size))


def assert_close(got, expected):
    scale = expected.abs().max()
    torch.testing.assert_close(got / scale, expected / scale, rtol=0, atol=TOLERANCE[expected.dtype])


@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_a_dense_matrix(level, size):
    n = 2
    image, marks = torch.rand(n, 3, *size, dtype=torch.float64), torch.rand(n, 1, *size, dtype=torch.float64)
    stencil, _ = _ops.matting_stencil(image, 1e-4, False)
    tiles, neighbours = tile_list(n, *size)
    x, b = (to_tiles(torch.randn(n, 2, *size, dtype=torch.float64), tiles) for _ in range(2))
    diagonal, weight = (to_tiles(v, tiles)[:, 0].contiguous() for v in (marks, torch.rand_like(marks)))
    got = relax(stencil, tiles, neighbours, diagonal, x, b, weight, size)
    maps = to_maps(x, tiles, n, *size)
    for i in range(n):
        A = torch.from_numpy(oracle.dense_laplacian(image[i].numpy(force=True), 1e-4)).to(x.device)
        A += marks[i].flatten().diag()
        maps[i] = (maps[i].flatten(1) @ A).reshape(maps[i].shape)
    expected = x + weight[:, None] * (b - to_tiles(maps, tiles))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [*SIZES, (70, 133)])
@pytest.mark.parametrize("classes", [1, 3, 21])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_reference_and_product(level, size, classes, dtype):
    stencil, tiles, neighbours, diagonal, x, b, weight = stencil_problem(size, classes, dtype)
    for d in (None, diagonal):
        got = relax(stencil, tiles, neighbours, d, x, b, weight, size)
        assert_close(got, relax(stencil, tiles, neighbours, d, x, b, weight, size, _reference.tile_relax))
        Ax = outcome(_ops.tile_product, _ops.tile_product, (stencil, tiles, neighbours, d, x, x, *size))
        assert_close(got, x + weight[:, None] * (b - Ax))


@pytest.mark.parametrize("size", SIZES)
def test_exactly_zero_beyond_the_image(level, size):
    arguments = stencil_problem(size)
    inside = to_tiles(torch.ones(2, 1, *size), arguments[1])
    assert (relax(*arguments, size) * (1 - inside) == 0).all()


def test_relaxation_goes_to_the_solution(level):
    size = (20, 35)
    stencil, tiles, neighbours, _, x, b, _ = stencil_problem(size, 2, torch.float64, fraction=1.0)
    inside = to_tiles(torch.ones(2, 1, *size, dtype=torch.float64), tiles)[:, 0]
    diagonal = 4 * inside
    weight = 0.1 * inside
    for _ in range(300):
        x = relax(stencil, tiles, neighbours, diagonal, x, b, weight, size)
    Ax = outcome(_ops.tile_product, _ops.tile_product, (stencil, tiles, neighbours, diagonal, x, x, *size))
    torch.testing.assert_close(Ax, b)


def test_no_tiles(level):
    stencil, *of_tiles = stencil_problem((20, 20))
    nothing = stencil, *(a[:0] for a in of_tiles)
    for run in (_ops.tile_relax, _reference.tile_relax):
        assert relax(*nothing, (20, 20), run).shape == (0, 3, 16, 16)


def test_no_classes(level):
    *operator, x, b, weight = stencil_problem((20, 20))
    got = relax(*operator, x[:, :0].contiguous(), b[:, :0].contiguous(), weight, (20, 20))
    assert got.shape == (len(x), 0, 16, 16)


def test_same_bits_for_any_number_of_threads(threads):
    size = (200, 150)
    arguments = stencil_problem(size)
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(relax(*arguments, size))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_opcheck():
    size = (5, 20)
    stencil, tiles, neighbours, diagonal, *maps = stencil_problem(size)
    for d in (None, diagonal):
        opcheck(_ops.tile_relax.default, (stencil, tiles, neighbours, d, *maps, torch.zeros_like(maps[0]), *size))
