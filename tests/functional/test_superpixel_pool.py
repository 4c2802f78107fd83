"""Pixels to superpixels and back: kernels against loops and reference implementations, gradients, errors."""

import numpy as np
import pytest
import torch
from helpers import oracle
from helpers.superpixels import GRIDS, association, cells, gridded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

from closedform_wsss import Superpixels, _ops, _reference
from closedform_wsss.functional import superpixel_pool, superpixel_unpool

LARGE = [(130, 131, 64), (70, 90, 100), (65, 600, 600), (48, 64, 16)]


def problem(height, width, cell_size, channels=6, dtype=torch.float64, n=2):
    x = torch.randn(n, channels, height, width, dtype=dtype)
    s = torch.randn(n, channels, *cells(height, width, cell_size), dtype=dtype)
    return x, association(n, height, width, cell_size, dtype), s


@pytest.mark.parametrize("grid", GRIDS)
def test_agree_with_naive_loops(level, grid):
    x, q, s = problem(*grid)
    size = grid[2]
    for n in range(2):
        x_, q_, s_ = (t[n].numpy(force=True) for t in (x, q, s))
        cases = [
            (_ops.superpixel_pool(x, q, size), oracle.superpixel_sums(x_, q_, size)),
            (_ops.superpixel_unpool(s, q, size), oracle.superpixel_spread(s_, q_, size)),
            (_ops.superpixel_dot(x, s, size), oracle.superpixel_products(x_, s_, size)),
        ]
        for got, expected in cases:
            np.testing.assert_allclose(got[n].numpy(force=True), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS + LARGE)
@pytest.mark.parametrize("channels", [1, 3, 9])
def test_kernels_agree_with_twins(level, grid, channels):
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        x, q, s = problem(*grid, channels, dtype)
        for name, arguments in (
            ("superpixel_pool", (x, q)),
            ("superpixel_unpool", (s, q)),
            ("superpixel_dot", (x, s)),
        ):
            got = getattr(_ops, name)(*arguments, grid[2])
            expected = getattr(_reference, name)(*arguments, grid[2])
            assert got.shape == expected.shape and got.dtype == dtype and got.is_contiguous()
            scale = expected.abs().max().clamp_min(1)
            torch.testing.assert_close(got / scale, expected / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("cell_size", [10**9, 2**31 - 1, 2**40])
def test_a_cell_of_any_size_holds_the_whole_image(level, cell_size):
    """The kernels' integers have 32 bits."""
    x, q, s = problem(5, 7, 7)
    centers = torch.randn_like(s)
    for name, arguments in (
        ("superpixel_pool", (x, q)),
        ("superpixel_unpool", (s, q)),
        ("superpixel_dot", (x, s)),
        ("superpixel_assign", (x, centers)),
        ("superpixel_update", (x, centers)),
        ("asam_affinity", (q,)),
    ):
        operator = getattr(_ops, name)
        assert torch.equal(operator(*arguments, cell_size), operator(*arguments, 7)), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_and_calculated_in_float32(level, dtype):
    x, q, s = problem(13, 18, 5, dtype=torch.float32)
    x = x.to(dtype).requires_grad_()
    for op, other in ((_ops.superpixel_pool, q), (_ops.superpixel_dot, s)):
        got = op(x, other, 5)
        assert got.dtype == torch.float32 and torch.equal(got, op(x.detach().float(), other, 5))
        weight = torch.randn_like(got)
        (gradient,) = torch.autograd.grad(got, x, weight)
        (expected,) = torch.autograd.grad(op(y := x.detach().float().requires_grad_(), other, 5), y, weight)
        assert torch.equal(gradient, expected.to(dtype))
    opcheck(_ops.superpixel_pool.default, (x, q, 5))
    opcheck(_ops.superpixel_dot.default, (x, s, 5))


def test_what_q_gives_to_cells_outside_does_not_count(level):
    x, q, s = problem(13, 18, 5)
    wild = torch.where(q == 0, 7.0, q)  # zeros are outside
    assert torch.equal(_ops.superpixel_pool(x, wild, 5), _ops.superpixel_pool(x, q, 5))
    assert torch.equal(_ops.superpixel_unpool(s, wild, 5), _ops.superpixel_unpool(s, q, 5))
    assert (_ops.superpixel_dot(x, s, 5)[q == 0] == 0).all()


def test_one_nan_reaches_its_own_superpixels_only(level):
    x, q, _ = problem(40, 40, 8)
    expected = _ops.superpixel_pool(x, q, 8)
    x[0, 1, 17, 17] = torch.nan
    got = _ops.superpixel_pool(x, q, 8)
    near = torch.zeros(5, 5, dtype=torch.bool)
    near[1:4, 1:4] = True
    assert got[0, 1][near].isnan().all()
    got[0, 1][near] = expected[0, 1][near]
    assert torch.equal(got, expected)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_dot_is_zero_outside_whatever_the_pixels_hold(level, value):
    x, q, s = problem(13, 18, 5)
    x[:, 2] = value
    got = _ops.superpixel_dot(x, s, 5)
    assert (got[q == 0] == 0).all()  # zeros are outside
    assert not got[q != 0].isfinite().any()


def test_same_bits_for_any_number_of_threads(threads):
    x, q, s = problem(100, 90, 7, dtype=torch.float32)
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append((_ops.superpixel_pool(x, q, 7), _ops.superpixel_unpool(s, q, 7), _ops.superpixel_dot(x, s, 7)))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_any_strides(level):
    x, q, s = problem(20, 18, 5)
    views = [t.to(memory_format=torch.channels_last) for t in (x, q, s)]
    assert torch.equal(_ops.superpixel_pool(views[0], views[1], 5), _ops.superpixel_pool(x, q, 5))
    assert torch.equal(
        _ops.superpixel_unpool(views[2], views[1].mT.contiguous().mT, 5), _ops.superpixel_unpool(s, q, 5)
    )
    assert torch.equal(_ops.superpixel_dot(views[0], views[2], 5), _ops.superpixel_dot(x, s, 5))


@pytest.mark.parametrize("name", ["superpixel_pool", "superpixel_unpool", "superpixel_dot"])
def test_gradients_and_opcheck(name):
    x, q, s = (t.requires_grad_() for t in problem(5, 7, 3, 2, n=1))
    arguments = {"superpixel_pool": (x, q), "superpixel_unpool": (s, q), "superpixel_dot": (x, s)}[name]
    op = getattr(_ops, name)
    assert gradcheck(lambda a, b: op(a, b, 3), arguments)
    assert gradgradcheck(lambda a, b: op(a, b, 3), arguments)
    opcheck(op.default, (*arguments, 3))


@settings(max_examples=30, deadline=None)
@given(h=st.integers(1, 30), w=st.integers(1, 30), size=st.integers(1, 12), seed=st.integers(0, 1000))
def test_constants_stay_and_sums_are_kept(h, w, size, seed):
    torch.manual_seed(seed)
    x, q, _ = problem(h, w, size, 2, n=1)
    constant = torch.full_like(x, 0.7)
    pooled = superpixel_pool(constant, Superpixels(q, size))
    full = superpixel_pool(torch.ones_like(x), Superpixels(q, size), reduction="sum") > 0
    torch.testing.assert_close(pooled, torch.where(full, 0.7, 0.0).double())
    torch.testing.assert_close(superpixel_unpool(torch.full_like(pooled, 0.7), Superpixels(q, size)), constant)
    total = superpixel_pool(x, Superpixels(q, size), reduction="sum").sum((2, 3))
    torch.testing.assert_close(total, x.sum((2, 3)))


def test_hard_labels_agree_with_naive_loop():
    labels = torch.randint(0, 9, (2, 11, 7))
    labels[labels == 4] = 5  # a label without pixels
    x = torch.randn(2, 3, 11, 7, dtype=torch.float64, requires_grad=True)
    for reduction in ("mean", "sum"):
        got = superpixel_pool(x, labels, reduction=reduction, num_superpixels=10)
        assert got.shape == (2, 3, 10)
        for n in range(2):
            for label in range(10):
                inside = x[n][:, labels[n] == label]
                expected = inside.sum(1) if reduction == "sum" or inside.shape[1] == 0 else inside.mean(1)
                torch.testing.assert_close(got[n, :, label], expected)
    spread = superpixel_unpool(got, labels)
    for n in range(2):
        assert torch.equal(spread[n, :, 3, 2], got[n, :, labels[n, 3, 2]])
    assert gradcheck(lambda v: superpixel_unpool(superpixel_pool(v, labels), labels), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_superpixel_of_small_weight_has_the_mean_of_its_pixels(dtype):
    """Saturated logits leave little for the cell beside; only what would overflow counts as nothing."""
    for weight, expected in ((1e-9, 3.0), (1e-14, 0.0)):
        q = torch.zeros(1, 9, 4, 8, dtype=dtype)
        q[:, 4, :, :4], q[:, 5, :, :4], q[:, 3, :, 4:] = 1 - weight, weight, 1
        means = superpixel_pool(torch.full((1, 1, 4, 8), 3.0, dtype=dtype), Superpixels(q, 4))
        torch.testing.assert_close(means.flatten(), torch.tensor([3.0, expected], dtype=dtype))


def test_hard_labels_of_a_million_pixels():
    """Added up in float32, one after the other, these means are wrong by 1 %."""
    labels = torch.zeros(1, 1000, 1000, dtype=torch.uint8)
    labels[:, 0] = 1
    x = torch.full((1, 1, 1000, 1000), 0.1)
    assert superpixel_pool(x, labels).flatten().tolist() == pytest.approx([0.1, 0.1], rel=1e-6)
    sums = superpixel_pool(x, labels, reduction="sum")
    assert sums.dtype == torch.float32 and sums.flatten().tolist() == pytest.approx([99900, 100], rel=1e-6)
    s = torch.rand(1, 1, 2, requires_grad=True)
    (superpixel_unpool(s, labels) * x).sum().backward()
    assert s.grad.flatten().tolist() == pytest.approx([99900, 100], rel=1e-6)


def test_hard_labels_are_one_hot_association():
    """Labels of the cells themselves give what q = 1 on the own cell gives."""
    labels = (torch.arange(12)[:, None] // 4 * 3 + torch.arange(12) // 4)[None]
    q = torch.zeros(1, 9, 12, 12)
    q[:, 4] = 1
    x = torch.rand(1, 2, 12, 12)
    soft = superpixel_pool(x, Superpixels(q, 4))
    torch.testing.assert_close(superpixel_pool(x, labels), soft.flatten(2))
    torch.testing.assert_close(superpixel_unpool(soft.flatten(2), labels), superpixel_unpool(soft, Superpixels(q, 4)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype):
    x, q, s = problem(10, 12, 4)
    pooled = superpixel_pool(x.to(dtype), Superpixels(q, 4))
    assert pooled.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    tolerance = {torch.float16: 1e-2, torch.bfloat16: 5e-2}.get(dtype, 1e-5)
    torch.testing.assert_close(pooled.double(), superpixel_pool(x, Superpixels(q, 4)), rtol=tolerance, atol=tolerance)
    spread = superpixel_unpool(s, Superpixels(q.to(dtype), 4))
    torch.testing.assert_close(spread, superpixel_unpool(s, Superpixels(q, 4)), rtol=tolerance, atol=tolerance)


def test_empty_batch_and_no_channels():
    assert superpixel_pool(torch.rand(0, 3, 8, 8), Superpixels(torch.rand(0, 9, 8, 8), 4)).shape == (0, 3, 2, 2)
    assert superpixel_unpool(torch.rand(0, 3, 2, 2), Superpixels(torch.rand(0, 9, 8, 8), 4)).shape == (0, 3, 8, 8)
    assert superpixel_pool(torch.rand(1, 0, 8, 8), Superpixels(association(1, 8, 8, 4), 4)).shape == (1, 0, 2, 2)
    assert superpixel_pool(torch.rand(0, 3, 8, 8), torch.zeros(0, 8, 8, dtype=torch.long)).shape == (0, 3, 0)


def test_compiles():
    x, q, _ = problem(12, 10, 4, 2)

    def both(x, q):
        return superpixel_unpool(superpixel_pool(x, Superpixels(q, 4)), Superpixels(q, 4))

    for dynamic in (False, True):
        compiled = torch.compile(both, fullgraph=True, dynamic=dynamic, backend="aot_eager")
        torch.testing.assert_close(compiled(x, q), both(x, q))


X, Q = torch.rand(2, 3, 8, 8), association(2, 8, 8, 4)

LABELS = torch.zeros(2, 8, 8, dtype=torch.long)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((X[0], Q), {}, r"x must be \(N, C, H, W\), got shape \(3, 8, 8\)"),
        ((X.long(), Q), {}, "x must be floating point, got torch.int64"),
        ((X.numpy(force=True), Q), {}, r"x must be a tensor \(N, C, H, W\), got ndarray"),
        ((X, Q[:, :8]), {}, r"superpixels.assignment must be soft \(N, 9, H, W\), got shape \(2, 8, 8, 8\)"),
        ((X, Q[:1]), {}, "superpixels must be of 2 images"),
        ((X, Q[..., :7]), {}, "the same size"),
        ((X, Superpixels(Q, 0)), {}, "cell_size must be an integer >= 1, got 0"),
        ((X, Superpixels(Q, 4.0)), {}, "cell_size must be an integer >= 1, got float 4.0"),
        ((X, Q), {"reduction": "max"}, "reduction must be one of 'mean', 'sum', got 'max'"),
        ((X, Q), {"num_superpixels": 4}, "num_superpixels must be None for soft superpixels"),
        ((X, LABELS - 1), {}, "superpixels must hold labels >= 0, got -1"),
        ((X, LABELS + 3), {"num_superpixels": 3}, "labels below num_superpixels 3, got 3"),
        ((X, LABELS[:, None]), {}, r"labels \(N, H, W\), integers, got shape \(2, 1, 8, 8\)"),
        ((X, LABELS.bool()), {}, "integers, got shape"),
        ((X * torch.nan, Q), {}, "x must be finite, got NaN"),
        ((X, Q.index_fill(3, torch.tensor(5), torch.nan)), {}, "superpixels.assignment must be finite, got NaN"),
    ],
)
def test_pool_errors(arguments, options, message):
    with pytest.raises((TypeError, ValueError), match=f"superpixel_pool: .*{message}"):
        superpixel_pool(arguments[0], gridded(arguments[1]), **options)


S = torch.rand(2, 3, 2, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((S[..., :1], Q), r"s must be \(N, C, 2, 2\) for 8 x 8 pixels and cell_size 4, got shape \(2, 3, 2, 1\)"),
        ((S.long(), Q), "s must be floating point"),
        ((S, torch.full_like(Q, 1 / 9)), "add up to 1 over the superpixels inside the grid, got 0.4444"),
        ((S, Q * torch.nan), "add up to 1"),
        # in a row that the check of their sum does not read
        ((S, Q.index_fill(2, torch.tensor(1), torch.nan)), "superpixels.assignment must be finite, got NaN"),
        ((S, LABELS), r"s must be \(N, C, K\) for labels"),
        ((S.flatten(2), LABELS + 4), r"labels in \[0, 4\), got 4"),
        ((S * torch.inf, Q), "s must be finite, got infinite"),
    ],
)
def test_unpool_errors(arguments, message):
    with pytest.raises((TypeError, ValueError), match=f"superpixel_unpool: .*{message}"):
        superpixel_unpool(arguments[0], gridded(arguments[1]))
