"""The fused loss: the kernel against its reference implementation, its gradients. (Against the dense oracle:
test_closed_form_loss.py.)"""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

from closedform_wsss import _ops, _reference

SIZES = [(3, 3), (3, 40), (40, 3), (17, 31), (65, 129), (66, 16), (7, 513), (67, 515), (3, 1025)]


def problem(size, classes=3, dtype=torch.float32, n=2, marked=0.2, learning_based=False):
    stencil, row_sums = _ops.matting_stencil(torch.rand(n, 3, *size, dtype=dtype), 1e-4, learning_based)
    x = torch.rand(n, classes, *size, dtype=dtype)
    target = torch.where(torch.rand(n, *size) < marked, torch.randint(classes, (n, *size)), 255)
    weight = torch.rand(n, classes, dtype=dtype) + 0.5
    return stencil, row_sums if learning_based else None, x, target, weight


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("classes", [1, 2, 7, 21])
@pytest.mark.parametrize("residual", [False, True])
def test_kernel_agrees_with_twin(level, size, classes, residual):
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        learning_based = classes in (2, 21)
        arguments = (*problem(size, classes, dtype, learning_based=learning_based), 100.0, 255, residual, True)
        loss, gradient = _ops.matting_loss(*arguments)
        expected_loss, expected_gradient = _reference.matting_loss(*arguments)
        torch.testing.assert_close(loss, expected_loss, rtol=tolerance, atol=0)
        scale = expected_gradient.abs().max()
        torch.testing.assert_close(gradient / scale, expected_gradient / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("marked", [0.0, 1.0])
@pytest.mark.parametrize("residual", [False, True])
def test_no_mark_and_every_pixel_marked(level, residual, marked):
    arguments = (*problem((20, 30), marked=marked), 100.0, 255, residual, True)
    for ours, reference in zip(_ops.matting_loss(*arguments), _reference.matting_loss(*arguments), strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("residual", [False, True])
def test_classes_of_weight_zero_are_left_out(level, residual):
    """More classes than a group of the kernel, some absent, other ones in each image."""
    stencil, row_sums, x, target, weight = problem((9, 20), classes=40)
    weight[0, ::3] = 0
    weight[1] = 0
    x[0, ::3], x[1] = torch.nan, torch.nan
    loss, gradient = _ops.matting_loss(stencil, row_sums, x, target, weight, 100.0, 255, residual, True)
    expected, expected_gradient = _reference.matting_loss(
        stencil, row_sums, x.nan_to_num(), target, weight, 100.0, 255, residual, True
    )
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-4)
    assert loss[1] == 0 and (gradient[0, ::3] == 0).all()


@pytest.mark.parametrize("residual", [False, True])
def test_same_bits_for_any_number_of_threads(threads, residual):
    arguments = (*problem((150, 40)), 100.0, 255, residual, True)
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(_ops.matting_loss(*arguments))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("with_gradient", [False, True])
@pytest.mark.parametrize("learning_based", [False, True])
def test_gradients(residual, with_gradient, learning_based):
    stencil, row_sums, x, target, weight = problem((5, 6), 2, torch.float64, learning_based=learning_based)

    def loss(v):
        return _ops.matting_loss(stencil, row_sums, v, target, weight, 10.0, 255, residual, with_gradient)[0]

    x.requires_grad_()
    assert gradcheck(loss, x)
    assert gradgradcheck(loss, x)


@pytest.mark.parametrize("residual", [False, True])
def test_the_gradient_output_is_differentiable(residual):
    stencil, row_sums, x, target, weight = problem((5, 6), 2, torch.float64)

    def gradient(v):
        return _ops.matting_loss(stencil, row_sums, v, target, weight, 10.0, 255, residual, True)[1]

    assert gradcheck(gradient, x.requires_grad_())


def test_opcheck():
    for residual in (False, True):
        stencil, row_sums, x, target, weight = problem((5, 9))
        arguments = (stencil, row_sums, x.requires_grad_(), target, weight, 100.0, 255, residual, True)
        opcheck(_ops.matting_loss.default, arguments)
