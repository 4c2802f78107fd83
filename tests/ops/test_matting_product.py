"""The product: the kernel against its reference implementation, its gradients, its properties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

from closedform_wsss import _ops, _reference
from closedform_wsss._common.stencil_layout import stencil_shape

SIZES = [
    (3, 3),
    (3, 40),
    (40, 3),
    (5, 4),
    (17, 31),
    (63, 17),
    (65, 129),
    (66, 16),
    (7, 513),
    (9, 530),
    (3, 1025),
]


def problem(size, classes=3, dtype=torch.float32, n=2):
    stencil = _ops.matting_stencil(torch.rand(n, 3, *size, dtype=dtype), 1e-4, False)[0]
    data_weight = torch.where(torch.rand(n, *size) < 0.1, 100.0, 0.0).to(dtype)
    return stencil, torch.randn(n, classes, *size, dtype=dtype), data_weight


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("classes", [1, 2, 7, 21])
def test_kernel_agrees_with_twin(level, size, classes):
    for dtype, tolerance in ((torch.float32, 2e-5), (torch.float64, 1e-12)):
        stencil, x, data_weight = problem(size, classes, dtype)
        for d in (None, data_weight):
            expected = _reference.matting_product(stencil, x, d)
            scale = expected.abs().max()
            torch.testing.assert_close(
                _ops.matting_product(stencil, x, d) / scale, expected / scale, rtol=0, atol=tolerance
            )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_and_calculated_in_float32(level, dtype):
    stencil, x, data_weight = problem((17, 40), 3)
    x = x.to(dtype).requires_grad_()
    y = _ops.matting_product(stencil, x, data_weight)
    expected = _ops.matting_product(stencil, x.detach().float(), data_weight)
    assert y.dtype == torch.float32 and torch.equal(y, expected)
    weight = torch.randn_like(y)
    (gradient,) = torch.autograd.grad(y, x, weight)
    assert torch.equal(gradient, _ops.matting_product(stencil, weight, data_weight).to(dtype))


def test_every_half_precision_number(level):
    """Through a stencil of zeros and the diagonal 1 a kernel gives back what it read."""
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(1, 1, 256, 256)
    stencil = torch.zeros(stencil_shape(1, 256, 256))
    for dtype in (torch.float16, torch.bfloat16):
        x = bits.view(dtype)
        x = torch.where(x.isfinite(), x, 0)  # 0 times infinity is no number
        assert torch.equal(_ops.matting_product(stencil, x, torch.ones(1, 256, 256)), x.float())


def test_constants_give_exactly_zero(level):
    stencil, _, _ = problem((33, 47))
    constants = torch.randn(2, 3, 1, 1).expand(-1, -1, 33, 47)
    assert (_ops.matting_product(stencil, constants, None) == 0).all()


def test_any_strides(level):
    stencil, x, data_weight = problem((12, 14))
    expected = _ops.matting_product(stencil, x, data_weight)
    views = [
        x.to(memory_format=torch.channels_last),
        x.mT.contiguous().mT,
        x.repeat_interleave(2, 1)[:, ::2],
        torch.cat([x, x])[:2],
    ]
    for view in views:
        assert torch.equal(_ops.matting_product(stencil, view, data_weight.mT.contiguous().mT), expected)


def test_no_classes(level):
    stencil, x, data_weight = problem((12, 14))
    assert _ops.matting_product(stencil, x[:, :0], data_weight).shape == (2, 0, 12, 14)


def test_values_beyond_a_tile_do_not_leak(level):
    """A value far away changes nothing, not even if it is NaN."""
    stencil, x, data_weight = problem((70, 600), classes=5, n=1)
    expected = _ops.matting_product(stencil, x, data_weight)
    for y, column in ((66, 511), (63, 515), (0, 0), (69, 599)):
        spoiled = x.clone()
        spoiled[:, :, y, column] = torch.nan
        result = _ops.matting_product(stencil, spoiled, data_weight)
        near = torch.zeros(70, 600, dtype=torch.bool)
        near[max(y - 2, 0) : y + 3, max(column - 2, 0) : column + 3] = True
        assert torch.equal(result[:, :, ~near], expected[:, :, ~near])
        assert result[:, :, near].isnan().all()


def test_same_bits_for_any_number_of_threads(threads):
    stencil, x, data_weight = problem((200, 50))
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(_ops.matting_product(stencil, x, data_weight))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


@settings(max_examples=25, deadline=None)
@given(h=st.integers(3, 20), w=st.integers(3, 40), classes=st.integers(1, 9), seed=st.integers(0, 1000))
def test_symmetric_and_positive(h, w, classes, seed):
    torch.manual_seed(seed)
    stencil, x, _ = problem((h, w), classes, torch.float64)
    y = torch.randn_like(x)
    Lx, Ly = _ops.matting_product(stencil, x, None), _ops.matting_product(stencil, y, None)
    torch.testing.assert_close((y * Lx).sum((2, 3)), (x * Ly).sum((2, 3)), rtol=1e-9, atol=1e-9)
    assert ((x * Lx).sum((2, 3)) >= 0).all()


@pytest.mark.parametrize("flip", [(-1,), (-2,), (-1, -2)])
def test_flips_commute(flip):
    image, x = torch.rand(1, 3, 13, 37, dtype=torch.float64), torch.randn(1, 2, 13, 37, dtype=torch.float64)
    expected = _ops.matting_product(_ops.matting_stencil(image, 1e-4, False)[0], x, None)
    flipped = _ops.matting_product(_ops.matting_stencil(image.flip(flip), 1e-4, False)[0], x.flip(flip), None)
    torch.testing.assert_close(flipped.flip(flip), expected, rtol=1e-9, atol=1e-9)


def test_gradients():
    stencil, x, data_weight = problem((5, 6), 2, torch.float64, n=1)
    x.requires_grad_()
    for d in (None, data_weight):
        assert gradcheck(lambda v, d=d: _ops.matting_product(stencil, v, d), x)
        assert gradgradcheck(lambda v, d=d: _ops.matting_product(stencil, v, d), x)


def test_opcheck():
    stencil, x, data_weight = problem((5, 9))
    opcheck(_ops.matting_product.default, (stencil, x.requires_grad_(), data_weight))
    opcheck(_ops.matting_product.default, (stencil, x, None))
    opcheck(_ops.matting_product.default, (stencil, x.detach().half().requires_grad_(), data_weight))
