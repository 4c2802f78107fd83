"""The lattice of an image: the kernel against its reference implementation and a naive construction."""

import numpy as np
import pytest
import torch
from helpers.permutohedral import corners, embedding, features
from torch.library import opcheck

from closedform_wsss import _ops, _reference

SHAPES = [(2, 3, 13, 17), (1, 3, 1, 7), (1, 0, 9, 8), (1, 1, 30, 20), (3, 3, 1, 1), (1, 6, 5, 6), (1, 3, 40, 61)]


def same_lattice(a, b, atol):
    """Rows beyond those in use hold anything."""
    indices, weights, neighbours, counts = a
    assert torch.equal(indices, b[0]) and torch.equal(counts, b[3])
    torch.testing.assert_close(weights, b[1], rtol=0, atol=atol)
    for n, count in enumerate(counts.tolist()):
        assert torch.equal(neighbours[n, :, :count], b[2][n, :, :count])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigmas", [(3.0, 0.1), (80.0, 13 / 255), (0.5, 10.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_the_reference(level, shape, sigmas, dtype):
    image = torch.rand(shape, dtype=dtype)
    built, expected = _ops.lattice_build(image, *sigmas), _reference.lattice_build(image, *sigmas)
    same_lattice(built, expected, 1e-6 if dtype == torch.float32 else 1e-12)


def test_the_corners_around_a_pixel_hold_it(level):
    """Weights against a linear system, rows against the points themselves."""
    image = torch.rand(1, 3, 7, 9, dtype=torch.float64)
    indices, weights, neighbours, counts = _ops.lattice_build(image, 2.3, 0.2)
    row_of = {}
    for p, x in enumerate(features(image[0].numpy(force=True), 2.3, 0.2) @ embedding(5).T):
        keys, expected = corners(x)
        np.testing.assert_allclose(weights[0, p].numpy(force=True), expected, rtol=0, atol=1e-9)
        for key, row in zip(keys, indices[0, p].tolist(), strict=True):
            assert row_of.setdefault(key, row) == row
    assert sorted(row_of.values()) == list(range(1, int(counts)))
    for key, row in row_of.items():
        for axis in range(6):
            step = np.ones(6, int)
            step[axis] = -5
            pair = [row_of.get(tuple(np.add(key, sign * step).tolist()), 0) for sign in (1, -1)]
            assert neighbours[0, axis, row].tolist() == pair
    assert (neighbours[0, :, 0] == 0).all()


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_flat_image_and_many_rows(level, value):
    """Ties everywhere; more rows than the table of the kernel begins with."""
    for image, sigma in ((torch.full((1, 3, 12, 15), value), 3.0), (torch.full((1, 3, 90, 120), value), 0.3)):
        same_lattice(_ops.lattice_build(image, sigma, 0.1), _reference.lattice_build(image, sigma, 0.1), 1e-6)


def test_values_that_are_no_colours_do_no_harm(level):
    image = torch.rand(1, 3, 8, 9)
    image[0, 0, 2], image[0, 1, 3], image[0, 2, 4] = torch.nan, torch.inf, -1e30
    for run in (_ops.lattice_build, _reference.lattice_build):
        indices, _, neighbours, counts = run(image, 3.0, 0.1)
        assert indices.min() > 0 and indices.max() < counts
        assert neighbours[0, :, : int(counts)].min() >= 0 and neighbours[0, :, : int(counts)].max() < counts


def test_same_bits_for_any_number_of_threads(threads):
    for n in (1, 5):
        image = torch.rand(n, 3, 40, 50)
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(_ops.lattice_build(image, 3.0, 0.1))
        for other in results[1:]:
            same_lattice(other, results[0], 0)


def test_nothing_to_do(level):
    for shape in ((0, 3, 4, 5), (2, 3, 0, 5)):
        for run in (_ops.lattice_build, _reference.lattice_build):
            indices, weights, _, counts = run(torch.rand(shape), 3.0, 0.1)
            assert indices.shape == weights.shape == (shape[0], shape[2] * shape[3], 6) and (counts == 1).all()


def test_opcheck():
    """Not the comparison of results: rows beyond those in use hold anything."""
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    opcheck(_ops.lattice_build.default, (torch.rand(2, 3, 4, 5), 3.0, 0.1), test_utils=tests)
