"""The fused loss: the kernel against its reference implementation, its gradients. (Against the dense oracle:
test_closed_form_loss.py.)"""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

from closedform_wsss import _ops, _reference

SIZES = [(3, 3), (3, 40), (40, 3), (17, 31), (65, 129), (66, 16), (7, 513), (67, 515), (3, 1025)]
ACTIVATIONS = [None, "sigmoid", "softmax"]


def problem(size, classes=3, dtype=torch.float32, n=2, marked=0.2, learning_based=False, activation=None):
    stencil, row_sums = _ops.matting_stencil(torch.rand(n, 3, *size, dtype=dtype), 1e-4, learning_based)
    x = torch.rand(n, classes, *size, dtype=dtype)
    if activation is not None:
        x = 6 * x - 3
    target = torch.where(torch.rand(n, *size) < marked, torch.randint(classes, (n, *size)), 255)
    weight = torch.rand(n, classes, dtype=dtype) + 0.5
    return stencil, row_sums if learning_based else None, x, target, weight


def assert_same(ours, reference, tolerance):
    """Loss and gradient, the gradient relative to its largest value."""
    torch.testing.assert_close(ours[0], reference[0], rtol=tolerance, atol=0)
    scale = reference[1].abs().max()
    torch.testing.assert_close(ours[1] / scale, reference[1] / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("activation", "classes"),
    [*((None, c) for c in (1, 2, 7, 21)), ("sigmoid", 7), *(("softmax", c) for c in (2, 7, 21))],
)
@pytest.mark.parametrize("residual", [False, True])
def test_kernel_agrees_with_twin(level, size, classes, residual, activation):
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        inputs = problem(size, classes, dtype, learning_based=classes in (2, 21), activation=activation)
        arguments = (*inputs, 100.0, 255, residual, activation, True)
        assert_same(_ops.matting_loss(*arguments), _reference.matting_loss(*arguments), tolerance)


@pytest.mark.parametrize("residual", [False, True])
def test_one_class_in_a_softmax(level, residual):
    """The map is 1 everywhere: it is right, and no logit can change it."""
    loss, gradient = _ops.matting_loss(
        *problem((12, 40), 1, activation="softmax"), 100.0, 255, residual, "softmax", True
    )
    assert (loss == 0).all() and (gradient == 0).all()


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("size", [(5, 200), (12, 300)])
def test_many_classes_in_a_softmax(level, residual, size):
    """So many that tiles are narrow."""
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        inputs = problem(size, 400, dtype, n=1, activation="softmax")
        arguments = (*inputs, 100.0, 255, residual, "softmax", True)
        assert_same(_ops.matting_loss(*arguments), _reference.matting_loss(*arguments), tolerance)


@pytest.mark.parametrize("marked", [0.0, 1.0])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_mark_and_every_pixel_marked(level, residual, marked, activation):
    arguments = (*problem((20, 30), marked=marked), 100.0, 255, residual, activation, True)
    for ours, reference in zip(_ops.matting_loss(*arguments), _reference.matting_loss(*arguments), strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_classes_of_weight_zero_are_left_out(level, residual, activation):
    """More classes than a group of the kernel, some absent, other ones in each image."""
    stencil, row_sums, x, target, weight = problem((9, 20), classes=40)
    weight[0, ::3] = 0
    weight[1] = 0
    x[0, ::3], x[1] = torch.nan, torch.nan
    options = (target, weight, 100.0, 255, residual, activation, True)
    loss, gradient = _ops.matting_loss(stencil, row_sums, x, *options)
    expected, expected_gradient = _reference.matting_loss(stencil, row_sums, x.nan_to_num(), *options)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-4)
    assert loss[1] == 0 and (gradient[0, ::3] == 0).all()


@pytest.mark.parametrize("residual", [False, True])
def test_classes_of_weight_zero_are_part_of_a_softmax(level, residual):
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        stencil, row_sums, x, target, weight = problem((9, 20), 40, dtype, n=3, activation="softmax")
        weight[0, ::3], weight[1], weight[2, :-1] = 0, 0, 0
        arguments = (stencil, row_sums, x, target, weight, 100.0, 255, residual, "softmax", True)
        ours, reference = _ops.matting_loss(*arguments), _reference.matting_loss(*arguments)
        assert_same(ours, reference, tolerance)
        assert ours[0][1] == 0 and (ours[1][1] == 0).all() and (ours[1][0, ::3] != 0).any()


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_infinite_and_extreme_logits(level, residual, activation):
    """A class masked by -inf, here and there or everywhere, and logits of which one wins by far."""
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        stencil, row_sums, x, target, weight = problem((9, 40), 5, dtype, activation=activation)
        x[0, 0], x[1, 2, :, ::3] = -torch.inf, -torch.inf
        x[:, 3] *= 1e4
        arguments = (stencil, row_sums, x, target, weight, 100.0, 255, residual, activation, True)
        ours, reference = _ops.matting_loss(*arguments), _reference.matting_loss(*arguments)
        assert_same(ours, reference, tolerance)
        assert (ours[1][0, 0] == 0).all() and ours[1].isfinite().all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_shows_in_the_loss(level, value, activation):
    if value == torch.inf and activation == "sigmoid":
        pytest.skip("the map is 1 there")
    for k in (0, 2):
        stencil, row_sums, x, target, weight = problem((20, 40))
        x[1, k, 13, 17] = value
        loss, _ = _ops.matting_loss(stencil, row_sums, x, target, weight, 100.0, 255, False, activation, True)
        assert loss[0].isfinite() and not loss[1].isfinite()


@pytest.mark.parametrize("residual", [False, True])
def test_an_infinite_logit_of_a_class_without_weight_shows(level, residual):
    """It takes the whole softmax, and infinity over infinity is no number."""
    *operator, x, target, weight = problem((12, 40), activation="softmax")
    weight[:, 1] = 0
    x[1, 1, 3, 4] = torch.inf
    loss, gradient = _ops.matting_loss(*operator, x, target, weight, 100.0, 255, residual, "softmax", True)
    assert loss[0].isfinite() and loss[1].isnan() and gradient[1, :, 3, 4].isnan().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_half_precision_gives_the_bits_of_float32(level, dtype, residual, activation):
    stencil, row_sums, x, target, weight = problem((19, 37), 5, activation=activation)
    half = x.to(dtype)
    if activation is not None:
        half[0, :2, 3], half[0, 1, 4] = torch.finfo(dtype).smallest_normal / 4, -torch.inf
    options = (target, weight, 100.0, 255, residual, activation, True)
    ours = _ops.matting_loss(stencil, row_sums, half, *options)
    single = _ops.matting_loss(stencil, row_sums, half.float(), *options)
    assert all(torch.equal(a, b) and a.dtype == torch.float32 for a, b in zip(ours, single, strict=True))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_memory_layouts_give_the_same_bits(level, activation):
    stencil, row_sums, x, target, weight = problem((12, 21), 5)
    options = (100.0, 255, False, activation, True)
    expected = _ops.matting_loss(stencil, row_sums, x, target, weight, *options)
    for view in (x.to(memory_format=torch.channels_last), x.repeat_interleave(2, 1)[:, ::2], x.mT.contiguous().mT):
        found = _ops.matting_loss(
            stencil, row_sums, view, target.mT.contiguous().mT, weight.mT.contiguous().mT, *options
        )
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_same_bits_for_any_number_of_threads(threads, residual, activation):
    arguments = (*problem((150, 40)), 100.0, 255, residual, activation, True)
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(_ops.matting_loss(*arguments))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("with_gradient", [False, True])
@pytest.mark.parametrize("learning_based", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients(residual, with_gradient, learning_based, activation):
    inputs = problem((5, 6), 3, torch.float64, n=1, learning_based=learning_based)
    stencil, row_sums, x, target, weight = inputs
    weight[0, 1] = 0

    def loss(v):
        options = (10.0, 255, residual, activation, with_gradient)
        return _ops.matting_loss(stencil, row_sums, v, target, weight, *options)[0]

    x.requires_grad_()
    assert gradcheck(loss, x)
    assert gradgradcheck(loss, x)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gradient_output_is_differentiable(residual, activation):
    stencil, row_sums, x, target, weight = problem((5, 6), 2, torch.float64)

    def gradient(v):
        return _ops.matting_loss(stencil, row_sums, v, target, weight, 10.0, 255, residual, activation, True)[1]

    assert gradcheck(gradient, x.requires_grad_())


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("with_gradient", [False, True])
def test_opcheck(residual, activation, with_gradient):
    stencil, row_sums, x, target, weight = problem((5, 9))
    options = (100.0, 255, residual, activation, with_gradient)
    opcheck(_ops.matting_loss.default, (stencil, row_sums, x.requires_grad_(), target, weight, *options))
