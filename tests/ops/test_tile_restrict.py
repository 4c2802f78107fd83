"""From pixels to the functions of tiles: the kernel against naive loops and its reference implementation."""

import numpy as np
import pytest
import torch
from helpers.tiles import function_problem, outcome
from torch.library import opcheck

from closedform_wsss import _ops, _reference

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-12}


def restrict(basis, starts, x, run=_ops.tile_restrict):
    z = x.new_empty(len(basis), x.shape[1])
    return outcome(run, _ops.tile_restrict, (basis, starts, x, z))


@pytest.mark.parametrize("classes", [1, 3, 4, 21])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("largest", [1, 5, 70])
def test_agrees_with_naive_loops_and_reference(level, classes, dtype, largest):
    basis, starts, _, x = function_problem(classes=classes, dtype=dtype, largest=largest)
    got = restrict(basis, starts, x)
    assert len(basis) > 0
    torch.testing.assert_close(
        got, restrict(basis, starts, x, _reference.tile_restrict), rtol=0, atol=16 * TOLERANCE[dtype]
    )
    expected = np.full(got.shape, np.nan)
    basis, starts, x = (t.numpy(force=True).astype(np.float64) for t in (basis, starts, x))
    for t in range(len(x)):
        for f in range(int(starts[t]), int(starts[t + 1])):
            for c in range(classes):
                expected[f, c] = (basis[f] * x[t, c]).sum()
    np.testing.assert_allclose(got.numpy(force=True), expected, rtol=0, atol=16 * TOLERANCE[dtype])


def test_nothing_to_do(level):
    basis, starts, _, x = function_problem()
    for run in (_ops.tile_restrict, _reference.tile_restrict):
        assert restrict(basis[:0], torch.zeros_like(starts), x, run).shape == (0, 3)
        assert restrict(basis[:0], starts[:1], x[:0], run).shape == (0, 3)


def test_one_nan_reaches_the_functions_of_its_tile_only(level):
    basis, starts, _, x = function_problem()
    expected = restrict(basis, starts, x)
    x[4, 1, 7, 9] = torch.nan
    got = restrict(basis, starts, x)
    near = torch.zeros_like(got, dtype=torch.bool)
    near[int(starts[4]) : int(starts[5]), 1] = True
    assert near.any() and got[near].isnan().all() and torch.equal(got[~near], expected[~near])


def test_same_bits_for_any_number_of_threads(threads):
    basis, starts, _, x = function_problem(300)
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(restrict(basis, starts, x))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_opcheck():
    basis, starts, _, x = function_problem()
    opcheck(_ops.tile_restrict.default, (basis, starts, x, x.new_zeros(len(basis), 3)))
