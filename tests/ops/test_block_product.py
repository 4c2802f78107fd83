"""y = A x in blocks: the kernel against a dense matrix and its reference implementation."""

import pytest
import torch
from helpers.blocks import block_problem, nothing
from helpers.tiles import outcome
from torch.library import opcheck

from closedform_wsss import _ops, _reference

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-14}


def product(blocks, run=_ops.block_product):
    return outcome(run, _ops.block_product, (*blocks.layout, blocks.r, blocks.r))


def assert_right(blocks, got):
    expected = torch.from_numpy(blocks.A @ blocks.r.numpy(force=True).astype(float)).to(got)
    scale = expected.abs().max() if len(expected) else 1
    torch.testing.assert_close(got / scale, expected / scale, rtol=0, atol=TOLERANCE[got.dtype])


@pytest.mark.parametrize("classes", [1, 3, 4, 21])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("largest", [1, 5, 32])
def test_agrees_with_a_dense_matrix_and_reference(level, classes, dtype, largest):
    blocks = block_problem(classes=classes, dtype=dtype, largest=largest)
    assert blocks.starts.diff().max() == largest and blocks.starts.diff().min() == 0
    for run in (_ops.block_product, _reference.block_product):
        assert_right(blocks, product(blocks, run))


@pytest.mark.parametrize("grid", [(1, 1), (1, 6), (5, 1), (2, 2), (7, 6)])
def test_all_blocks_of_a_grid(level, grid):
    blocks = block_problem(grid, dtype=torch.float64, largest=7, n=3, fraction=1.0)
    for run in (_ops.block_product, _reference.block_product):
        assert_right(blocks, product(blocks, run))


def test_nothing_to_do(level):
    for blocks in nothing(block_problem()):
        for run in (_ops.block_product, _reference.block_product):
            assert product(blocks, run).shape == (0, 3)


@pytest.mark.parametrize("run", [_ops.block_product, _reference.block_product])
def test_one_nan_reaches_the_blocks_around_only(level, run):
    blocks = block_problem()
    expected = product(blocks, run)
    blocks.r[blocks.functions(0).start, 1] = torch.nan
    got = product(blocks, run)
    near = blocks.mask(blocks.around(0), 1)
    assert got[near].isnan().all()
    torch.testing.assert_close(got[~near], expected[~near])
    assert near.any() and not near[:, 1].all()


@pytest.mark.parametrize("run", [_ops.block_product, _reference.block_product])
def test_nan_in_the_matrix_reaches_the_blocks_around_only(level, run):
    """Whatever the kernel reads beyond the end of a part."""
    blocks = block_problem()
    spoiled = blocks._replace(matrix=torch.where(blocks.block_of_value == 0, torch.nan, blocks.matrix))
    expected, got = product(blocks, run), product(spoiled, run)
    near = blocks.mask(blocks.around(0))
    torch.testing.assert_close(got[~near], expected[~near])
    assert got[blocks.functions(0)].isnan().all() and not near.all()


def test_same_bits_for_any_number_of_threads(threads):
    blocks = block_problem((13, 14), largest=9)
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(product(blocks))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_opcheck():
    blocks = block_problem()
    opcheck(_ops.block_product.default, (*blocks.layout, blocks.r, torch.zeros_like(blocks.r)))
