"""suggest_settings against naive loops, and on images whose noise, edges and marks are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from closedform_wsss import functional, suggest_settings
from closedform_wsss.functional import SuggestedSettings


def slice_with_organ(noise: float = 0.0, contrast: float = 0.25, size: int = 96) -> torch.Tensor:
    """Grey ``(1, 1, H, W)``; a third of the windows lies on edges."""
    image = torch.full((1, 1, size, size), 0.4, dtype=torch.float64)
    image[..., ::16] += contrast
    return (image + noise * torch.randn(image.shape, dtype=torch.float64)).clamp(0, 1)


def dots(apart: int, size: int = 160) -> torch.Tensor:
    """Two classes in turns, so far apart."""
    marks = torch.full((1, size, size), 255)
    for number, column in enumerate(range(apart // 2, size, apart)):
        marks[0, ::3, column] = number % 2
    return marks


@pytest.mark.parametrize("noise", [0.005, 0.02, 0.05])
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_measured(noise, channels):
    image = (0.5 + noise * torch.randn(1, channels, 200, 201)).clamp(0, 1)
    assert suggest_settings(image).noise == pytest.approx(noise, rel=0.05)


@pytest.mark.parametrize("contrast", [0.1, 0.4])
def test_eps_makes_a_step_on_an_edge_cost_a_thousandth(contrast):
    """The cost of a unit step of the matte across the weaker edges, by ridge regression, over that in a flat window."""
    image = slice_with_organ(contrast=contrast)
    eps = suggest_settings(image).eps
    window = image[0, 0, :3, 15:18].numpy().ravel()  # a stripe of the contrast, one pixel wide
    step = (window > window.min()).astype(float)
    x = np.stack([window - window.mean(), np.ones(9)], 1)
    weight = np.linalg.solve(x.T @ x + np.diag([eps, 0]), x.T @ step)
    cost = ((step - x @ weight) ** 2).sum() + eps * weight[0] ** 2
    flat = ((step - step.mean()) ** 2).sum()
    assert cost / flat == pytest.approx(0.001, rel=0.02)


def test_variance_is_that_of_a_naive_loop():
    image = torch.rand(1, 1, 11, 14, dtype=torch.float64)
    pixels = image[0, 0].numpy()
    variances = sorted(pixels[i : i + 3, j : j + 3].var() for i in range(9) for j in range(12))
    expected = 0.009 * variances[round(0.9 * len(variances)) - 1]
    assert suggest_settings(image).eps == pytest.approx(expected)


def test_better_than_the_default_on_noisy_slices():
    """A disc of contrast 0.23 in noise of 0.06, with the background marked on one side only."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    truth = (x - 32) ** 2 + (y - 30) ** 2 < 16**2
    image = (0.35 + 0.23 * truth + 0.06 * torch.randn(4, 1, 64, 64)).clamp(0, 1)
    marks = torch.full((4, 64, 64), 255)
    marks[:, 4, 6:58], marks[:, 30, 26:38] = 0, 1

    def wrong(**options):
        return int((functional.solve_matting(marks, image, tol=1e-2, **options).alpha.argmax(1) != truth).sum())

    assert wrong(eps=suggest_settings(image, marks).eps) < 0.7 * wrong()


def test_colour_keeps_the_defaults():
    found = suggest_settings(torch.rand(2, 3, 40, 40))
    assert (found.eps, found.fidelity, found.scale) == (1e-7, 0.03, 1)


@pytest.mark.parametrize(
    ("apart", "scale", "fidelity"),
    [(8, 1, 0.03), (18, 1, 0.03), (26, 1, 0.03 / 4), (50, 1, 0.03 / 16), (90, 0.5, 0.03 / 4), (180, 0.25, 0.03)],
)
def test_scale_and_fidelity_follow_the_marks(apart, scale, fidelity):
    found = suggest_settings(torch.rand(1, 3, 400, 400), dots(apart, 400))
    assert found.scale == scale and found.fidelity == pytest.approx(fidelity)


def test_every_layout_and_type_gives_the_same():
    image = (slice_with_organ(0.02)[0, 0] * 255).round()
    marks = dots(26, 96)
    expected = suggest_settings((image / 255)[None, None], marks)
    grey = image.byte()[None, None]
    for other in (grey, [grey[0]], grey.float() / 255, grey.transpose(2, 3).contiguous().transpose(2, 3)):
        found = suggest_settings(other, [marks[0].byte()])
        assert found.eps == pytest.approx(expected.eps, rel=1e-4) and found.fidelity == expected.fidelity == 0.03 / 4
        assert found.noise == pytest.approx(expected.noise, rel=1e-4)
    three = suggest_settings(grey.expand(-1, 3, -1, -1), marks)  # as read_image gives it: three times the variance
    assert three.eps == pytest.approx(3 * expected.eps, rel=1e-4) and three.fidelity == expected.fidelity


def test_medians_over_images_of_several_sizes():
    images = [slice_with_organ(contrast=c, size=size)[0] for c, size in ((0.1, 40), (0.2, 64), (0.4, 96))]
    marks = [dots(26, 40)[0], dots(26, 64)[0], dots(8, 96)[0]]
    found = suggest_settings(images, marks)
    assert found.eps == pytest.approx(suggest_settings(images[1][None]).eps, rel=0.1) and found.fidelity == 0.03 / 4


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 1, 9), (2, 1, 2, 2), (1, 2, 7, 1)])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_tiny_flat_and_saturated(shape, value):
    found = suggest_settings(torch.full(shape, value), torch.full((shape[0], *shape[2:]), 255))
    assert (found.eps, found.scale, found.noise) == (1e-7, 1, 0)


def test_text_has_the_settings_and_the_reasons():
    text = str(suggest_settings(slice_with_organ(0.1, contrast=0.1), dots(26, 96)))
    assert text.startswith("eps=") and "fidelity=0.0075, scale=1" in text and "at least 20 pixels away" in text
    assert "noise: 0.1, as strong as these edges" in text
    assert str(SuggestedSettings(1e-7, 0.03, 1.0, 0.0, ())) == "eps=1e-07, fidelity=0.03, scale=1"


@pytest.mark.parametrize(
    ("images", "marks", "error", "message"),
    [
        (torch.rand(0, 3, 8, 8), None, ValueError, "images must hold at least one image, got none"),
        (3, None, TypeError, r"images must be a tensor or a sequence of tensors \(D, H, W\), got int"),
        (None, None, TypeError, "images must be a tensor or a sequence of tensors .* got NoneType"),
        ([1, 2], None, TypeError, "each image must be a tensor, got int"),
        ("ab", None, TypeError, "each image must be a tensor, got str"),
        (torch.rand(1, 1, 8, 8), 3, TypeError, r"marks must be a tensor or a sequence of tensors \(H, W\), got int"),
        (torch.rand(1, 1, 8, 8), [3], TypeError, "marks of each image must be a tensor, got int"),
        (torch.rand(1, 1, 8, 8), torch.tensor(3), ValueError, r"marks must be \(N, H, W\), got shape \(\)"),
        ([], None, ValueError, "images must hold at least one image, got none"),
        (torch.rand(3, 8, 8), None, ValueError, r"image must be \(N, D, H, W\) in \[0, 1\], got shape \(3, 8, 8\)"),
        (torch.rand(1, 1, 8, 8) * 300, None, ValueError, r"image must be in \[0, 1\]"),
        (torch.full((1, 1, 8, 8), torch.nan), None, ValueError, "got NaN values"),
        (torch.rand(1, 1, 8, 8), torch.zeros(2, 8, 8).long(), ValueError, "marks must be those of the 1 images, got 2"),
        (torch.rand(1, 1, 8, 8), torch.zeros(1, 8, 9).long(), ValueError, r"image's size \(8, 8\), got \(8, 9\)"),
        (torch.rand(1, 1, 8, 8), torch.zeros(1, 8, 8), TypeError, "marks must be an integer tensor, got torch.float32"),
        (torch.rand(1, 1, 8, 8), -torch.ones(1, 8, 8).long(), ValueError, "marks must hold classes >= 0"),
    ],
)
def test_bad_input(images, marks, error, message):
    with pytest.raises(error, match="suggest_settings: .*" + message):
        suggest_settings(images, marks)


def test_ignore_index_is_checked_without_marks() -> None:
    with pytest.raises(TypeError, match="suggest_settings: ignore_index must be an integer, got str"):
        suggest_settings(torch.rand(1, 1, 8, 8), ignore_index="255")


def test_marks_of_one_class_say_nothing_about_the_scale() -> None:
    marks = torch.full((1, 40, 50), 255)
    marks[0, 5, 5:40] = 1
    found = suggest_settings(torch.rand(1, 3, 40, 50), marks)
    assert (found.scale, found.fidelity) == (1.0, 0.03)
    assert found.reasons[-1] == "scale and fidelity: the defaults, without marks of two classes in an image"
