"""SLIC: what the wrapper adds to scikit-image, and hard images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.pictures import photo
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import slic as skimage_slic

from closedform_wsss.functional import slic
from closedform_wsss.io import from_array


def photos(n: int = 1, height: int = 60, width: int = 80) -> torch.Tensor:
    """``(n, 3, height, width)`` uint8."""
    return torch.stack([from_array(photo(height, width, seed)) for seed in range(n)])


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to the names of the labels."""
    pairs = len(np.unique(np.stack([a.ravel(), b.ravel()]), axis=1).T)
    return pairs == len(np.unique(a)) == len(np.unique(b))


def assert_without_gaps(labels: torch.Tensor) -> None:
    for own in labels:
        assert own.unique().tolist() == list(range(int(own.max()) + 1))


def test_each_image_as_scikit_image_segments_it() -> None:
    images = photos(3)
    labels = slic(images, cell_size=8, compactness=20.0, num_iters=4).assignment
    assert labels.shape == (3, 60, 80) and labels.dtype == torch.int64
    for image, own in zip(images, labels, strict=True):
        pixels = image.permute(1, 2, 0).numpy().astype(np.float32) / 255
        theirs = skimage_slic(pixels, n_segments=75, compactness=20.0, max_num_iter=4)
        assert same_partition(own.numpy(), theirs)
    assert_without_gaps(labels)


@pytest.mark.parametrize("channels", [2, 3, 5])
@pytest.mark.parametrize(("cell_size", "segments"), [(8, 75), (17, 17), (20.2, 12)])  # of 16.6 and 11.8
def test_other_channels_as_scikit_image_segments_them(channels: int, cell_size: float, segments: int) -> None:
    image = photos(2).flatten(0, 1)[None, :channels].float() / 255
    own = slic(image, cell_size=cell_size, compactness=20.0).assignment[0].numpy()
    options = {"compactness": 20.0 if channels == 3 else 0.2, "convert2lab": channels == 3}
    pixels = image[0].permute(1, 2, 0).numpy()
    assert same_partition(own, skimage_slic(pixels, n_segments=segments, max_num_iter=10, **options))


@pytest.mark.parametrize("cell_size", [5, 6.5, 16])
def test_number_and_connectivity(cell_size: float) -> None:
    labels = slic(photos(1, 120, 160), cell_size=cell_size).assignment[0].numpy()
    expected = labels.size / cell_size**2
    count = labels.max() + 1
    assert 0.6 * expected <= count <= 1.4 * expected
    assert all(ndimage.label(labels == k)[1] == 1 for k in range(count))


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    cell_size=st.integers(1, 12),
    compactness=st.sampled_from([0.1, 10.0, 1000.0]),
    share=st.sampled_from([0.0, 0.1, 0.5]),
    seed=st.integers(0, 99),
)
def test_labels_have_no_gaps(
    height: int, width: int, cell_size: int, compactness: float, share: float, seed: int
) -> None:
    """Specks, noise and flat images, on which superpixels are lost."""
    generator = torch.Generator().manual_seed(seed)
    image = (torch.rand(2, 3, height, width, generator=generator) < share).float()
    assert_without_gaps(slic(image, cell_size=cell_size, compactness=compactness).assignment)


def test_superpixels_follow_a_strong_edge() -> None:
    image = torch.zeros(1, 3, 40, 40)
    image[..., 17:] = 0.8
    labels = slic(image, cell_size=10).assignment[0]
    assert not set(labels[:, :17].flatten().tolist()) & set(labels[:, 17:].flatten().tolist())


def test_grey_is_its_copy_in_three_channels() -> None:
    grey = photos()[:, :1]
    assert torch.equal(slic(grey, cell_size=8).assignment, slic(grey.expand(-1, 3, -1, -1), cell_size=8).assignment)


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_other_channels_have_a_compactness_of_the_same_sense(channels: int) -> None:
    # Channels that repeat a ramp: in per cent as in CIELAB, compactness 10 follows the step and 1000 ignores it.
    image = torch.zeros(1, channels, 48, 48)
    image[..., 20:] = 0.5
    edge = slic(image, cell_size=16, compactness=10.0).assignment[0]
    square = slic(image, cell_size=16, compactness=1000.0).assignment[0]
    across = [set(m[:, 19].tolist()) & set(m[:, 20].tolist()) for m in (edge, square)]
    assert not across[0] and across[1]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_compactness_of_any_size(channels: int) -> None:
    """Not memory of others, where distances overflow."""
    image = torch.rand(1, channels, 24, 24)
    for least, most in ((1e-18, 1e-8), (1e18, 1e12)):
        found = slic(image, cell_size=6, compactness=least).assignment
        assert_without_gaps(found)
        assert torch.equal(found, slic(image, cell_size=6, compactness=most).assignment)


def test_dtypes_agree() -> None:
    image = photos()
    labels = slic(image).assignment
    assert torch.equal(slic(image.double() / 255).assignment, labels)
    assert torch.equal(slic(image.float() / 255).assignment, labels)
    half = slic(image.half() / 255).assignment
    assert half.shape == labels.shape
    assert_without_gaps(half)


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 1, 1, 7), (1, 3, 40, 1), (1, 2, 3, 2), (0, 3, 9, 8)])
@pytest.mark.parametrize("cell_size", [1, 2, 16])
def test_tiny_images(shape: tuple[int, ...], cell_size: int) -> None:
    labels = slic(torch.rand(shape), cell_size=cell_size).assignment
    assert labels.shape == (shape[0], *shape[2:]) and labels.dtype == torch.int64
    assert_without_gaps(labels)


def test_a_cell_of_one_pixel_is_that_pixel() -> None:
    assert slic(torch.rand(1, 3, 6, 7), cell_size=1).assignment.unique().numel() == 42


def test_flat_images_give_the_grid() -> None:
    labels = slic(torch.full((1, 3, 64, 48), 0.3)).assignment
    assert labels.unique().numel() == 12
    assert labels.flatten().bincount().tolist() == pytest.approx([256] * 12, rel=0.3)


def test_device_and_gradients(device: str) -> None:
    image = (photos(2).float() / 255).to(device).requires_grad_()
    labels = slic(image).assignment
    assert labels.device == image.device and not labels.requires_grad
    assert torch.equal(labels.cpu(), slic(image.detach().cpu()).assignment)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"image": torch.rand(3, 8, 8)}, r"image must be \(N, D, H, W\)"),
        ({"image": torch.full((1, 3, 4, 4), 200.0)}, r"image must be in \[0, 1\].*divide by 255"),
        ({"image": torch.full((1, 3, 4, 4), float("nan"))}, r"image must be in \[0, 1\], got NaN"),
        ({"cell_size": 0}, "cell_size must be a finite number > 0, got 0"),
        ({"cell_size": 0.5}, "cell_size must be >= 1, got 0.5"),
        ({"num_iters": 0}, "num_iters must be an integer >= 1, got 0"),
        ({"compactness": 0.0}, "compactness must be a finite number > 0"),
    ],
)
def test_values_are_checked(argument: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"slic: {message}"):
        slic(**({"image": torch.rand(1, 3, 8, 8)} | argument))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"image": np.zeros((1, 3, 4, 4))}, "image must be a tensor, got ndarray"),
        ({"image": torch.zeros(1, 3, 4, 4, dtype=torch.int64)}, "image must be floating point"),
        ({"cell_size": "8"}, "cell_size must be a number > 0, got str"),
        ({"num_iters": True}, "num_iters must be an integer >= 1, got bool True"),
        ({"compactness": "10"}, "compactness must be a number > 0, got str"),
    ],
)
def test_types_are_checked(argument: dict, message: str) -> None:
    with pytest.raises(TypeError, match=f"slic: {message}"):
        slic(**({"image": torch.rand(1, 3, 8, 8)} | argument))
