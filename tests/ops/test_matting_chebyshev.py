"""Chebyshev's method in one call: against a dense matrix, against the reference implementation, and its gradient."""

import pytest
import torch
from helpers.systems import dense_system, stencil_system
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

from closedform_wsss import _ops, _reference

LOW, HIGH = 0.03 / 9.03, 1.0


def problem(*args, **options):
    """Stencil, diagonal, preconditioner, b, start, and bounds of the eigenvalues."""
    stencil, diagonal, weight, b, start = stencil_system(*args, **options)
    return stencil, diagonal, 1 / (9 + weight), b, start, LOW, HIGH


@pytest.mark.parametrize("size", [(3, 3), (3, 17), (16, 3), (12, 19)])
@pytest.mark.parametrize("learning_based", [False, True])
def test_the_error_is_within_its_bound(level, size, learning_based):
    """In the norm of A, for any start: 2 q^k / (1 + q^2k) of the first error, with q = (1 - r) / (1 + r), r^2 = low."""
    stencil, diagonal, preconditioner, b, start, *bounds = problem(size, 6, learning_based=learning_based)
    q = (1 - LOW**0.5) / (1 + LOW**0.5)
    for num_iters in (1, 2, 20, 60):
        x = _ops.matting_chebyshev(stencil, diagonal, preconditioner, b, start, *bounds, num_iters)
        for n in range(2):
            matrix = dense_system(stencil[n:], diagonal[n:], size)
            exact = torch.linalg.solve(matrix, b[n].flatten(1).T)
            before, after = (given[n].flatten(1).T - exact for given in (start, x))
            norms = [(error * (matrix @ error)).sum(0).sqrt() for error in (before, after)]
            assert (norms[1] <= 2 * q**num_iters / (1 + q ** (2 * num_iters)) * norms[0] + 1e-9).all()


@pytest.mark.parametrize("size", [(3, 3), (3, 40), (40, 3), (17, 31), (65, 129), (7, 512)])
@pytest.mark.parametrize("classes", [1, 2, 7])
def test_agrees_with_the_reference(level, size, classes):
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-11)):
        given = problem(size, classes, dtype)
        for num_iters in (1, 2, 3, 8):
            x, expected = (of.matting_chebyshev(*given, num_iters) for of in (_ops, _reference))
            torch.testing.assert_close(x, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


def test_a_map_that_is_not_finite_spoils_no_other(level):
    stencil, diagonal, preconditioner, b, *rest = problem((20, 30), classes=5)
    expected = _ops.matting_chebyshev(stencil, diagonal, preconditioner, b, *rest, 9)
    b = b.clone()
    b[0, 2, 3, 4] = torch.nan
    x = _ops.matting_chebyshev(stencil, diagonal, preconditioner, b, *rest, 9)
    others = torch.ones(2, 5, dtype=torch.bool)
    others[0, 2] = False
    assert torch.equal(x[others], expected[others]) and x[0, 2].isnan().any()


def test_same_bits_for_any_number_of_threads(threads):
    given = problem((40, 50), classes=9, dtype=torch.float32)
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(_ops.matting_chebyshev(*given, 12))
    assert all(torch.equal(x, results[0]) for x in results[1:])


def test_any_strides(level):
    stencil, diagonal, preconditioner, b, start, *bounds = problem((12, 14))
    expected = _ops.matting_chebyshev(stencil, diagonal, preconditioner, b, start, *bounds, 6)
    views = [diagonal.mT.contiguous().mT, preconditioner.mT.contiguous().mT]
    views += [b.to(memory_format=torch.channels_last), start.mT.contiguous().mT]
    assert torch.equal(_ops.matting_chebyshev(stencil, *views, *bounds, 6), expected)


def test_inputs_keep_their_values(level):
    given = problem((12, 14))
    copies = [value.clone() for value in given[:5]]
    _ops.matting_chebyshev(*given, 5)
    assert all(torch.equal(value, copy) for value, copy in zip(given[:5], copies, strict=True))


@pytest.mark.parametrize("learning_based", [False, True])
def test_gradient(level, learning_based):
    """Far from converged, so that it is that of the steps and not of the solution."""
    stencil, diagonal, preconditioner, b, start, *bounds = problem((4, 5), 2, n=1, learning_based=learning_based)

    def of(b, start):
        return _ops.matting_chebyshev(stencil, diagonal, preconditioner, b, start, *bounds, 3)

    inputs = (b.requires_grad_(), start.requires_grad_())
    assert gradcheck(of, inputs) and gradgradcheck(of, inputs)


def test_opcheck():
    stencil, diagonal, preconditioner, b, start, *bounds = problem((6, 7))
    inputs = (stencil, diagonal, preconditioner, b.requires_grad_(), start.requires_grad_(), *bounds, 4)
    opcheck(torch.ops.closedform_wsss.matting_chebyshev.default, inputs)


def test_no_map():
    assert _ops.matting_chebyshev(*problem((6, 7), classes=0), 5).shape == (2, 0, 6, 7)


def test_maps_that_are_too_wide_are_refused():
    with pytest.raises(ValueError, match="matting_chebyshev: maps must have at most 512 columns"):
        _ops.matting_chebyshev(*problem((3, 513)), 5)
