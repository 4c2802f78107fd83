"""mark_loss is the sum of its parts."""

import math
from collections import Counter
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from closedform_wsss._mark_spacing import classes_nearby
from closedform_wsss.functional import absent_class_loss, classes_present, closed_form_loss, mark_loss
from closedform_wsss.nn import MarkLoss


def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    marks = torch.full((2, 24, 32), 255)
    marks[:, 4, 4:28], marks[:, 20, 4:10] = 0, 2
    return torch.randn(2, 4, 24, 32, dtype=torch.float64, requires_grad=True), marks, torch.rand(2, 3, 24, 32)


def entropy_near_marks(logits: torch.Tensor, marks: torch.Tensor, side: int) -> torch.Tensor:
    """Pixel by pixel: of the classes with a mark in its cell of 8 x 8 squares of this side, or in one around it."""
    a, (n, h, w), cell = logits.softmax(1), marks.shape, 8 * side
    total = logits.new_zeros(())
    for i, y, x in product(range(n), range(h), range(w)):
        top, left = y // cell * cell, x // cell * cell
        around = marks[i, max(top - cell, 0) : top + 2 * cell, max(left - cell, 0) : left + 2 * cell]
        nearby = [c for c in range(a.shape[1]) if (around == c).any()]
        total = total - a[i, nearby, y, x].detach().sum() * a[i, :, y, x].square().sum().log()
    return total / marks.numel()


def test_the_sum() -> None:
    logits, marks, image = problem()
    cross_entropy = F.cross_entropy(logits, marks, torch.tensor([48, 1, 12, 1]).double() ** -0.5, ignore_index=255)
    absent = absent_class_loss(logits, classes_present(marks, 4))
    energy = closed_form_loss(logits, marks, image, mark_weight=0)
    entropy = entropy_near_marks(logits, marks, 2)
    present = classes_present(marks, 4)
    found = mark_loss(logits, marks, image, class_present=present)
    torch.testing.assert_close(found, cross_entropy + absent + 3 * energy + 0.3 * entropy)
    found = mark_loss(logits, marks, image, entropy_weight=0)
    torch.testing.assert_close(found, cross_entropy + 3 * energy)
    found = mark_loss(logits, marks, image, energy_weight=0, entropy_weight=0)
    torch.testing.assert_close(found, cross_entropy)
    module = MarkLoss(energy_weight=7.0, entropy_weight=2.0)
    found = module(logits, marks, image, present)
    torch.testing.assert_close(found, cross_entropy + absent + 7 * energy + 2 * entropy)
    assert repr(module) == "MarkLoss(energy_weight=7.0, entropy_weight=2.0, ignore_index=255)"


def test_the_entropy_of_order_2() -> None:
    """Where all classes are marked it is log C if they are equal, and zero with a finite gradient if one has all."""
    marks = torch.tensor([[[0, 1, 2], [3, 4, 255]]])
    arguments = marks, torch.zeros(1, 3, 2, 3)
    for scale, expected in ((0.0, math.log(5)), (1e4, 0.0)):
        logits = (scale * F.one_hot(torch.where(marks < 255, marks, 0), 5)).movedim(-1, 1).requires_grad_()
        with_entropy, without = (mark_loss(logits, *arguments, energy_weight=0, entropy_weight=v) for v in (1, 0))
        assert (with_entropy - without).item() == pytest.approx(expected, abs=1e-6)
        gradients = (torch.autograd.grad(loss, logits)[0] for loss in (with_entropy, without))
        torch.testing.assert_close(*gradients)


def test_the_entropy_in_many_cells() -> None:
    """Of an odd size, at full size: 8 x 7 cells of 8 x 8 pixels, of which the last are cut."""
    marks = torch.full((1, 59, 51), 255)
    for label, y, x in ((0, 3, 3), (1, 6, 5), (2, 30, 44), (3, 34, 46), (1, 57, 20), (0, 55, 23)):
        marks[0, y : y + 2, x : x + 3] = label
    logits, image = torch.randn(1, 4, 59, 51, dtype=torch.float64), torch.rand(1, 3, 59, 51)
    with_entropy, without = (mark_loss(logits, marks, image, energy_weight=0, entropy_weight=v) for v in (1, 0))
    torch.testing.assert_close(with_entropy - without, entropy_near_marks(logits, marks, 1))


def test_the_entropy_of_a_class_without_marks_nearby() -> None:
    """A pixel that is certain of a class marked far away has no entropy to lose; it counts for a class nearby."""
    marks = torch.full((1, 8, 64), 255)
    marks[..., 0], marks[..., -1] = 0, 1
    image = torch.zeros(1, 3, 8, 64)
    for favoured, pulled in ((0, True), (1, False)):
        logits = torch.zeros(1, 2, 8, 64)
        logits[:, favoured, :, 1:-1] = 4.0
        logits.requires_grad_()
        with_entropy, without = (mark_loss(logits, marks, image, energy_weight=0, entropy_weight=v) for v in (1, 0))
        gradient = torch.autograd.grad(with_entropy - without, logits)[0][0, favoured, 4]
        left = gradient[1:8].abs().max()  # near the marks of class 0
        assert (left > 1e-5) == pulled, (favoured, left)


class Counted(TorchDispatchMode):
    """Counts the operators of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls[func.__name__] += 1
        return func(*args, **(kwargs or {}))


def test_one_softmax_serves_all_parts() -> None:
    """A second one would show as slowness only. The marks are far apart: the energy is of averaged maps."""
    logits, marks, image = problem()
    with Counted() as counted:
        mark_loss(logits, marks, image).backward()
    assert counted.calls["_log_softmax.default"] == counted.calls["exp.default"] == 1
    assert counted.calls["_softmax.default"] == 0
    marks[0, 6, 4:28] = 1  # the two images have two scales now: the entropy's logarithm is still taken once
    with Counted() as counted:
        mark_loss(logits, marks, image, energy_weight=0).backward()
    assert counted.calls["log.default"] == counted.calls["exp.default"] == 1


def test_the_energy_reads_the_marks_for_its_scale_only() -> None:
    logits, marks, image = problem()
    whole = closed_form_loss(logits, marks, image, mark_weight=0)
    torch.testing.assert_close(whole, closed_form_loss(logits, None, image, scale=1 / 2))
    with pytest.raises(ValueError, match="mark_weight must be a finite number > 0"):
        closed_form_loss(logits, marks, image, mark_weight=0, form="residual")


def test_marks_and_image_follow_the_logits() -> None:
    _, marks, image = problem()
    small = torch.randn(2, 4, 12, 16, requires_grad=True)
    mark_loss(small, marks, (image * 255).byte()).backward()
    assert small.grad is not None and small.grad.isfinite().all()


def test_no_mark_and_no_image() -> None:
    logits, marks, image = problem()
    loss = mark_loss(logits, torch.full_like(marks, 255), image)
    torch.testing.assert_close(loss, 3 * closed_form_loss(logits, None, image))
    empty = mark_loss(logits[:0], marks[:0], image[:0])
    assert empty == 0 and empty.requires_grad


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_in_one_graph(dynamic: bool) -> None:
    compiled = torch.compile(mark_loss, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    logits, marks, image = problem()
    for size in (32, 20):
        arguments = (logits[..., :size], marks[..., :size], image[..., :size])
        present = classes_present(arguments[1], 4)
        found, expected = (f(*arguments, class_present=present) for f in (compiled, mark_loss))
        torch.testing.assert_close(found, expected)
        gradients = (torch.autograd.grad(v, logits)[0] for v in (found, expected))
        torch.testing.assert_close(*gradients)


def test_errors() -> None:
    logits, marks, image = problem()
    with pytest.raises(ValueError, match="mark_loss: energy_weight must be a finite number >= 0"):
        mark_loss(logits, marks, image, energy_weight=-1)
    with pytest.raises(ValueError, match="mark_loss: entropy_weight must be a finite number >= 0"):
        mark_loss(logits, marks, image, entropy_weight=float("inf"))
    with pytest.raises(ValueError, match=r"mark_loss: image must be in \[0, 1\]"):
        mark_loss(logits, marks, image * 255)
    with pytest.raises(ValueError, match=r"mark_loss: class_present must be \(N, C\) = \(2, 4\), got shape \(2, 3\)"):
        mark_loss(logits, marks, image, class_present=torch.ones(2, 3))
    with pytest.raises(ValueError, match="MarkLoss: energy_weight must be a finite number >= 0"):
        MarkLoss(energy_weight=float("nan"))
    with pytest.raises(ValueError, match="MarkLoss: entropy_weight must be a finite number >= 0"):
        MarkLoss(entropy_weight=-0.1)


def test_counts_beyond_the_integers_of_float32():
    """17 million marks of one class: the mean of equal values is that value."""
    side = 4200
    target = torch.zeros(1, side, side, dtype=torch.uint8)
    logits = torch.tensor([0.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, side, side)
    loss = mark_loss(logits, target, torch.zeros(1, 1, 1, 1), energy_weight=0, entropy_weight=0)
    assert loss.item() == pytest.approx(F.softplus(torch.tensor(-1.0)).item(), rel=1e-3)


def test_gradients_of_the_entropy() -> None:
    """To second order; the classes nearby are weighed by the prediction, but that weight is held constant."""
    logits, marks, image = problem()
    logits, marks, image = (
        logits[:1, :, ::4, ::4].detach().requires_grad_(),
        marks[:1, ::4, ::4],
        image[:1, ..., ::4, ::4],
    )

    def loss(x: torch.Tensor) -> torch.Tensor:
        nearby = classes_nearby(marks, 4, 1, torch.float64).mul(logits.detach().softmax(1)).sum(1)
        return -(nearby * x.softmax(1).square().sum(1).log()).mean()

    def of(x: torch.Tensor) -> torch.Tensor:
        with_entropy, without = (mark_loss(x, marks, image, energy_weight=0, entropy_weight=v) for v in (1, 0))
        return with_entropy - without

    (found,), (expected,) = (torch.autograd.grad(f(logits), logits, create_graph=True) for f in (of, loss))
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(found)
    second = (torch.autograd.grad((g * direction).sum(), logits)[0] for g in (found, expected))
    torch.testing.assert_close(*second)


def test_an_image_with_dots_alone_has_no_entropy() -> None:
    """Fewer than a thousandth of the pixels a class. The other image of the batch has its entropy."""
    marks = torch.full((2, 60, 60), 255)
    marks[0, 5, 5:8], marks[0, 50, 50:53] = 0, 2  # 6 pixels of 3600 for two classes
    marks[1, 5, 5:8], marks[1, 50, 50:55] = 0, 2  # 8
    logits, image = torch.randn(2, 3, 60, 60), torch.rand(2, 3, 60, 60)

    def entropy(n: slice) -> torch.Tensor:
        with_entropy, without = (mark_loss(logits[n], marks[n], image[n], entropy_weight=v) for v in (1, 0))
        return with_entropy - without

    assert entropy(slice(0, 1)) == 0 and entropy(slice(1, 2)) > 0.01
    torch.testing.assert_close(entropy(slice(None)), entropy(slice(1, 2)) / 2)


@pytest.mark.parametrize("stride", [1, 4, 16])
def test_dots_are_dots_for_a_network_of_small_logits_too(stride: int) -> None:
    """A pixel of the logits that holds a mark of a single pixel is marked as a whole."""
    marks = torch.full((1, 128, 128), 255)
    for k in range(12):
        marks[0, 10 * k + 2, 7 * k + 20] = k % 3
    logits, image = torch.randn(1, 3, 128 // stride, 128 // stride), torch.rand(1, 3, 128, 128)
    with_entropy, without = (mark_loss(logits, marks, image, entropy_weight=v) for v in (1, 0))
    assert with_entropy == without


@pytest.mark.parametrize("ignore_index", [-1, 100])
def test_any_label_of_unmarked_pixels(ignore_index: int) -> None:
    """With strokes far apart and close together, and with dots."""
    marks = torch.full((3, 59, 61), 255)
    marks[0, 5, 5:50], marks[0, 50, 5:50] = 0, 2
    marks[1, 5, 5:50], marks[1, 9, 5:50] = 0, 2
    marks[2, 5, 5:7], marks[2, 50, 5:7] = 0, 2
    logits, image = torch.randn(3, 3, 59, 61), torch.rand(3, 3, 59, 61)
    recoded = marks.masked_fill(marks == 255, ignore_index)
    for n in range(3):
        arguments = logits[n : n + 1], marks[n : n + 1], image[n : n + 1]
        found = mark_loss(arguments[0], recoded[n : n + 1], arguments[2], ignore_index=ignore_index)
        assert found == mark_loss(*arguments)
