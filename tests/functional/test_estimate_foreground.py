"""The foreground's colours against a dense solution, and against colours that were mixed."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from helpers.oracle import hard_images

from closedform_wsss.functional import estimate_foreground


def dense_foreground(image: np.ndarray, alpha: np.ndarray, smoothness: float, gradient_weight: float) -> np.ndarray:
    """F (D, H, W) of least squares with one row for each term of the energy, from the definition."""
    d, h, w = image.shape
    index = np.arange(h * w).reshape(h, w)
    a, n = alpha.ravel(), h * w
    rows = [np.concatenate([np.diag(a), np.diag(1 - a)], 1)]
    for y in range(h):
        for x in range(w):
            for dy, dx in ((0, 1), (1, 0)):
                if y + dy < h and x + dx < w:
                    i, j = index[y, x], index[y + dy, x + dx]
                    root = np.sqrt(smoothness + gradient_weight * abs(a[i] - a[j]))
                    for layer in (0, n):
                        row = np.zeros((1, 2 * n))
                        row[0, layer + i], row[0, layer + j] = root, -root
                        rows.append(row)
    matrix = np.concatenate(rows)
    found = np.empty((d, h, w))
    for c in range(d):
        target = np.zeros(len(matrix))
        target[:n] = image[c].ravel()
        solved = np.linalg.lstsq(matrix, target, rcond=None)[0]
        solved = solved.clip(0, 1)
        for i in range(n):  # the closest pair of colours that mixes to the image
            m = np.array([a[i], 1 - a[i]])
            pair = solved[[i, n + i]]
            found[c].flat[i] = (pair + m * (image[c].flat[i] - m @ pair) / (m @ m))[0]
    return found.clip(0, 1)


def mixture(h: int, w: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An image of smooth layers between a soft edge, its matte and its foreground, float64."""
    y, x = torch.meshgrid(torch.linspace(0, 1, h).double(), torch.linspace(0, 1, w).double(), indexing="ij")
    alpha = torch.sigmoid((x - 0.3 - 0.4 * y) * 14)
    foreground = torch.stack([0.7 + 0.2 * x, 0.3 + 0.2 * y, 0.4 - 0.1 * x])
    background = torch.stack([0.2 + 0.1 * y, 0.5 - 0.2 * x, 0.8 - 0.2 * y])
    return (alpha * foreground + (1 - alpha) * background)[None], alpha[None], foreground[None]


@pytest.mark.parametrize("options", [(5e-3, 0.1), (0.05, 0.0), (1e-3, 1.0)])
def test_it_converges_to_the_dense_solution(options: tuple[float, float]) -> None:
    image, alpha, _ = mixture(11, 14)
    expected = dense_foreground(image[0].numpy(), alpha[0].numpy(), *options)
    found = estimate_foreground(image, alpha, smoothness=options[0], gradient_weight=options[1], num_iters=200)
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-6)
    # The default number of iterations is near, and near in float32.
    usual = estimate_foreground(image.float(), alpha.float(), smoothness=options[0], gradient_weight=options[1])
    weighted = alpha[0].numpy() * np.abs(usual[0].numpy() - expected)
    assert weighted.max() < 0.01


@pytest.mark.parametrize("name", hard_images())
def test_hard_images_against_the_dense_solution(name: str) -> None:
    image = hard_images()[name]
    alpha = np.random.default_rng(0).random(image.shape[1:]).round(1)  # with values 0 and 1
    expected = dense_foreground(image, alpha, 5e-3, 0.1)
    found = estimate_foreground(torch.from_numpy(image.copy())[None], torch.from_numpy(alpha)[None], num_iters=300)
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-6)


def test_colors_of_a_mixture_are_found() -> None:
    image, alpha, foreground = mixture(60, 80)
    found = estimate_foreground(image, alpha)
    error, mixed = (alpha[:, None] * (layer - foreground).abs() for layer in (found, image))
    assert error.max() < 0.03 and mixed.max() > 0.1
    background = estimate_foreground(image, 1 - alpha)
    torch.testing.assert_close(alpha[:, None] * found + (1 - alpha[:, None]) * background, image, rtol=0, atol=1e-3)


def test_where_alpha_is_0_or_1() -> None:
    image = torch.rand(1, 3, 9, 13)
    torch.testing.assert_close(estimate_foreground(image, torch.ones(1, 9, 13)), image, rtol=0, atol=1e-6)
    nothing = estimate_foreground(image, torch.zeros(1, 9, 13))
    torch.testing.assert_close(nothing, image.mean((2, 3), keepdim=True).expand_as(image), rtol=0, atol=1e-3)
    alpha = torch.zeros(1, 9, 13)
    alpha[..., 6:] = 1
    image[..., 6:] = torch.tensor([0.9, 0.2, 0.1])[:, None, None]
    found = estimate_foreground(image, alpha)
    torch.testing.assert_close(found[..., 6:], image[..., 6:], rtol=0, atol=1e-6)
    torch.testing.assert_close(found, found[..., 6:7].expand_as(found), rtol=0, atol=0.1)


@pytest.mark.parametrize("size", [(50, 70), (1, 90), (41, 16)])
def test_tiles_give_what_the_whole_gives(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    image, alpha = torch.rand(2, 3, *size), torch.rand(2, *size)
    whole = estimate_foreground(image, alpha, num_iters=5)
    module = sys.modules["closedform_wsss.functional.estimate_foreground"]
    monkeypatch.setattr(module, "_SIDE", 26)
    monkeypatch.setattr(module, "_SMALLEST_TILE", 8)
    torch.testing.assert_close(estimate_foreground(image, alpha, num_iters=5), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (33, 65)])
def test_every_size_and_a_flat_image(size: tuple[int, int]) -> None:
    image = torch.full((2, 3, *size), 0.3)
    alpha = torch.rand(2, *size)
    found = estimate_foreground(image, alpha)
    torch.testing.assert_close(found, image, rtol=0, atol=1e-5)
    assert torch.equal(estimate_foreground(image, alpha[:, None]), found)


def test_alpha_is_clipped_and_may_be_8_bit() -> None:
    image, alpha, _ = mixture(16, 20)
    bytes_ = (alpha * 255).round().byte()
    expected = estimate_foreground(image, bytes_.double() / 255)
    assert torch.equal(estimate_foreground(image, bytes_), expected)
    beyond = alpha * 1.2 - 0.1
    assert torch.equal(estimate_foreground(image, beyond), estimate_foreground(image, beyond.clamp(0, 1)))
    assert not estimate_foreground(image.requires_grad_(), alpha).requires_grad


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": torch.rand(1, 8, 9)}, r"alpha must be \(N, H, W\) = \(1, 8, 8\), the size of the image, got shape"),
        ({"alpha": torch.rand(8, 8)}, r"pass alpha\[None\] for one image"),
        ({"alpha": torch.rand(1, 2, 8, 8)}, r"the matte of one class, alpha\[:, 1\]"),
        ({"alpha": torch.full((1, 8, 8), torch.nan)}, "alpha must be finite, got NaN"),
        ({"alpha": torch.full((1, 8, 8), 255.0)}, "alpha must be in .* divide by 255, or pass uint8"),
        ({"alpha": torch.ones(1, 8, 8).long()}, "alpha must be floating point in .* got torch.int64"),
        ({"alpha": np.ones((1, 8, 8))}, "alpha must be a tensor"),
        ({"image": torch.full((1, 3, 8, 8), torch.nan)}, "image must be in .* got NaN"),
        ({"image": torch.rand(3, 8, 8)}, r"image must be \(N, D, H, W\)"),
        ({"smoothness": 0.0}, "smoothness must be a finite number > 0"),
        ({"gradient_weight": -1.0}, "gradient_weight must be a finite number >= 0"),
        ({"num_iters": 0}, "num_iters must be an integer >= 1"),
    ],
)
def test_errors(arguments: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^estimate_foreground: .*{message}"):
        estimate_foreground(**({"image": torch.rand(1, 3, 8, 8), "alpha": torch.rand(1, 8, 8)} | arguments))
