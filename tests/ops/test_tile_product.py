"""The product on tiles: the kernel against dense matrices, the product of whole maps and its reference."""

import cuda_runner
import pytest
import torch
from helpers import oracle
from helpers.tiles import SIZES, outcome, stencil_problem, tile_list, to_maps, to_tiles
from torch.library import opcheck

from closedform_wsss import _ops, _reference

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}


def product(stencil, tiles, neighbours, diagonal, x, size, run=_ops.tile_product):
    return outcome(run, _ops.tile_product, (stencil, tiles, neighbours, diagonal, x, x, *size))


def assert_close(got, expected):
    scale = expected.abs().max()
    torch.testing.assert_close(got / scale, expected / scale, rtol=0, atol=TOLERANCE[expected.dtype])


@pytest.mark.parametrize("kind", ["closed_form", "learning_based"])
@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_a_dense_matrix(level, size, kind):
    n, classes, learning_based = 2, 2, kind == "learning_based"
    image = torch.rand(n, 3, *size, dtype=torch.float64)
    stencil, row_sums = _ops.matting_stencil(image, 1e-4, learning_based)
    tiles, neighbours = tile_list(n, *size)
    x = to_tiles(torch.randn(n, classes, *size, dtype=torch.float64), tiles)
    diagonal = to_tiles(row_sums[:, None], tiles)[:, 0].contiguous() if learning_based else None
    got = product(stencil, tiles, neighbours, diagonal, x, size)
    maps = to_maps(x, tiles, n, *size)
    for i in range(n):
        L = torch.from_numpy(oracle.dense_laplacian(image[i].numpy(force=True), 1e-4, kind=kind)).to(x.device)
        maps[i] = (maps[i].flatten(1) @ L).reshape(maps[i].shape)
    torch.testing.assert_close(got, to_tiles(maps, tiles), rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [*SIZES, (70, 133)])
@pytest.mark.parametrize("classes", [1, 3, 21])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_reference_and_with_whole_maps(level, size, classes, dtype):
    stencil, tiles, neighbours, diagonal, x, *_ = stencil_problem(size, classes, dtype)
    maps, marks = to_maps(x, tiles, 2, *size), to_maps(diagonal[:, None], tiles, 2, *size)[:, 0]
    for d, whole in ((None, None), (diagonal, marks.contiguous())):
        got = product(stencil, tiles, neighbours, d, x, size)
        assert_close(got, product(stencil, tiles, neighbours, d, x, size, _reference.tile_product))
        assert_close(got, to_tiles(_ops.matting_product(stencil, maps, whole), tiles))


@pytest.mark.parametrize("size", [*SIZES, (70, 133)])
@pytest.mark.parametrize("classes", [1, 3])
def test_float32_stencil_of_float64_maps(level, size, classes):
    """As exact as a float64 stencil of the same values."""
    stencil, tiles, neighbours, *others = stencil_problem(size, classes)
    diagonal, x = (v.double() for v in others[:2])
    for d in (None, diagonal):
        got = product(stencil, tiles, neighbours, d, x, size)
        assert_close(got, product(stencil.double(), tiles, neighbours, d, x, size))
        assert_close(got, product(stencil, tiles, neighbours, d, x, size, _reference.tile_product))


@pytest.mark.skipif(cuda_runner.why_not() is not None, reason=str(cuda_runner.why_not()))
def test_a_cuda_kernel_takes_float32_stencils_of_float64_maps():
    stencil, tiles, neighbours, diagonal, x, *_ = stencil_problem((20, 20))
    with cuda_runner.in_place_of_cpu_kernels() as kernels:
        product(stencil, tiles, neighbours, diagonal.double(), x.double(), (20, 20))
    assert kernels.called == {"tile_product_mixed"}


@pytest.mark.parametrize("size", SIZES)
def test_exactly_zero_for_constants_and_beyond_the_image(level, size):
    stencil, tiles, neighbours, diagonal, x, *_ = stencil_problem(size, fraction=1.0)
    inside = to_tiles(torch.ones(2, 1, *size), tiles)
    assert (product(stencil, tiles, neighbours, None, inside * torch.randn(3, 1, 1), size) == 0).all()
    assert (product(stencil, tiles, neighbours, diagonal, x, size) * (1 - inside) == 0).all()


def test_what_surrounds_the_stencil_does_not_count(level):
    """Rows below the image are not read, and an image's are not those of the next."""
    size = (19, 37)
    stencil, tiles, neighbours, diagonal, x, *_ = stencil_problem(size, n=3)
    expected = product(stencil, tiles, neighbours, diagonal, x, size)
    stencil[1] = torch.nan
    others = tiles[:, 0] != 1
    assert torch.equal(product(stencil, tiles, neighbours, diagonal, x, size)[others], expected[others])


def test_values_beyond_two_pixels_do_not_leak(level):
    size = (48, 64)
    stencil, tiles, neighbours, diagonal, x, *_ = stencil_problem(size, fraction=1.0)
    expected = product(stencil, tiles, neighbours, diagonal, x, size)
    maps = to_maps(x, tiles, 2, *size)
    for row, column in ((0, 0), (15, 17), (18, 47), (47, 63)):
        spoiled = maps.clone()
        spoiled[0, :, row, column] = torch.nan
        got = product(stencil, tiles, neighbours, diagonal, to_tiles(spoiled, tiles), size)
        near = torch.zeros(2, 1, *size)
        near[0, :, max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = 1
        near = to_tiles(near.expand(-1, 3, -1, -1), tiles) == 1
        assert got[near].isnan().all() and torch.equal(got[~near], expected[~near])


def test_no_tiles(level):
    stencil, tiles, neighbours, diagonal, x, *_ = stencil_problem((20, 20))
    for run in (_ops.tile_product, _reference.tile_product):
        got = product(stencil, tiles[:0], neighbours[:0], diagonal[:0], x[:0], (20, 20), run)
        assert got.shape == (0, 3, 16, 16)


def test_no_classes(level):
    stencil, tiles, neighbours, diagonal, x, *_ = stencil_problem((20, 20))
    got = product(stencil, tiles, neighbours, diagonal, x[:, :0].contiguous(), (20, 20))
    assert got.shape == (len(tiles), 0, 16, 16)


def test_same_bits_for_any_number_of_threads(threads):
    size = (200, 150)
    arguments = stencil_problem(size)[:5]
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(product(*arguments, size))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_opcheck():
    size = (5, 20)
    stencil, tiles, neighbours, diagonal, x, *_ = stencil_problem(size)
    for d in (None, diagonal):
        opcheck(_ops.tile_product.default, (stencil, tiles, neighbours, d, x, torch.zeros_like(x), *size))
