"""Mean field on a lattice: the kernel against its reference implementation."""

import pytest
import torch
from torch.library import opcheck

from closedform_wsss import _ops, _reference
from closedform_wsss.lattice import image_lattice, symmetric


def problem(n, classes, size, dtype):
    lattice = symmetric(image_lattice(torch.rand(n, 3, *size, dtype=dtype), 3.0, 0.2), 4.0)
    return -3 * torch.randn(n, classes, size[0] * size[1], dtype=dtype).abs(), *lattice


@pytest.mark.parametrize("classes", [1, 2, 8, 21, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("iterations", [0, 1, 5])
def test_agrees_with_the_reference(level, classes, dtype, iterations):
    for n, size in ((2, (9, 14)), (1, (1, 5)), (1, (30, 41))):
        arguments = problem(n, classes, size, dtype)
        expected = _reference.lattice_mean_field(*arguments, iterations)
        tolerance = 1e-4 if dtype == torch.float32 else 1e-10
        torch.testing.assert_close(_ops.lattice_mean_field(*arguments, iterations), expected, rtol=0, atol=tolerance)


def test_unaries_far_apart(level):
    """No overflow, no denormal numbers, exact zeros."""
    unary, *lattice = problem(1, 3, (5, 6), torch.float32)
    unary[0, 0], unary[0, 1], unary[0, 2] = 0, -1000, -1e20
    q = _ops.lattice_mean_field(unary, *lattice, 3)
    assert torch.equal(q, torch.tensor([1.0, 0, 0])[:, None].expand(1, 3, 30))


def test_nan_is_not_hidden(level):
    unary, *lattice = problem(1, 3, (5, 6), torch.float32)
    unary[0, 1, 4] = torch.nan
    assert _ops.lattice_mean_field(unary, *lattice, 0)[0, :, 4].isnan().all()


def test_same_bits_for_any_number_of_threads(threads):
    for n in (1, 7):
        arguments = problem(n, 21, (30, 40), torch.float32)
        results = []
        for count in (1, 2, 3, 5):
            torch.set_num_threads(count)
            results.append(_ops.lattice_mean_field(*arguments, 3))
        assert all(torch.equal(results[0], other) for other in results[1:])


def test_opcheck():
    opcheck(_ops.lattice_mean_field.default, (*problem(2, 3, (4, 5), torch.float32), 2))
