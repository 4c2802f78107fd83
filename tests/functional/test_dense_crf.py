"""The dense CRF against mean field with dense matrices, and against what must hold for every result."""

import numpy as np
import pytest
import torch
from helpers.layouts import LAYOUTS
from helpers.permutohedral import features, gaussian, naive_filter, normalised

from closedform_wsss import _reference
from closedform_wsss.functional import dense_crf, dense_crf_loss
from closedform_wsss.nn import DenseCRF, DenseCRFLoss

OPTIONS = {
    **{"smoothness_weight": 2.0, "smoothness_sigma": 2.3, "appearance_weight": 4.0, "position_sigma": 6.1},
    "color_sigma": 0.23,
}


def problem(n=1, classes=3, size=(12, 15), dtype=torch.float64):
    """Noisy probabilities on a smooth image."""
    image = torch.nn.functional.interpolate(torch.rand(n, 3, 3, 4, dtype=dtype), size=size, mode="bilinear")
    return (2 * torch.randn(n, classes, *size, dtype=dtype)).softmax(1), image.clamp(0, 1)


def mean_field(probs, matrices, num_iters):
    """Of probs ``(C, H, W)``, with the products with matrices ``(P, P)`` added up."""
    unary = np.log(np.clip(probs.reshape(len(probs), -1).T, 1e-5, None))
    q = np.exp(unary) / np.exp(unary).sum(1, keepdims=True)
    for _ in range(num_iters):
        logits = unary + sum(matrix @ q for matrix in matrices)
        q = np.exp(logits - logits.max(1, keepdims=True))
        q /= q.sum(1, keepdims=True)
    return q.T.reshape(probs.shape)


def kernels(image, exact):
    """The two weighted, normalised kernels: Gaussians, or those of the lattice from a naive implementation."""
    pairs = []
    for maps, position, color, weight in (
        (image[:0], OPTIONS["smoothness_sigma"], 1.0, OPTIONS["smoothness_weight"]),
        (image, OPTIONS["position_sigma"], OPTIONS["color_sigma"], OPTIONS["appearance_weight"]),
    ):
        feature = features(maps, position, color)
        kernel = gaussian(feature) if exact else naive_filter(np.eye(len(feature)), feature)
        pairs.append(weight * normalised(kernel))
    return pairs


@pytest.mark.parametrize("classes", [2, 5, 9])
def test_is_mean_field_on_the_lattice(classes):
    probs, image = problem(classes=classes)
    matrices = kernels(image[0].numpy(), exact=False)
    for num_iters in (0, 1, 4):
        expected = mean_field(probs[0].numpy(), matrices, num_iters)
        q = dense_crf(probs, image, num_iters=num_iters, **OPTIONS)
        np.testing.assert_allclose(q[0].numpy(), expected, rtol=0, atol=1e-8)


def test_is_close_to_mean_field_with_gaussians():
    """The lattice has errors of its own, so a few labels may differ."""
    probs, image = problem(classes=4, size=(24, 30))
    expected = mean_field(probs[0].numpy(), kernels(image[0].numpy(), exact=True), 5)
    q = dense_crf(probs, image, num_iters=5, **OPTIONS)[0].numpy()
    assert np.abs(q - expected).mean() < 0.02
    assert (q.argmax(0) == expected.argmax(0)).mean() > 0.97
    assert (q.argmax(0) != probs[0].numpy().argmax(0)).mean() > 0.1  # it does something


@pytest.mark.parametrize("left_out", ["smoothness_weight", "appearance_weight"])
def test_a_kernel_of_weight_zero_is_left_out(left_out):
    probs, image = problem()
    smoothness, appearance = kernels(image[0].numpy(), exact=False)
    expected = mean_field(probs[0].numpy(), [appearance if left_out == "smoothness_weight" else smoothness], 3)
    q = dense_crf(probs, image, num_iters=3, **{**OPTIONS, left_out: 0})
    np.testing.assert_allclose(q[0].numpy(), expected, rtol=0, atol=1e-8)


def test_no_kernel_only_normalises():
    probs, image = torch.rand(2, 3, 4, 5, dtype=torch.float64) * 0.4 + 0.1, torch.rand(2, 3, 4, 5)
    q = dense_crf(probs, image, smoothness_weight=0, appearance_weight=0)
    torch.testing.assert_close(q, probs / probs.sum(1, keepdim=True), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (13, 7), (64, 65)])
@pytest.mark.parametrize("classes", [2, 8, 21, 33])
def test_probabilities_at_every_size(size, classes):
    probs, image = problem(2, classes, size, torch.float32)
    q = dense_crf(probs, image)
    assert q.shape == probs.shape and q.is_contiguous() and q.min() >= 0
    torch.testing.assert_close(q.sum(1), torch.ones(2, *size), rtol=0, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_flat_image(value):
    probs, _ = problem(dtype=torch.float32)
    q = dense_crf(probs, torch.full((1, 3, 12, 15), value), num_iters=5)
    assert q.isfinite().all()
    assert len(q.argmax(1).unique()) == 1  # one region, one class


def test_certain_probabilities_stay_finite():
    probs = torch.zeros(1, 3, 12, 15)
    probs[:, 0, :, :8], probs[:, 2, :, 8:] = 1, 1
    image = probs[:, :1].expand(1, 3, -1, -1)
    q = dense_crf(probs, image)
    assert q.isfinite().all() and torch.equal(q.argmax(1), probs.argmax(1))


def test_noise_goes_and_edges_stay():
    image = torch.zeros(1, 3, 40, 60)
    image[..., 30:] = 0.8
    truth = (image[:, 0] > 0.4).long()
    p = (0.5 + 0.3 * (truth - 0.5) + 0.25 * torch.randn(1, 40, 60)).clamp(0.01, 0.99)
    q = dense_crf(torch.stack([1 - p, p], 1), image)
    assert ((p > 0.5) == truth).float().mean() < 0.85
    assert torch.equal(q.argmax(1), truth)


def test_float32_float64_half_and_uint8():
    probs, image = problem(2)
    image = (image * 255).round().to(torch.uint8)
    expected = dense_crf(probs, image.double() / 255)
    assert expected.dtype == torch.float64
    q = dense_crf(probs.float(), image)
    assert q.dtype == torch.float32
    torch.testing.assert_close(q.double(), expected, rtol=0, atol=1e-4)
    for half in (torch.float16, torch.bfloat16):
        assert torch.equal(dense_crf(probs.to(half), image), dense_crf(probs.to(half).float(), image))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_any_number_of_channels(channels):
    probs, _ = problem(2, size=(7, 8))
    image = torch.rand(2, channels, 7, 8, dtype=torch.float64)
    matrices = [weight * normalised(naive_filter(np.eye(56), feature)) for weight, feature in (
        (2.0, features(image[1, :0].numpy(), 2.3, 1.0)), (4.0, features(image[1].numpy(), 6.1, 0.6)),
    )]  # fmt: skip
    q = dense_crf(probs, image, num_iters=2, **{**OPTIONS, "color_sigma": 0.6})
    np.testing.assert_allclose(q[1].numpy(), mean_field(probs[1].numpy(), matrices, 2), rtol=0, atol=1e-8)


def test_the_image_is_resized():
    probs, image = problem(dtype=torch.float32)
    large = torch.nn.functional.interpolate(image, scale_factor=2, mode="nearest")
    small = torch.nn.functional.interpolate(large, size=(12, 15), mode="bilinear", antialias=True)
    assert torch.equal(dense_crf(probs, large), dense_crf(probs, small))


def test_a_batch_gives_the_bits_of_its_images(threads):
    probs, image = problem(7, 21, (20, 30), torch.float32)
    image[3] = 0.5
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        together = dense_crf(probs, image, num_iters=3)
        for n in range(7):
            assert torch.equal(dense_crf(probs[n : n + 1], image[n : n + 1], num_iters=3), together[n : n + 1])


def test_same_bits_for_any_number_of_threads(threads):
    probs, image = problem(2, 21, (40, 50), torch.float32)
    results = []
    for count in (1, 2, 3, 5):
        torch.set_num_threads(count)
        results.append(dense_crf(probs, image))
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_every_layout():
    probs, image = problem(2, dtype=torch.float32)
    expected = dense_crf(probs, image)
    for layout in LAYOUTS:
        assert torch.equal(dense_crf(layout(probs), layout(image)), expected)


def test_no_gradient():
    probs, image = problem()
    assert not dense_crf(probs.requires_grad_(), image.requires_grad_()).requires_grad


def test_nothing_to_do():
    for shape in ((0, 3, 4, 5), (2, 3, 0, 5)):
        q = dense_crf(torch.rand(shape), torch.rand(shape[0], 3, 4, 5))
        assert q.shape == shape and q.dtype == torch.float32


def test_compiles():
    probs, image = problem(2, dtype=torch.float32)
    compiled = torch.compile(dense_crf, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(probs, image), dense_crf(probs, image))


def test_plain_pytorch_gives_the_same(monkeypatch):
    """The path of devices without kernels."""
    from closedform_wsss import _ops

    probs, image = problem(2)
    expected = dense_crf(probs, image, num_iters=3, **OPTIONS)
    for name in ("lattice_build", "lattice_filter", "lattice_mean_field"):
        monkeypatch.setattr(_ops, name, getattr(_reference, name))
    torch.testing.assert_close(dense_crf(probs, image, num_iters=3, **OPTIONS), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probs": torch.full((1, 1, 4, 5), 0.5)}, r"probs must have 2 or more channels.*torch.cat"),
        ({"probs": torch.full((1, 2, 4, 5), torch.nan)}, "probs must be in .0, 1., got NaN"),
        ({"probs": torch.full((1, 2, 4, 5), 3.0)}, r"probs must be in \[0, 1\], got values in \[3, 3\]"),
        ({"probs": torch.rand(2, 2, 4, 5)}, "probs and image must have the same batch size, got 2 and 1"),
        ({"image": torch.full((1, 3, 4, 5), torch.nan)}, "image must be in .0, 1., got NaN"),
        ({"image": torch.rand(1, 14, 4, 5)}, "image must have at most 13 channels"),
        ({"num_iters": -1}, "num_iters must be an integer >= 0, got -1"),
        ({"smoothness_weight": -1}, "smoothness_weight must be a finite number >= 0"),
        ({"appearance_weight": float("inf")}, "appearance_weight must be a finite number >= 0"),
        ({"smoothness_sigma": 0}, "smoothness_sigma must be a finite number > 0"),
        ({"position_sigma": 1e-4}, r"position_sigma must be a number >= 0.001, got 0.0001"),
        ({"color_sigma": 1e-5}, r"color_sigma must be a number >= 0.0001, got 1e-05"),
        ({"color_sigma": 13}, r"color_sigma must be a number <= 1, for colours in \[0, 1\], got 13: divide by 255"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"probs": torch.rand(1, 2, 4, 5), "image": torch.rand(1, 3, 4, 5), **change}
    with pytest.raises(ValueError, match=f"^dense_crf: {message}"):
        dense_crf(**arguments)
    options = {name: value for name, value in change.items() if name not in ("probs", "image")}
    if options:
        with pytest.raises(ValueError, match=f"^DenseCRF: {message}"):
            DenseCRF(**options)


def test_modules_keep_their_options():
    probs, image = problem(2, dtype=torch.float32)
    module = DenseCRF(num_iters=3, **OPTIONS)
    assert torch.equal(module(probs, image), dense_crf(probs, image, num_iters=3, **OPTIONS))
    assert "num_iters=3, smoothness_weight=2.0" in repr(module)
    criterion = DenseCRFLoss(position_sigma=5.0, color_sigma=0.3, activation=None, reduction="none")
    expected = dense_crf_loss(probs, image, position_sigma=5.0, color_sigma=0.3, activation=None, reduction="none")
    assert torch.equal(criterion(probs, image), expected)
