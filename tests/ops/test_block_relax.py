"""A sweep of Gauss-Seidel in blocks: the kernel against dense matrices and its reference implementation."""

import numpy as np
import pytest
import torch
from helpers.blocks import block_problem, nothing
from torch.library import opcheck

from closedform_wsss import _ops, _reference

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-13}
RUNS = [_ops.block_relax, _reference.block_relax]


def relax(blocks, z, backward=False, run=_ops.block_relax):
    z = z.clone()
    run(*blocks.sweep, blocks.r, z, backward)
    return z


def naive(blocks, z, backward):
    """Block after block."""
    r, z = (t.numpy(force=True).astype(np.float64) for t in (blocks.r, z))
    for color in (3, 2, 1, 0) if backward else (0, 1, 2, 3):
        for t in np.flatnonzero(blocks.colors == color):
            own = blocks.functions(t)
            z[own] += np.linalg.solve(blocks.A[own, own], r[own] - blocks.A[own] @ z)
    return z


def assert_right(blocks, backward):
    z = torch.randn_like(blocks.r)
    expected = torch.from_numpy(naive(blocks, z, backward)).to(z)
    scale = expected.abs().max()
    for run in RUNS:
        got = relax(blocks, z, backward, run)
        torch.testing.assert_close(got / scale, expected / scale, rtol=0, atol=TOLERANCE[z.dtype])


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("classes", [1, 3, 4, 21])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("largest", [1, 5, 32])
def test_agrees_with_naive_loops_and_reference(level, classes, dtype, largest, backward):
    blocks = block_problem(classes=classes, dtype=dtype, largest=largest)
    assert blocks.starts.diff().max() == largest and blocks.starts.diff().min() == 0
    assert_right(blocks, backward)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("grid", [(1, 1), (1, 6), (5, 1), (2, 2), (7, 6)])
def test_all_blocks_of_a_grid(level, grid, backward):
    """Also of one color only."""
    assert_right(block_problem(grid, dtype=torch.float64, largest=7, n=3, fraction=1.0), backward)


def test_forward_and_backward_are_transposes(level):
    """As matrices: from z = 0, a class for every function."""
    blocks = block_problem((3, 4), dtype=torch.float64, largest=9)
    blocks = blocks._replace(r=torch.eye(len(blocks.r), dtype=torch.float64))
    for run in RUNS:
        forward, backward = (relax(blocks, torch.zeros_like(blocks.r), way, run) for way in (False, True))
        torch.testing.assert_close(forward, backward.T, rtol=0, atol=1e-14)
        assert (forward - forward.T).abs().max() > 1e-3


def test_relaxation_goes_to_the_solution(level):
    blocks = block_problem(dtype=torch.float64)
    z = torch.zeros_like(blocks.r)
    for _ in range(40):
        z = relax(blocks, relax(blocks, z), backward=True)
    expected = np.linalg.solve(blocks.A, blocks.r.numpy(force=True))
    np.testing.assert_allclose(z.numpy(force=True), expected, rtol=0, atol=1e-14)


def test_nothing_to_do(level):
    for blocks in nothing(block_problem()):
        for run in RUNS:
            assert relax(blocks, blocks.r, run=run).shape == (0, 3)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("run", RUNS)
def test_one_nan_goes_no_farther_than_the_sweep(level, run, backward):
    """From block to block in the order of the colors; what a block held before does not matter to itself."""
    blocks = block_problem((9, 9), largest=5, n=1, fraction=0.9)
    colors = (3, 2, 1, 0) if backward else (0, 1, 2, 3)
    sizes = blocks.starts.diff().numpy(force=True)
    first = int(np.flatnonzero((blocks.colors == colors[-1]) & (sizes > 0))[0])
    z = torch.randn_like(blocks.r)
    expected = relax(blocks, z, backward, run)
    z[blocks.functions(first).start, 1] = torch.nan
    got = relax(blocks, z, backward, run)
    reached = {first}
    for color in colors:
        for t in np.flatnonzero((blocks.colors == color) & (sizes > 0)).tolist():
            (reached.add if reached & ({*blocks.around(t)} - {t}) else reached.discard)(t)
    there = blocks.mask(list(reached), 1)
    assert got[there].isnan().all()
    torch.testing.assert_close(got[~there], expected[~there])
    assert there.any() and not there[:, 1].all()


@pytest.mark.parametrize("run", RUNS)
def test_nan_in_the_matrix_stays_with_its_image(level, run):
    """Whatever the kernel reads beyond the end of a part."""
    blocks = block_problem(fraction=1.0)
    in_first = torch.tensor(blocks.tiles[:, 0] == 0)
    spoiled = blocks._replace(matrix=torch.where(in_first[blocks.block_of_value], torch.nan, blocks.matrix))
    z = torch.zeros_like(blocks.r)
    expected, got = relax(blocks, z, run=run), relax(spoiled, z, run=run)
    first = blocks.mask(in_first.nonzero()[:, 0].tolist())
    torch.testing.assert_close(got[~first], expected[~first])
    assert got[first].isnan().all() and not first.all()


def test_same_bits_for_any_number_of_threads(threads):
    blocks = block_problem((13, 14), largest=9)
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(relax(blocks, torch.zeros_like(blocks.r)))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_opcheck():
    blocks = block_problem()
    for backward in (False, True):
        opcheck(_ops.block_relax.default, (*blocks.sweep, blocks.r, torch.zeros_like(blocks.r), backward))
