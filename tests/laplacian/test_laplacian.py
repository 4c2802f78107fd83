"""MattingLaplacian against dense float64 oracles, pymatting and its own definition."""

import math

import numpy as np
import pytest
import torch
from helpers.oracle import dense_laplacian, hard_images
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from closedform_wsss import MattingLaplacian
from closedform_wsss.functional import solve_matting
from closedform_wsss.laplacian import KINDS

HARD = hard_images()


def dense(laplacian, n=0):
    return laplacian.to_scipy(n).toarray()


def relative_error(laplacian, L, x):
    _, c, h, w = x.shape
    expected = (x[0].double().reshape(c, -1) @ torch.from_numpy(L)).view(c, h, w)
    return ((laplacian @ x)[0].double() - expected).abs().max() / expected.abs().max()


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("eps", [1e-7, 1e-3])
@pytest.mark.parametrize("kind", KINDS)
def test_product_on_hard_images(level, device, name, eps, kind):
    image = torch.from_numpy(HARD[name]).float()
    L = dense_laplacian(image.numpy(), eps, kind=kind)
    laplacian = MattingLaplacian(image[None].to(device), kind=kind, eps=eps)
    x = torch.rand(1, 3, *image.shape[1:]).to(device)
    assert relative_error(laplacian, L, x) < 2e-6
    if kind == "closed_form":
        assert (laplacian @ torch.full_like(x, 0.7)).abs().max() == 0
    exact = MattingLaplacian(image[None].to(device).double(), kind=kind, eps=eps)
    assert relative_error(exact, L, x.double()) < (1e-12 if kind == "closed_form" else 1e-11)


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("kind", KINDS)
def test_entries_and_diagonal_on_hard_images(name, kind):
    image = torch.from_numpy(HARD[name])
    L = dense_laplacian(HARD[name], kind=kind)
    laplacian = MattingLaplacian(image[None], kind=kind)
    np.testing.assert_allclose(dense(laplacian), L, rtol=0, atol=1e-11)
    np.testing.assert_allclose(laplacian.diagonal()[0, 0].numpy().ravel(), np.diag(L), rtol=0, atol=1e-11)
    np.testing.assert_allclose(laplacian.to_sparse_csr(0).to_dense().numpy(), L, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("radius", [2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_larger_windows_on_hard_images(device, name, radius, kind):
    image = torch.from_numpy(HARD[name])
    L = dense_laplacian(HARD[name], 1e-7, radius, kind)
    laplacian = MattingLaplacian(image[None].to(device), kind=kind, radius=radius)
    x = torch.rand(1, 3, *image.shape[1:], dtype=torch.float64, device=device)
    assert relative_error(laplacian, L, x) < 1e-8
    if kind == "closed_form":
        assert (laplacian @ torch.full_like(x, 0.7)).abs().max() == 0
    np.testing.assert_allclose(dense(laplacian), L, rtol=0, atol=1e-8)
    np.testing.assert_allclose(laplacian.diagonal()[0, 0].cpu().numpy().ravel(), np.diag(L), rtol=0, atol=1e-8)
    single = MattingLaplacian(image[None].float(), kind=kind, radius=radius)
    assert relative_error(single, L, x.cpu().float()) < 2e-6


class Work(TorchDispatchMode):
    """Counts additions: the values of all results, for a pooling times those of a window."""

    def __init__(self):
        super().__init__()
        self.values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        pooled = "pool" in func.__name__
        self.values += result.numel() * (math.prod(args[1]) if pooled else 1) if torch.is_tensor(result) else 0
        return result


def test_the_cost_of_larger_windows_hardly_depends_on_the_radius():
    image, x, work = torch.rand(1, 3, 144, 160), torch.rand(1, 2, 144, 160), []
    for radius in (2, 16):
        laplacian = MattingLaplacian(image, radius=radius)
        with Work() as counted:
            laplacian @ x
        work.append(counted.values)
    assert work[1] < 2 * work[0]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (2, 9), (9, 2), (3, 2), (3, 3), (3, 4)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_tiny_images(size, channels, kind):
    """Windows shrink to the image; the rest is as ever."""
    image = torch.rand(2, channels, *size, dtype=torch.float64)
    laplacian = MattingLaplacian(image, kind=kind, eps=1e-4)
    for n in range(2):
        L = dense_laplacian(image[n].numpy(), 1e-4, kind=kind)
        np.testing.assert_allclose(dense(laplacian, n), L, rtol=0, atol=1e-10)
        x = torch.rand(2, 2, *size, dtype=torch.float64)
        expected = (x[n].reshape(2, -1) @ torch.from_numpy(L)).view(2, *size)
        torch.testing.assert_close((laplacian @ x)[n], expected, rtol=0, atol=1e-10)
        np.testing.assert_allclose(laplacian.diagonal()[n, 0].numpy().ravel(), np.diag(L), rtol=0, atol=1e-10)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_channels(channels, kind):
    image = torch.rand(1, channels, 8, 9, dtype=torch.float64)
    L = dense_laplacian(image[0].numpy(), 1e-3, kind=kind)
    np.testing.assert_allclose(dense(MattingLaplacian(image, kind=kind, eps=1e-3)), L, rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_pymatting(kind):
    pymatting = pytest.importorskip("pymatting")
    image = HARD["photo"].transpose(1, 2, 0)
    baseline = pymatting.cf_laplacian if kind == "closed_form" else pymatting.lbdm_laplacian
    expected = baseline(np.ascontiguousarray(image), epsilon=1e-7).toarray()
    ours = dense(MattingLaplacian(torch.from_numpy(HARD["photo"])[None], kind=kind))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    h=st.integers(1, 12),
    w=st.integers(1, 12),
    channels=st.integers(1, 4),
    radius=st.integers(1, 3),
    log_eps=st.floats(-7, 0),
    levels=st.sampled_from([1, 2, 4, 255]),
    seed=st.integers(0, 100),
    kind=st.sampled_from(KINDS),
)
def test_properties(h, w, channels, radius, log_eps, levels, seed, kind):
    """Symmetric, positive semi-definite, rows that sum to zero; also of images with few grey levels."""
    if radius > 1 and 2 * radius + 1 > min(h, w):
        radius = 1
    rng = np.random.default_rng(seed)
    image = torch.from_numpy(np.round(rng.random((1, channels, h, w)) * levels) / levels)
    L = dense(MattingLaplacian(image, kind=kind, eps=10**log_eps, radius=radius))
    np.testing.assert_allclose(L, L.T, rtol=0, atol=1e-7)
    if kind == "closed_form":
        np.testing.assert_allclose(L.sum(1), 0, atol=1e-7)
    assert np.linalg.eigvalsh((L + L.T) / 2).min() > -1e-7


def test_quadratic_form():
    image = torch.rand(2, 3, 6, 7, dtype=torch.float64)
    x = torch.rand(2, 4, 6, 7, dtype=torch.float64)
    laplacian = MattingLaplacian(image, eps=1e-3)
    for n in range(2):
        L = dense_laplacian(image[n].numpy(), 1e-3)
        expected = [x[n, c].numpy().ravel() @ L @ x[n, c].numpy().ravel() for c in range(4)]
        np.testing.assert_allclose(laplacian.quadratic_form(x)[n].numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_differentiable_in_x(radius, kind):
    laplacian = MattingLaplacian(torch.rand(1, 3, 6, 5, dtype=torch.float64), kind=kind, eps=1e-3, radius=radius)
    x = torch.rand(1, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    for function in (laplacian.__matmul__, laplacian.quadratic_form):
        assert gradcheck(function, x)
        assert gradgradcheck(function, x[:, :1].detach().requires_grad_())


def test_constant_in_the_image():
    image = torch.rand(1, 3, 6, 5, requires_grad=True)
    x = torch.rand(1, 2, 6, 5, requires_grad=True)
    MattingLaplacian(image).quadratic_form(x).sum().backward()
    assert image.grad is None and x.grad is not None


def test_dtypes():
    image = torch.rand(1, 3, 8, 8)
    x = torch.rand(1, 2, 8, 8)
    laplacian = MattingLaplacian(image)
    for dtype in (torch.float16, torch.bfloat16):
        result = laplacian @ x.to(dtype)
        assert result.dtype == torch.float32
        torch.testing.assert_close(result, laplacian @ x.to(dtype).float())
    integers = (image * 255).round().to(torch.uint8)
    torch.testing.assert_close(
        MattingLaplacian(integers) @ x, MattingLaplacian(integers.float() / 255) @ x, rtol=0, atol=0
    )
    with pytest.raises(TypeError, match="x is float64 but the operator was built from"):
        laplacian @ x.double()


@pytest.mark.parametrize(("size", "radius"), [((6, 7), 1), ((2, 5), 1), ((1, 1), 1), ((7, 8), 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_windows_per_pixel_bound_the_operator(size, radius, kind):
    """Counted by hand, and diag(count) - L is positive semi-definite, for noise too."""
    image = torch.rand(1, 3, *size, dtype=torch.float64).round(decimals=1)
    laplacian = MattingLaplacian(image, kind=kind, radius=radius)
    h, w = (min(2 * radius + 1, s) for s in size)
    expected = np.zeros(size)
    for y in range(size[0] - h + 1):
        for x in range(size[1] - w + 1):
            expected[y : y + h, x : x + w] += 1
    np.testing.assert_array_equal(laplacian.windows_per_pixel()[0, 0].numpy(), expected)
    assert np.linalg.eigvalsh(np.diag(expected.ravel()) - dense(laplacian)).min() > -1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_the_image_may_be_overwritten(kind, dtype):
    """As by a loop that reads images into the same memory. The solver needs the pixels again."""
    image, marks = torch.rand(1, 3, 40, 44, dtype=dtype), torch.full((1, 40, 44), 255)
    marks[:, 5, 5:30], marks[:, 30, 5:30] = 0, 1
    laplacian = MattingLaplacian(image, kind=kind)
    expected = solve_matting(marks, laplacian)
    image.copy_(torch.rand_like(image))
    again = solve_matting(marks, laplacian)
    assert torch.equal(again.alpha, expected.alpha) and again.iterations == expected.iterations


@pytest.mark.parametrize("kind", KINDS)
def test_data_weight(kind):
    laplacian = MattingLaplacian(torch.rand(2, 3, 8, 8), kind=kind, eps=1e-3)
    x, data_weight = torch.rand(2, 2, 8, 8), torch.rand(2, 8, 8)
    torch.testing.assert_close(laplacian.product(x, data_weight), laplacian @ x + data_weight[:, None] * x)


def test_empty_batch():
    laplacian = MattingLaplacian(torch.rand(0, 3, 8, 8))
    assert (laplacian @ torch.rand(0, 2, 8, 8)).shape == (0, 2, 8, 8)
    assert (MattingLaplacian(torch.rand(1, 3, 8, 8)) @ torch.rand(1, 0, 8, 8)).shape == (1, 0, 8, 8)


IMAGE = torch.rand(1, 3, 8, 9)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("a.png",), {}, TypeError, r"MattingLaplacian: image must be a tensor \(N, D, H, W\), got str"),
        (
            (IMAGE[0],),
            {},
            ValueError,
            r"MattingLaplacian: image must be \(N, D, H, W\) .* got shape \(3, 8, 9\)",
        ),
        (
            (IMAGE.long(),),
            {},
            TypeError,
            r"image must be floating point in \[0, 1\] or uint8, got torch.int64",
        ),
        ((IMAGE * 255,), {}, ValueError, r"image must be in \[0, 1\], got values in .* divide by 255"),
        ((IMAGE - 0.5,), {}, ValueError, r"image must be in \[0, 1\], .* before mean/std normalisation"),
        ((IMAGE / 0,), {}, ValueError, r"image must be in \[0, 1\]"),
        ((IMAGE * torch.nan,), {}, ValueError, r"image must be in \[0, 1\], got NaN"),
        ((IMAGE,), {"eps": 0}, ValueError, r"eps must be a finite number > 0, got 0"),
        ((IMAGE,), {"eps": -1e-7}, ValueError, r"eps must be a finite number > 0, got -1e-07"),
        ((IMAGE,), {"eps": "small"}, TypeError, r"eps must be a number > 0, got str 'small'"),
        ((IMAGE,), {"radius": 0}, ValueError, r"radius must be an integer >= 1, got 0"),
        ((IMAGE,), {"radius": 1.5}, TypeError, r"radius must be an integer >= 1, got float 1.5"),
        (
            (IMAGE,),
            {"radius": 4},
            ValueError,
            r"radius must leave a window .* got radius 4 \(window 9\) .* 8 x 9",
        ),
    ],
)
def test_bad_input(arguments, options, error, message):
    with pytest.raises(error, match=message):
        MattingLaplacian(*arguments, **options)


def test_bad_products():
    laplacian = MattingLaplacian(IMAGE)
    for x, error, message in [
        (
            torch.rand(1, 2, 9, 8),
            ValueError,
            r"x must be \(N, C, 8, 9\) like the operator, got shape \(1, 2, 9, 8\)",
        ),
        (torch.rand(2, 2, 8, 9), ValueError, r"x and image must have the same batch size, got 2 and 1"),
        (torch.ones(1, 2, 8, 9).long(), TypeError, r"x must be floating point, got torch.int64"),
        (torch.rand(8, 9), ValueError, r"x must be \(N, C, H, W\), got shape \(8, 9\)"),
        (torch.rand(1, 2, 8, 9, device="meta"), ValueError, r"x must be on the image's device cpu, got meta"),
    ]:
        with pytest.raises(error, match=message):
            laplacian @ x
    with pytest.raises(TypeError, match="data_weight must be a tensor, got float"):
        laplacian.product(torch.rand(1, 2, 8, 9), 1.0)
    with pytest.raises(ValueError, match=r"data_weight must be on the .*, got meta"):
        laplacian.product(torch.rand(1, 2, 8, 9), torch.ones(1, 8, 9, device="meta"))
    with pytest.raises(ValueError, match=r"data_weight must be \(N, H, W\) = \(1, 8, 9\), got shape \(8, 9\)"):
        laplacian.product(torch.rand(1, 2, 8, 9), torch.rand(8, 9))
    with pytest.raises(IndexError, match="n must be an image in"):
        laplacian.to_scipy(1)
    for n in (0.5, "0", None, [0]):
        for convert in (laplacian.to_scipy, laplacian.to_sparse_csr):
            with pytest.raises(TypeError, match="MattingLaplacian: n must be an integer, got"):
                convert(n)
