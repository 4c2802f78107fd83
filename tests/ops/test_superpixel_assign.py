"""Soft assignment and its update: kernels against naive loops and reference implementations, gradients, numerics."""

import numpy as np
import pytest
import torch
from helpers import oracle
from helpers.superpixels import GRIDS, cells
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

from closedform_wsss import _ops, _reference

LARGE = [(130, 131, 64), (65, 600, 600), (48, 64, 16)]


def problem(height, width, cell_size, channels=5, dtype=torch.float64, n=2):
    features = torch.randn(n, channels, height, width, dtype=dtype)
    return features, torch.randn(n, channels, *cells(height, width, cell_size), dtype=dtype)


@pytest.mark.parametrize("grid", GRIDS)
def test_agree_with_naive_loops(level, grid):
    features, centers = problem(*grid)
    q = _ops.superpixel_assign(features, centers, grid[2])
    updated = _ops.superpixel_update(features, centers, grid[2])
    for n in range(2):
        expected = oracle.soft_assignment(features[n].numpy(force=True), centers[n].numpy(force=True), grid[2])
        np.testing.assert_allclose(q[n].numpy(force=True), expected, rtol=1e-10, atol=1e-14)
        weight = oracle.superpixel_sums(np.ones((1, *grid[:2])), expected, grid[2])
        means = oracle.superpixel_sums(features[n].numpy(force=True), expected, grid[2]) / weight
        np.testing.assert_allclose(updated[n].numpy(force=True), means, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS + LARGE)
@pytest.mark.parametrize("channels", [1, 5, 8])
def test_kernels_agree_with_twins(level, grid, channels):
    for dtype, tolerance in ((torch.float32, 2e-6), (torch.float64, 1e-13)):
        features, centers = problem(*grid, channels, dtype)
        for name in ("superpixel_assign", "superpixel_update"):
            got = getattr(_ops, name)(features, centers, grid[2])
            expected = getattr(_reference, name)(features, centers, grid[2])
            assert got.dtype == dtype
            torch.testing.assert_close(got, expected, rtol=10 * tolerance, atol=10 * tolerance)


def test_far_centres_do_not_underflow(level):
    """Distances of any size: the nearest superpixel wins, and the weights add up to 1."""
    for dtype in (torch.float32, torch.float64):
        features, centers = problem(20, 30, 8, dtype=dtype)
        for scale in (1e2, 1e6):
            q = _ops.superpixel_assign(scale * features, scale * centers, 8)
            torch.testing.assert_close(q.sum(1), torch.ones(2, 20, 30, dtype=dtype))
            expected = _reference.superpixel_assign(scale * features, scale * centers, 8)
            # Squared distances of 1e4 have a rounding of 1e-3 in float32; the exponents share it.
            torch.testing.assert_close(q, expected, rtol=0, atol=5e-3 if dtype == torch.float32 else 1e-4)


def test_equal_distances_share(level):
    q = _ops.superpixel_assign(torch.zeros(1, 2, 9, 9), torch.ones(1, 2, 3, 3), 3)
    torch.testing.assert_close(q[0, :, 4, 4], torch.full((9,), 1 / 9))
    torch.testing.assert_close(q[0, :, 0, 0], torch.tensor([0, 0, 0, 0, 1, 1, 0, 1, 1]) / 4)


def test_nan_stays_nan(level):
    features, centers = problem(9, 9, 3)
    features[0, 0, 4, 4] = torch.nan
    assert _ops.superpixel_assign(features, centers, 3)[0, :, 4, 4].isnan().all()
    assert _ops.superpixel_update(features, centers, 3)[0].isnan().any()


def test_a_superpixel_without_pixels_keeps_its_centre(level):
    for dtype in (torch.float32, torch.float64):
        features, centers = problem(8, 8, 4, dtype=dtype, n=1)
        centers[:, :, 1, 1] = 1e6  # so far away that exp underflows
        got = _ops.superpixel_update(features, centers, 4)
        assert torch.isfinite(got).all()
        assert torch.equal(got[..., 1, 1], centers[..., 1, 1])
        changed = (got != centers).any(1)
        assert changed.sum() == 3 and not changed[0, 1, 1]


@pytest.mark.parametrize("name", ["superpixel_assign", "superpixel_update"])
def test_gradients_and_opcheck(name):
    arguments = tuple(t.requires_grad_() for t in problem(3, 5, 2, 2, n=1))
    op = getattr(_ops, name)
    assert gradcheck(lambda f, c: op(f, c, 2), arguments)
    assert gradgradcheck(lambda f, c: op(f, c, 2), arguments)
    opcheck(op.default, (*arguments, 2))


def test_same_bits_for_any_number_of_threads(threads):
    features, centers = problem(90, 70, 7, dtype=torch.float32)
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(torch.cat([_ops.superpixel_update(features, centers, 7).flatten(),
                                  _ops.superpixel_assign(features, centers, 7).flatten()]))  # fmt: skip
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])
