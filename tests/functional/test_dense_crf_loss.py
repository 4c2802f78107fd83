"""The dense CRF loss against a dense matrix, and its derivatives."""

import numpy as np
import pytest
import torch
from helpers.permutohedral import features, gaussian, naive_filter, normalised
from torch.autograd import gradcheck, gradgradcheck

from closedform_wsss.functional import dense_crf_loss
from closedform_wsss.nn import DenseCRFLoss

SIGMAS = {"position_sigma": 4.1, "color_sigma": 0.31}


def problem(n=2, classes=3, size=(6, 7)):
    image = torch.nn.functional.interpolate(torch.rand(n, 3, 3, 4, dtype=torch.float64), size=size, mode="bilinear")
    return 2 * torch.randn(n, classes, *size, dtype=torch.float64), image.clamp(0, 1)


def expected_loss(maps, image, exact):
    """Of one image, ``(C, H, W)``, with a dense matrix."""
    feature = features(image, *SIGMAS.values())
    kernel = normalised(gaussian(feature) if exact else naive_filter(np.eye(len(feature)), feature))
    x = maps.reshape(len(maps), -1)
    return (x * ((1 - x) @ kernel.T)).sum() / x.shape[1]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_value(activation):
    logits, image = problem()
    maps = {"softmax": logits.softmax(1), "sigmoid": logits.sigmoid(), None: logits}[activation]
    loss = dense_crf_loss(logits, image, activation=activation, reduction="none", **SIGMAS)
    for n in range(2):
        expected = expected_loss(maps[n].numpy(), image[n].numpy(), exact=False)
        np.testing.assert_allclose(loss[n].item(), expected, rtol=1e-8)
    for reduction in ("mean", "sum"):
        combined = dense_crf_loss(logits, image, activation=activation, reduction=reduction, **SIGMAS)
        torch.testing.assert_close(combined, getattr(loss, reduction)())


def test_value_is_close_to_that_of_gaussians():
    logits, image = problem(1, 4, (24, 30))
    expected = expected_loss(logits.softmax(1)[0].numpy(), image[0].numpy(), exact=True)
    np.testing.assert_allclose(dense_crf_loss(logits, image, **SIGMAS).item(), expected, rtol=0.03)


def test_derivatives():
    logits, image = problem(2, 2, (3, 4))
    logits.requires_grad_()
    for activation in ("softmax", "sigmoid", None):

        def loss(v, activation=activation):
            return dense_crf_loss(v, image, activation=activation, reduction="none", **SIGMAS)

        assert gradcheck(loss, logits) and gradgradcheck(loss, logits)


def test_small_where_classes_follow_the_colours():
    image = torch.zeros(1, 3, 20, 30)
    image[..., 15:] = 1
    right = torch.where(image[:, :1] > 0.5, 9.0, -9.0)
    wrong = right.roll(5, 3)
    values = [dense_crf_loss(torch.cat([x, -x], 1), image).item() for x in (right, wrong, torch.zeros_like(right))]
    assert values[0] < 1e-3 < 0.1 < values[1] < values[2] < 1


def test_gradient_lowers_the_loss():
    logits, image = problem(1, 3, (20, 20))
    logits.requires_grad_()
    before = dense_crf_loss(logits, image)
    (gradient,) = torch.autograd.grad(before, logits)
    assert dense_crf_loss(logits - 10 * gradient, image) < before


def test_dtypes():
    logits, image = problem()
    assert dense_crf_loss(logits, image).dtype == torch.float64
    single = dense_crf_loss(logits.float(), image)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), dense_crf_loss(logits, image.float()), rtol=1e-5, atol=1e-6)
    assert dense_crf_loss(logits.half(), image).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(dense_crf_loss(logits.float(), image), single)


def test_empty_batch():
    logits = torch.zeros(0, 3, 4, 5, requires_grad=True)
    loss = dense_crf_loss(logits, torch.rand(0, 3, 4, 5))
    loss.backward()
    assert loss == 0 and logits.grad.shape == logits.shape


def test_compiles_with_its_gradient():
    logits, image = problem()
    logits.requires_grad_()
    compiled = torch.compile(dense_crf_loss, fullgraph=True, backend="aot_eager")
    found, expected = (run(logits, image, **SIGMAS) for run in (compiled, dense_crf_loss))
    torch.testing.assert_close(found, expected)
    pair = [torch.autograd.grad(loss, logits)[0] for loss in (found, expected)]
    torch.testing.assert_close(*pair)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": torch.rand(1, 1, 4, 5)}, "logits must have 2 or more channels"),
        ({"logits": torch.full((1, 2, 4, 5), torch.nan)}, "logits must be finite, got NaN"),
        ({"image": torch.rand(1, 20, 4, 5)}, "image must have at most 13 channels"),
        ({"position_sigma": 0}, "position_sigma must be a finite number > 0"),
        ({"color_sigma": 1e-6}, "color_sigma must be a number >= 0.0001"),
        ({"activation": "relu"}, "activation must be one of"),
        ({"reduction": "max"}, "reduction must be one of"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"logits": torch.rand(1, 2, 4, 5), "image": torch.rand(1, 3, 4, 5), **change}
    with pytest.raises(ValueError, match=f"^dense_crf_loss: {message}"):
        dense_crf_loss(**arguments)
    if not {"logits", "image"} & change.keys():
        with pytest.raises(ValueError, match=f"^DenseCRFLoss: {message}"):
            DenseCRFLoss(**change)
