"""Soft SLIC: against a naive k-means, on hard inputs, its gradients, errors."""

import numpy as np
import pytest
import torch
from helpers import oracle
from helpers.pictures import photo
from skimage.color import rgb2lab
from torch.autograd import gradcheck

from closedform_wsss._common.superpixel_grid import neighbours_inside
from closedform_wsss.functional import soft_slic
from closedform_wsss.io import from_array
from closedform_wsss.nn import SoftSLIC
from closedform_wsss.superpixels.lab import rgb_to_lab


def test_lab_is_that_of_scikit_image():
    image = torch.cat(
        [torch.rand(1, 3, 20, 30), torch.zeros(1, 3, 20, 30), torch.rand(1, 1, 20, 30).expand(1, 3, 20, 30)]
    )
    image = image.double()
    for n in range(3):
        expected = rgb2lab(image[n].permute(1, 2, 0).numpy())
        np.testing.assert_allclose(rgb_to_lab(image)[n].permute(1, 2, 0).numpy(), expected, atol=1e-8)
    grey = image[2:, :1]
    torch.testing.assert_close(rgb_to_lab(grey)[:, 0], rgb_to_lab(image[2:])[:, 0], rtol=0, atol=1e-3)


def test_colours_beyond_the_range_of_rounding():
    image = torch.rand(1, 3, 20, 30) * 1.03 - 0.015
    assert torch.equal(rgb_to_lab(image), rgb_to_lab(image.clamp(0, 1)))


def naive(image: np.ndarray, cell_size: int, num_iters: int, compactness: float, temperature: float) -> np.ndarray:
    """Soft k-means of one image (D, H, W) by the formulas."""
    h, w = image.shape[1:]
    y, x = np.mgrid[:h, :w] * compactness / cell_size
    features = np.concatenate([image, y[None], x[None]]) / np.sqrt(temperature)
    own = np.zeros((9, h, w))
    own[4] = 1
    ones = np.ones((1, h, w))
    q = own
    for _ in range(num_iters + 1):
        centers = oracle.superpixel_sums(features, q, cell_size) / oracle.superpixel_sums(ones, q, cell_size)
        q = oracle.soft_assignment(features, centers, cell_size)
    return q


@pytest.mark.parametrize("size", [(1, 1), (1, 19), (13, 21), (16, 8)])
@pytest.mark.parametrize(("num_iters", "cell_size"), [(0, 5), (3, 5), (3, 2**40)])  # one cell, larger than memory
def test_agrees_with_naive_k_means(size, num_iters, cell_size):
    image = torch.rand(2, 4, *size, dtype=torch.float64)
    options = {"cell_size": cell_size, "num_iters": num_iters, "compactness": 0.7, "temperature": 0.3}
    q = soft_slic(image, color_space=None, **options).assignment
    for n in range(2):
        np.testing.assert_allclose(q[n].numpy(), naive(image[n].numpy(), **options), atol=1e-10)


HARD = {
    "photo": from_array(photo(45, 62)),
    "flat": torch.full((3, 30, 31), 0.4),
    "black": torch.zeros(3, 30, 31),
    "black and white": (torch.rand(1, 30, 31, generator=torch.Generator().manual_seed(0)) > 0.5)
    .float()
    .expand(3, -1, -1),
    "one pixel wide": torch.rand(3, 50, 1),
    "half precision": torch.rand(3, 30, 31).half(),
    "grey": torch.rand(1, 30, 31),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_images(name):
    image = HARD[name][None]
    q = soft_slic(image, cell_size=8).assignment
    assert q.dtype == torch.float32 and q.shape == (1, 9, *image.shape[2:])
    assert torch.isfinite(q).all() and (q >= 0).all()
    torch.testing.assert_close(q.sum(1), torch.ones_like(q[:, 0]))
    assert (q[:, ~neighbours_inside(*image.shape[2:], 8, q.device)] == 0).all()


def test_superpixels_follow_an_edge():
    """A pixel beside an edge belongs to superpixels of its own side."""
    image = torch.zeros(1, 3, 32, 32)
    image[..., 13:] = 1
    q = soft_slic(image, cell_size=8).assignment
    hard = q.argmax(1)[0]
    column = torch.arange(32) // 8 + hard % 3 - 1
    left, right = column[:, 8:13].unique(), column[:, 13:16].unique()
    assert not set(left.tolist()) & set(right.tolist())


def test_a_batch_is_its_images():
    image = torch.rand(3, 3, 20, 27, dtype=torch.float64)
    q = soft_slic(image, cell_size=6).assignment
    torch.testing.assert_close(q, torch.cat([soft_slic(image[n : n + 1], cell_size=6).assignment for n in range(3)]))
    assert soft_slic(image[:0]).assignment.shape == (0, 9, 20, 27)


def test_gradient_reaches_the_image():
    image = torch.rand(1, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(1, 9, 5, 6, dtype=torch.float64)
    options = {"cell_size": 3, "num_iters": 2, "temperature": 500.0}
    assert gradcheck(lambda v: soft_slic(v, **options).assignment * weight, image)
    features = torch.rand(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert gradcheck(
        lambda v: soft_slic(v, color_space=None, cell_size=3, compactness=1.0, temperature=1.0).assignment * weight,
        features,
    )
    half = torch.rand(1, 3, 8, 8, dtype=torch.float16, requires_grad=True)
    soft_slic(half, cell_size=4).assignment[:, 4].sum().backward()
    assert half.grad.dtype == torch.float16 and torch.isfinite(half.grad).all()


def test_gradient_is_finite_on_black():
    image = torch.zeros(1, 3, 8, 8, requires_grad=True)
    (soft_slic(image, cell_size=4).assignment ** 2).sum().backward()
    assert torch.isfinite(image.grad).all()


def test_compiles():
    image = torch.rand(1, 3, 20, 24)
    compiled = torch.compile(lambda v: soft_slic(v, cell_size=8).assignment, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(image), soft_slic(image, cell_size=8).assignment)


IMAGE = torch.rand(1, 3, 8, 8)


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (IMAGE[0], {}, r"image must be \(N, D, H, W\) in \[0, 1\], got shape \(3, 8, 8\)"),
        (IMAGE * 255, {}, r"image must be in \[0, 1\], got values in .*divide by 255"),
        (IMAGE * torch.nan, {}, "image must be .* got NaN"),
        (IMAGE[:, :2], {}, "image must have 1 or 3 channels for color_space 'lab'"),
        (IMAGE.numpy(), {}, "image must be a tensor, got ndarray"),
        (IMAGE.byte(), {"color_space": None}, "image must be floating point with color_space=None"),
        (IMAGE * torch.nan, {"color_space": None}, "image must be finite, got NaN"),
        (IMAGE, {"color_space": "rgb"}, "color_space must be one of 'lab', None, got 'rgb'"),
        (IMAGE, {"cell_size": -1}, "cell_size must be an integer >= 1, got -1"),
        (IMAGE, {"num_iters": 1.5}, "num_iters must be an integer >= 0, got float 1.5"),
        (IMAGE, {"compactness": 0}, "compactness must be a finite number > 0, got 0"),
        (IMAGE, {"temperature": float("nan")}, "temperature must be a finite number > 0, got nan"),
    ],
)
def test_errors(image, options, message):
    with pytest.raises((TypeError, ValueError), match=f"soft_slic: {message}"):
        soft_slic(image, **options)


def test_the_module_passes_its_options_on():
    image = torch.rand(1, 3, 20, 25)
    options = {"cell_size": 5, "num_iters": 2, "compactness": 3.0, "temperature": 7.0, "color_space": None}
    assert torch.equal(SoftSLIC(**options)(image).assignment, soft_slic(image, **options).assignment)
    assert not torch.equal(soft_slic(image, **options).assignment, soft_slic(image, cell_size=5).assignment)
