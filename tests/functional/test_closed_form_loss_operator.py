"""closed_form_loss with a MattingLaplacian in place of the image."""

import pytest
import torch

from closedform_wsss import MattingLaplacian
from closedform_wsss.functional import closed_form_loss
from closedform_wsss.laplacian import KINDS
from closedform_wsss.nn import ClosedFormLoss

FORMS = ["residual", "energy"]


def problem(size=(8, 9), classes=3, n=2):
    """Logits, marks and image in float64."""
    image = torch.rand(n, 3, *size, dtype=torch.float64)
    logits = torch.randn(n, classes, *size, dtype=torch.float64)
    return logits, torch.where(torch.rand(n, *size) < 0.3, torch.randint(classes, (n, *size)), 255), image


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("radius", [1, 2])
def test_an_operator_does_what_its_image_does(form, kind, radius):
    logits, target, image = problem()
    laplacian = MattingLaplacian(image, kind=kind, eps=1e-5, radius=radius)
    expected = closed_form_loss(logits, target, image, form=form, kind=kind, eps=1e-5, radius=radius)
    assert closed_form_loss(logits, target, laplacian, form=form) == expected
    assert ClosedFormLoss(form=form)(logits, target, laplacian) == expected


def test_an_operator_in_float64_computes_float32_logits_in_float64():
    logits, target, image = problem()
    found = closed_form_loss(logits.float(), target, MattingLaplacian(image, eps=1e-4))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, closed_form_loss(logits.float().double(), target, image))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 1e-4}, "eps must be left out where image is a MattingLaplacian, which has eps=1e-05, got 0.0001"),
        ({"kind": "closed_form"}, "kind must be left out"),
        ({"radius": 1}, "radius must be left out"),
    ],
)
def test_an_operator_has_its_own_options(options, message):
    logits, target, image = problem()
    with pytest.raises(ValueError, match=f"closed_form_loss: {message}"):
        closed_form_loss(logits, target, MattingLaplacian(image, eps=1e-5), **options)


def test_an_operator_must_fit_the_logits():
    logits, target, image = problem()
    with pytest.raises(ValueError, match=r"closed_form_loss: logits must be \(N, C, \d+, \d+\) like the operator"):
        closed_form_loss(logits[..., 1:], target, MattingLaplacian(image))
    with pytest.raises(TypeError, match="closed_form_loss: logits is float64 but the operator was built from a"):
        closed_form_loss(logits, target, MattingLaplacian(image.float()))
