"""From the functions of tiles back to pixels: the kernel against naive loops and its reference implementation."""

import numpy as np
import pytest
import torch
from helpers.tiles import function_problem, outcome
from torch.library import opcheck

from closedform_wsss import _ops, _reference

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-12}


def prolong(basis, starts, z, x, run=_ops.tile_prolong):
    return outcome(run, _ops.tile_prolong, (basis, starts, z, x, x))


@pytest.mark.parametrize("classes", [1, 3, 4, 21])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("largest", [1, 5, 70])
def test_agrees_with_naive_loops_and_reference(level, classes, dtype, largest):
    basis, starts, z, x = function_problem(classes=classes, dtype=dtype, largest=largest)
    got = prolong(basis, starts, z, x)
    assert len(basis) > 0
    reference = prolong(basis, starts, z, x, _reference.tile_prolong)
    torch.testing.assert_close(got, reference, rtol=0, atol=TOLERANCE[dtype])
    basis, starts, z, x = (t.numpy(force=True).astype(np.float64) for t in (basis, starts, z, x))
    expected = x.copy()
    for t in range(len(x)):
        for f in range(int(starts[t]), int(starts[t + 1])):
            for c in range(classes):
                expected[t, c] += basis[f] * z[f, c]
    np.testing.assert_allclose(got.numpy(force=True), expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("run", [_ops.tile_prolong, _reference.tile_prolong])
def test_in_place(level, run):
    basis, starts, z, x = function_problem(classes=6)
    expected = prolong(basis, starts, z, x)
    run(basis, starts, z, x, x)
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-5)
    if run is _ops.tile_prolong:
        assert torch.equal(x, expected)


def test_nothing_to_do(level):
    basis, starts, z, x = function_problem()
    for run in (_ops.tile_prolong, _reference.tile_prolong):
        assert torch.equal(prolong(basis[:0], torch.zeros_like(starts), z[:0], x, run), x)
        assert prolong(basis[:0], starts[:1], z[:0], x[:0], run).shape == (0, 3, 16, 16)


def test_transpose_of_restrict(level):
    basis, starts, z, x = function_problem(dtype=torch.float64)
    restricted = outcome(_ops.tile_restrict, _ops.tile_restrict, (basis, starts, x, torch.empty_like(z)))
    left = (restricted * z).sum(0)
    right = (prolong(basis, starts, z, torch.zeros_like(x)) * x).sum((0, 2, 3))
    torch.testing.assert_close(left, right)


def test_same_bits_for_any_number_of_threads(threads):
    arguments = function_problem(300)
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(prolong(*arguments))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_opcheck():
    basis, starts, z, x = function_problem()
    opcheck(_ops.tile_prolong.default, (basis, starts, z, x, torch.zeros_like(x)))
