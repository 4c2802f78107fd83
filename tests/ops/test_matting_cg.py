"""Conjugate gradients in one call: against a dense solution, and against the reference implementation."""

import pytest
import torch
from helpers.systems import dense_system, stencil_system
from torch.library import opcheck

from closedform_wsss import _ops, _reference
from closedform_wsss._common.stencil_layout import stencil_shape

SIZES = [(3, 3), (3, 40), (40, 3), (17, 31), (65, 129), (7, 512)]
SCHEDULE = (5, 8, 0.5, 0.98)


def problem(*args, **options):
    """Stencil, diagonal, b, start."""
    stencil, diagonal, _, b, start = stencil_system(*args, **options)
    return stencil, diagonal, b, start


@pytest.mark.parametrize("size", [(3, 3), (3, 17), (16, 3), (12, 19)])
@pytest.mark.parametrize("learning_based", [False, True])
def test_solves_the_system(level, size, learning_based):
    stencil, diagonal, b, start = problem(size, classes=6, learning_based=learning_based)
    x, report = _ops.matting_cg(stencil, diagonal, b, start, 1e-9, 2000, *SCHEDULE)
    for n in range(2):
        expected = torch.linalg.solve(dense_system(stencil[n:], diagonal[n:], size), b[n].flatten(1).T).T.view(
            b[n].shape
        )
        torch.testing.assert_close(x[n], expected, rtol=0, atol=1e-8)
    iterations, error, converged, residual = report.unbind(-1)
    assert converged.all() and (error <= 1e-9).all() and (residual < 1e-7).all()
    assert (iterations >= 15).all()  # the third check is the first that can end


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("classes", [1, 2, 7])
def test_agrees_with_the_reference(level, size, classes):
    for dtype, tolerance in ((torch.float32, 2e-4), (torch.float64, 1e-10)):
        given = problem(size, classes, dtype)
        for max_iter in (1, 7):  # before it converges, so that each step is compared
            x, report = _ops.matting_cg(*given, 0.0, max_iter, *SCHEDULE)
            expected, of_reference = _reference.matting_cg(*given, 0.0, max_iter, *SCHEDULE)
            torch.testing.assert_close(x, expected, rtol=0, atol=tolerance * float(expected.abs().max()))
            torch.testing.assert_close(report, of_reference, rtol=1e-2, atol=tolerance)
            assert (report[..., 0] == max_iter).all() and not report[..., 2].any()


def test_each_system_ends_when_it_has_converged(level):
    """One starts from its solution, one is easy, one is hard. Their results are those of each alone."""
    stencil, diagonal, b, start = problem((20, 30), classes=6, n=1)
    solution, _ = _ops.matting_cg(stencil, diagonal, b, start, 1e-12, 2000, *SCHEDULE)
    start[:, 0], b[:, 1], start[:, 1] = solution[:, 0], 0, 0
    start[:, 4] = solution[:, 4] + 1e-3 * torch.randn(20, 30, dtype=torch.float64)
    x, report = _ops.matting_cg(stencil, diagonal, b, start, 1e-4, 2000, *SCHEDULE)
    iterations = report[0, :, 0].tolist()
    assert iterations[1] == 0 and not x[:, 1].any()
    assert iterations[0] == 15 < iterations[4] < iterations[2] and report[0, :, 2].all()
    for c in range(6):
        alone = _ops.matting_cg(stencil, diagonal, b[:, c : c + 1], start[:, c : c + 1], 1e-4, 2000, *SCHEDULE)
        torch.testing.assert_close(alone[0], x[:, c : c + 1], rtol=0, atol=1e-12)
        assert alone[1][0, 0, 0] == iterations[c] and alone[1][0, 0, 2] == 1


def test_the_schedule_of_the_checks(level):
    """Checks after 4, 8, 12 ... iterations, later a quarter of those done apart."""
    given = problem((20, 30))
    iterations = {
        int(_ops.matting_cg(*given, tol, 500, 4, 4, 0.5, 0.98)[1][..., 0].max()) for tol in (1e-2, 1e-5, 1e-9)
    }
    checks = [4]
    while checks[-1] < 500:
        checks.append(checks[-1] + max(4, checks[-1] // 4))
    assert iterations <= set(checks) and len(iterations) == 3


def test_a_system_that_is_not_finite_spoils_no_other(level):
    stencil, diagonal, b, start = problem((20, 30), classes=5)
    expected, of_expected = _ops.matting_cg(stencil, diagonal, b, start, 1e-4, 500, *SCHEDULE)
    b = b.clone()
    b[0, 2, 3, 4] = torch.nan
    x, report = _ops.matting_cg(stencil, diagonal, b, start, 1e-4, 500, *SCHEDULE)
    others = torch.ones(2, 5, dtype=torch.bool)
    others[0, 2] = False
    assert torch.equal(x[others], expected[others]) and torch.equal(report[others], of_expected[others])
    assert report[0, 2, 1].isinf() and report[0, 2, 2] == 0


def test_same_bits_for_any_number_of_threads(threads):
    given = problem((40, 50), classes=9, dtype=torch.float32)
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(_ops.matting_cg(*given, 1e-3, 500, *SCHEDULE))
    for x, report in results[1:]:
        assert torch.equal(x, results[0][0]) and torch.equal(report, results[0][1])


def test_any_strides(level):
    stencil, diagonal, b, start = problem((12, 14))
    expected = _ops.matting_cg(stencil, diagonal, b, start, 1e-6, 500, *SCHEDULE)
    views = (diagonal.mT.contiguous().mT, b.to(memory_format=torch.channels_last), start.mT.contiguous().mT)
    x, report = _ops.matting_cg(stencil, *views, 1e-6, 500, *SCHEDULE)
    assert torch.equal(x, expected[0]) and torch.equal(report, expected[1])


def test_a_constant_without_a_coupling(level):
    """L = 0: x = b / D after one step, and no direction is left."""
    size = (5, 6)
    stencil, diagonal = torch.zeros(stencil_shape(1, *size)), torch.full((1, *size), 0.5)
    b = torch.randn(1, 2, *size)
    x, report = _ops.matting_cg(stencil, diagonal, b, torch.zeros_like(b), 1e-6, 500, *SCHEDULE)
    torch.testing.assert_close(x, 2 * b)
    assert report[..., 2].all()


def test_opcheck():
    opcheck(torch.ops.closedform_wsss.matting_cg.default, (*problem((6, 7)), 1e-3, 50, *SCHEDULE))


def test_nothing_to_solve():
    x, report = _ops.matting_cg(*problem((6, 7), classes=0), 1e-3, 50, *SCHEDULE)
    assert x.shape == (2, 0, 6, 7) and report.shape == (2, 0, 4)


def test_maps_that_are_too_wide_are_refused():
    """A thread keeps whole rows in memory of a fixed size. The functions take another way there."""
    with pytest.raises(ValueError, match="matting_cg: maps must have at most 512 columns"):
        _ops.matting_cg(*problem((3, 513)), 1e-3, 50, *SCHEDULE)
