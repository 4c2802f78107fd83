"""The threshold of a CAM: against a naive loop, on hard inputs, errors."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.pictures import photo
from skimage.color import rgb2lab

from closedform_wsss._threshold_scores import _color_cells, levels_like
from closedform_wsss.functional import calibrate_cam
from closedform_wsss.functional.calibrate_cam import best_level
from closedform_wsss.io import from_array
from closedform_wsss.superpixels.lab import rgb_to_lab

LEVELS = levels_like(torch.zeros(1, dtype=torch.float64)).numpy()


def binary_entropy(p: float) -> float:
    return -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)


def cells(image: np.ndarray) -> np.ndarray:
    """The colour cell of each pixel, as text."""
    names = np.full(image.shape[1:], "", dtype=object)
    side = {1: 8, 2: 8, 3: 8, 5: 3, 12: 2}[len(image)]
    for channel in image[:9]:
        low, high = channel.min(), channel.max()
        place = np.floor((channel - low) / max(high - low, 0.05) * side).clip(0, side - 1)
        names = names + place.astype(int).astype(str) + " "
    return names


def color_information(inside: np.ndarray, cell: np.ndarray) -> float:
    fraction = inside.mean()
    left = 0.0
    for name in set(cell.ravel()):
        here = cell == name
        p = (inside[here].sum() + 0.5 * fraction) / (here.sum() + 0.5)
        left += here.mean() * binary_entropy(p)
    return (binary_entropy(fraction) - left) / (binary_entropy(fraction) + 0.05)


def naive_level(cam: np.ndarray, image: np.ndarray) -> float:
    """t* of one map (H, W) on an image (D, H, W), threshold by threshold and pair by pair."""
    h, w = cam.shape
    if len(image) in (1, 3):
        rgb = np.broadcast_to(image, (3, h, w))
        image = np.moveaxis(rgb2lab(np.moveaxis(rgb, 0, -1)), -1, 0)[: len(image)] / 128
    cell = cells(image)
    scores = np.zeros((5, 41))
    for k, t in enumerate(LEVELS):
        inside = cam > t
        contrast = pairs = 0.0
        for y in range(h):
            for x in range(w):
                for y2, x2 in ((y + 1, x), (y, x + 1)):
                    if y2 < h and x2 < w and inside[y, x] != inside[y2, x2]:
                        contrast += np.linalg.norm(image[:, y, x] - image[:, y2, x2])
                        pairs += 1
        scores[0, k] = contrast / (pairs + 10)
        fraction = inside.mean()
        if 0 < fraction < 1:
            scores[1, k] = fraction * (1 - fraction) * (cam[inside].mean() - cam[~inside].mean()) ** 2
        scores[2, k] = color_information(inside, cell)
        scores[3, k] = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]]).mean()
        scores[4, k] = pairs / (math.sqrt(inside.sum()) + 3)
    log_weight = -((LEVELS - 0.33) ** 2) / (2 * 0.1**2)
    for row, weight in zip(scores, (2, 1.5, 1.5, -2.5, -1), strict=True):
        if row.std() > 1e-12:
            log_weight += weight * (row - row.mean()) / row.std()
    weight = np.exp(log_weight - log_weight.max())
    return float((weight * LEVELS).sum() / weight.sum())


@pytest.mark.parametrize("size", [(1, 1), (1, 12), (13, 17)])
@pytest.mark.parametrize("channels", [1, 2, 3, 5, 12])
def test_best_level_agrees_with_naive_loop(size, channels):
    image = torch.rand(2, channels, *size, dtype=torch.float64)
    image[1, 0] = 0.3 + 0.02 * image[1, 0]  # in one cell, or a few
    cam = torch.rand(2, 3, *size, dtype=torch.float64)
    cam[0, 1] = 0.3 + 0.02 * cam[0, 1]  # hardly any variance
    cam[0, 0] = torch.from_numpy(LEVELS)[torch.randint(41, size)]  # outside at its own threshold
    cam[1, 2] = 0.4 if size == (1, 1) else F.avg_pool2d(cam[1, 2][None], 1)[0] * 0.5
    got = best_level(cam, image)
    for n in range(2):
        for c in range(3):
            expected = naive_level(cam[n, c].numpy(), image[n].numpy())
            assert got[n, c].item() == pytest.approx(expected, abs=1e-9)


def test_level_is_the_power_of_its_formula():
    image, cam = torch.rand(1, 3, 20, 20, dtype=torch.float64), torch.rand(1, 2, 20, 20, dtype=torch.float64)
    cam[0, 0, 0, 0], cam[0, 0, 0, 1] = 0.0, 1.0
    t = best_level(cam, image)
    out = calibrate_cam(cam, image, level=0.3)
    for c in range(2):
        gamma = math.log(0.3) / math.log(t[0, c].item())
        torch.testing.assert_close(out[0, c], cam[0, c] ** gamma)
    assert out[0, 0, 0, 0] == 0 and out[0, 0, 0, 1] == 1


def test_grey_and_grey_as_rgb_agree():
    image, cam = torch.rand(1, 1, 40, 50), F.interpolate(torch.rand(1, 2, 4, 5), (40, 50), mode="bilinear")
    torch.testing.assert_close(calibrate_cam(cam, image.expand(-1, 3, -1, -1)), calibrate_cam(cam, image))


def test_rounding_and_noise_of_8_bits_make_no_colors():
    noisy = 0.5 + torch.randint(-1, 2, (1, 3, 40, 50)) / 255
    assert int(_color_cells(noisy).amax()) <= 1 + 8 + 64  # the lower two cells of each channel
    grey = rgb_to_lab(torch.rand(1, 1, 40, 50).expand(-1, 3, -1, -1)) / 128
    assert int(_color_cells(grey).amax()) < 8


@pytest.mark.parametrize("weak", [0.3, 0.5, 0.9])
def test_finds_the_object_however_weak_its_map_is(weak):
    y, x = torch.meshgrid(torch.arange(64) - 30, torch.arange(64) - 34, indexing="ij")
    distance = (x**2 + y**2).sqrt()
    image = from_array(photo(64, 64)) / 255 * 0.3 + 0.6 * (distance < 16)
    cam = (weak * (1.3 - distance / 40)).clamp(0, 1)[None, None]
    out = calibrate_cam(cam, image[None].clamp(0, 1))[0, 0] > 0.4
    truth = distance < 16
    assert (out & truth).sum() / (out | truth).sum() > 0.85


@pytest.mark.parametrize("colour", [(0, 0, 0), (1, 1, 1), (0.3, 0.3, 0.3), (0.2, 0.5, 0.7)])
def test_a_flat_image_says_nothing(colour):
    """Not what rounding leaves of the contrast and the colours, as large as any score once it is standardised."""
    cam = torch.rand(1, 3, 21, 34, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    image = torch.tensor(colour, dtype=torch.float64)[None, :, None, None].expand(1, 3, 21, 34)
    expected = [naive_level(m.numpy(), image[0].numpy()) for m in cam[0]]
    for dtype in (torch.float32, torch.float64):
        noise = 1e-6 * torch.rand(1, 3, 21, 34, dtype=dtype) * (1 - 2 * image[:, :1].round().to(dtype))
        assert best_level(cam.to(dtype), image.to(dtype))[0].tolist() == pytest.approx(expected, abs=1e-4)
        assert best_level(cam.to(dtype), image.to(dtype) + noise)[0].tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_hardly_changes_counts_if_it_is_more_than_rounding(dtype):
    """A single pixel of a flat image has another shade: contrast and colour change by less than 1e-4. On an image that
    is flat everywhere, a map varies by 0.002, and Otsu's variance by 1e-7."""
    y, x = torch.meshgrid(torch.arange(90) - 44.7, torch.arange(120) - 59.6, indexing="ij")
    cam = (1 - (y**2 + x**2).sqrt() / 45).clamp(0, 1).double()
    maps = torch.stack([cam, LEVELS[14] + 0.002 * (cam - 0.5)])
    image = torch.full((2, 1, 90, 120), 0.5, dtype=torch.float64)
    image[0, 0, 67, 60] = 0.53
    found = best_level(maps[:, None].to(dtype), image.to(dtype)).flatten().tolist()
    expected = [naive_level(*(x.numpy() for x in both)) for both in zip(maps, image, strict=True)]
    assert found == pytest.approx(expected, abs=1e-4)


def test_float32_finds_the_threshold_of_float64():
    """Most neighbours lie on the same side, and their contrast, of a noisy image 40000, must cancel."""
    y, x = torch.linspace(-1, 1, 375)[:, None], torch.linspace(-1, 1, 500)
    cam = (1 - 6 * ((y - 0.3) ** 2 + x**2).sqrt()).clamp_min(0.05) + (0.5 - 4 * ((y + 0.5) ** 2 + x**2).sqrt()).relu()
    image = torch.rand(1, 3, 375, 500, generator=torch.Generator().manual_seed(0))
    exact = best_level(cam.double()[None, None], image.double())
    assert abs(best_level(cam[None, None], image).item() - exact.item()) < 1e-4


def test_levels_and_values_beyond_the_range_of_rounding():
    np.testing.assert_allclose(LEVELS, np.linspace(0.1, 0.8, 41), rtol=0, atol=1e-15)
    image, cam = torch.rand(1, 3, 20, 20), torch.rand(1, 2, 20, 20) * 1.03 - 0.015
    assert torch.equal(calibrate_cam(cam, image), calibrate_cam(cam.clamp(0, 1), image))


def test_zero_maps_and_empty_batches():
    zero = torch.zeros(1, 1, 8, 8, requires_grad=True)
    calibrate_cam(zero, torch.rand(1, 3, 8, 8)).sum().backward()
    assert (zero.grad == 0).all()
    assert calibrate_cam(torch.rand(0, 2, 5, 5), torch.rand(0, 3, 5, 5)).shape == (0, 2, 5, 5)


IMAGE, CAM = torch.rand(1, 3, 16, 16), torch.rand(1, 2, 4, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: calibrate_cam(CAM.expand(2, -1, -1, -1), IMAGE),
            "calibrate_cam: cam and image must have the same batch size",
        ),
        (lambda: calibrate_cam(CAM, IMAGE, level=True), "level must be a number"),
        (lambda: calibrate_cam(CAM * 2, IMAGE), r"cam must be in \[0, 1\]"),
    ],
)
def test_errors(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
