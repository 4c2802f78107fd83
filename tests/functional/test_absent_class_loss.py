"""absent_class_loss against the formula, pixel by pixel."""

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from closedform_wsss.functional import absent_class_loss, classes_present

PRESENT = torch.tensor([[True, False, True, False], [False, True, False, False]])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("soft", [False, True])
def test_agrees_with_the_formula(dtype, soft):
    logits = torch.randn(2, 4, 3, 5).to(dtype)
    present = torch.tensor([[1, 0, 0.5, 0.1], [0, 1, 0, 0.2]]) if soft else PRESENT
    expected = []
    for n in range(2):
        total = 0.0
        for y in range(3):
            for x in range(5):
                e = [math.exp(v) for v in logits[n, :, y, x].tolist()]
                total -= math.log(sum(v * float(t) for v, t in zip(e, present[n], strict=True)) / sum(e))
        expected.append(total / 15)
    found = absent_class_loss(logits, present, reduction="none")
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=found.dtype))
    torch.testing.assert_close(absent_class_loss(logits, present), found.mean())
    torch.testing.assert_close(absent_class_loss(logits, present, reduction="sum"), found.sum())


def test_gradients():
    logits = torch.randn(2, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda v: absent_class_loss(v, PRESENT), logits)
    assert gradgradcheck(lambda v: absent_class_loss(v, PRESENT), logits)


def test_images_without_a_class_and_with_all_classes_count_nothing():
    logits = torch.randn(2, 4, 4, 4, requires_grad=True)
    loss = absent_class_loss(logits, torch.tensor([[False] * 4, [True] * 4]))
    loss.backward()
    assert loss.abs() < 1e-6 and logits.grad.abs().max() < 1e-6


def test_very_confident_logits_stay_finite():
    logits = torch.tensor([1e4, -1e4, -1e4, 0.0]).view(1, 4, 1, 1).requires_grad_()
    loss = absent_class_loss(logits, PRESENT[1:])
    loss.backward()
    assert loss == 2e4 and logits.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tiny_probabilities_keep_their_digits(dtype):
    """One pixel whose classes have less than the smallest normal number beside one with ordinary ones."""
    gap = 95.0 if dtype == torch.float32 else 720.0
    logits = torch.tensor([[gap, 0.25, -gap, 0.0], [0.3, 0.1, -0.2, 0.0]], dtype=dtype).T.reshape(1, 4, 1, 2)
    logits.requires_grad_()
    loss = absent_class_loss(logits, torch.tensor([[False, True, True, False]]), reduction="sum")
    x = logits.detach().double()[0, :, 0]
    expected = (x.logsumexp(0) - torch.stack([x[1, 0], x[1:3, 1].logsumexp(0)])).mean()
    torch.testing.assert_close(loss.double(), expected)
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(gradient[0, :2, 0, 0], torch.tensor([0.5, -0.5], dtype=dtype))


def test_paths_agree(monkeypatch):
    """Probabilities, and logarithms where values are not read."""
    import importlib

    module = importlib.import_module("closedform_wsss.functional.absent_class_loss")
    logits = 3 * torch.randn(2, 4, 5, 7, dtype=torch.float64)
    present = torch.tensor([[1, 0, 0.5, 0.1], [0, 1, 0, 0]])
    values = []
    for reads in (True, False):
        monkeypatch.setattr(module, "reads_values", lambda _, reads=reads: reads)
        x = logits.clone().requires_grad_()
        loss = absent_class_loss(x, present, reduction="none")
        values.append((loss, *torch.autograd.grad(loss.sum(), x)))
    for one, other in zip(*values, strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.equal(values[0][0], values[1][0])  # two ways


def test_learns_the_classes_of_the_marks():
    """Descent on it moves the probability of absent classes to the present ones."""
    marks = torch.full((1, 6, 6), 255)
    marks[0, 1, 1:4], marks[0, 4, 1:4] = 0, 2
    logits = torch.randn(1, 4, 6, 6, requires_grad=True)
    for _ in range(200):
        (gradient,) = torch.autograd.grad(absent_class_loss(logits, classes_present(marks, 4)), logits)
        logits = (logits - 100 * gradient).detach().requires_grad_()
    assert logits.softmax(1)[:, [1, 3]].sum(1).max() < 0.01


def test_errors_name_what_is_wrong():
    logits = torch.zeros(2, 4, 3, 3)
    with pytest.raises(ValueError, match=r"absent_class_loss: class_present must be \(N, C\) = \(2, 4\)"):
        absent_class_loss(logits, PRESENT[:, :3])
    with pytest.raises(ValueError, match=r"absent_class_loss: class_present must be bool or in \[0, 1\]"):
        absent_class_loss(logits, PRESENT * 2)
    with pytest.raises(ValueError, match=r"absent_class_loss: logits must have 2 or more channels"):
        absent_class_loss(logits[:, :1], PRESENT[:, :1])
    with pytest.raises(ValueError, match=r"absent_class_loss: logits must be finite, got NaN"):
        absent_class_loss(logits * torch.nan, PRESENT)
    assert absent_class_loss(logits[:0].requires_grad_(), PRESENT[:0]).requires_grad
