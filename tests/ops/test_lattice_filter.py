"""The filter on a lattice: against a naive one, its transpose, and the Gaussian that it approximates."""

import numpy as np
import pytest
import torch
from helpers.permutohedral import features, gaussian, naive_filter, normalised
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

from closedform_wsss import _ops, _reference
from closedform_wsss.lattice import image_lattice, joined, position_lattice, symmetric

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def lattice_of(image, position_sigma=3.0, color_sigma=0.2):
    return image_lattice(image, position_sigma, color_sigma)


def dense(lattice, pixels):
    """W as a matrix."""
    return lattice.filter(torch.eye(pixels, dtype=torch.float64)[None])[0]


@pytest.mark.parametrize("classes", [1, 7, 8, 21, 40, 56])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backwards", [False, True])
def test_agrees_with_the_reference(level, classes, dtype, backwards):
    for n, size in ((2, (9, 14)), (1, (1, 5)), (1, (30, 41))):
        x = torch.randn(n, size[0] * size[1], classes, dtype=dtype)
        lattice = _reference.lattice_build(torch.rand(n, 3, *size, dtype=dtype), 3.0, 0.2)[:3]
        expected = _reference.lattice_filter(x, *lattice, backwards)
        scale = expected.abs().max()
        got = _ops.lattice_filter(x, *lattice, backwards)
        torch.testing.assert_close(got / scale, expected / scale, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("shape", [(3, 8, 9), (1, 7, 6), (0, 9, 11), (3, 1, 8), (4, 5, 4)])
@pytest.mark.parametrize("backwards", [False, True])
def test_agrees_with_dictionaries(level, shape, backwards):
    # At a sigma of 2, pixels lie between two simplices, and rounding decides which points there are.
    image = torch.rand(1, *shape, dtype=torch.float64)
    x = torch.randn(1, shape[1] * shape[2], 3, dtype=torch.float64)
    expected = naive_filter(x[0].numpy(force=True), features(image[0].numpy(force=True), 2.3, 0.3), backwards)
    got = _ops.lattice_filter(x, *lattice_of(image, 2.3, 0.3), backwards)
    np.testing.assert_allclose(got[0].numpy(force=True), expected, rtol=0, atol=1e-9)


def smooth_image(size):
    coarse = torch.rand(1, 3, 4, 5, dtype=torch.float64)
    return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear", align_corners=True)


def test_approximates_the_gaussian():
    """The lattice has errors of its own: a piecewise linear kernel, and points that are missing where no pixel is near.
    Normalised, the products with a map in [0, 1] are right to some hundredths on average."""
    size = (24, 30)
    x = torch.rand(1, size[0] * size[1], 4, dtype=torch.float64)
    x[..., 0] = (torch.arange(size[0] * size[1]) % size[1] > 12).double()
    image = smooth_image(size)
    for lattice, feature, mean, most in (
        (image_lattice(image, 8.0, 0.15), features(image[0].numpy(), 8.0, 0.15), 0.02, 0.15),
        (position_lattice(image, 3.0), features(image[0, :0].numpy(), 3.0, 1.0), 0.005, 0.04),
    ):
        expected = torch.tensor(normalised(gaussian(feature))) @ x[0]
        error = (symmetric(lattice).filter(x)[0] - expected).abs()
        assert error.mean() < mean and error.max() < most, (error.mean(), error.max())


def test_backwards_is_the_transpose():
    image = torch.rand(1, 3, 6, 7, dtype=torch.float64)
    lattice = image_lattice(image, 3.0, 0.2)
    matrix = dense(lattice, 42)
    transposed = lattice.filter(torch.eye(42, dtype=torch.float64)[None], transposed=True)[0]
    torch.testing.assert_close(transposed, matrix.T, rtol=0, atol=1e-14)
    assert not torch.allclose(matrix, matrix.T, atol=1e-6)  # or there would be nothing to test


def test_two_lattices_in_one_are_their_sum():
    image = torch.rand(2, 3, 6, 7, dtype=torch.float64)
    first, second = symmetric(position_lattice(image, 2.0), 3.0), symmetric(image_lattice(image, 5.0, 0.2), 10.0)
    x = torch.randn(2, 42, 3, dtype=torch.float64)
    expected = torch.cat([first.filter(part[None]) for part in x]) + second.filter(x)
    torch.testing.assert_close(joined(first, second).filter(x), expected, rtol=0, atol=1e-12)


def test_images_of_a_batch_do_not_mix_and_may_have_lattices_of_any_size():
    images = torch.rand(7, 3, 12, 13)
    images[2] = 0.5
    x = torch.randn(7, 12 * 13, 5)
    together = image_lattice(images, 3.0, 0.1).filter(x)
    for n in range(7):
        alone = image_lattice(images[n : n + 1], 3.0, 0.1).filter(x[n : n + 1])
        assert torch.equal(together[n : n + 1], alone)


def test_symmetric_normalisation():
    image = torch.rand(1, 3, 6, 7, dtype=torch.float64)
    lattice = image_lattice(image, 3.0, 0.2)
    matrix = dense(lattice, 42)
    root = matrix.sum(1).sqrt()
    torch.testing.assert_close(
        dense(symmetric(lattice, 5.0), 42), 5 * matrix / root[:, None] / root, rtol=0, atol=1e-12
    )


def test_same_bits_for_any_number_of_threads(threads):
    for n in (1, 7):
        image, x = torch.rand(n, 3, 30, 40), torch.randn(n, 1200, 21)
        results = []
        for count in (1, 2, 3, 5):
            torch.set_num_threads(count)
            results.append(image_lattice(image, 3.0, 0.1).filter(x))
        assert all(torch.equal(results[0], other) for other in results[1:])


def test_any_layout(level):
    image = torch.rand(2, 3, 5, 6)
    lattice = lattice_of(image)
    x = torch.randn(2, 4, 30)
    expected = _ops.lattice_filter(x.transpose(1, 2).contiguous(), *lattice, False)
    assert torch.equal(_ops.lattice_filter(x.transpose(1, 2), *lattice, False), expected)


def test_gradient():
    lattice = lattice_of(torch.rand(2, 3, 3, 4, dtype=torch.float64))
    x = torch.randn(2, 12, 3, dtype=torch.float64, requires_grad=True)
    for backwards in (False, True):
        assert gradcheck(lambda x, b=backwards: _ops.lattice_filter(x, *lattice, b), x)
        assert gradgradcheck(lambda x, b=backwards: _ops.lattice_filter(x, *lattice, b), x)


def test_opcheck():
    lattice = image_lattice(torch.rand(2, 3, 4, 5), 3.0, 0.1)
    opcheck(_ops.lattice_filter.default, (torch.randn(2, 20, 3, requires_grad=True), *lattice, False))
