"""mark_loss is the sum of its parts."""

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from closedform_wsss.functional import absent_class_loss, classes_present, closed_form_loss, dense_crf_loss, mark_loss
from closedform_wsss.nn import MarkLoss


def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    marks = torch.full((2, 24, 32), 255)
    marks[:, 4, 4:28], marks[:, 20, 4:10] = 0, 2
    return torch.randn(2, 4, 24, 32, dtype=torch.float64, requires_grad=True), marks, torch.rand(2, 3, 24, 32)


def dense_crf(logits: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Of means over squares of 4 pixels, of which the last may be cut."""
    maps, small = (F.avg_pool2d(x, 4, ceil_mode=True, count_include_pad=False) for x in (logits.softmax(1), image))
    sigma = max(small.shape[2:]) / 5
    return dense_crf_loss(maps, small, position_sigma=sigma, color_sigma=15 / 255, activation=None)


def test_the_sum() -> None:
    logits, marks, image = problem()
    cross_entropy = F.cross_entropy(logits, marks, torch.tensor([48, 1, 12, 1]).double() ** -0.5, ignore_index=255)
    absent = absent_class_loss(logits, classes_present(marks, 4))
    energy = closed_form_loss(logits, marks, image, mark_weight=0)
    crf = dense_crf(logits, image.double())
    present = classes_present(marks, 4)
    found = mark_loss(logits, marks, image, class_present=present)
    torch.testing.assert_close(found, cross_entropy + absent + 3 * energy + 0.6 * crf)
    found = mark_loss(logits, marks, image, crf_weight=0)
    torch.testing.assert_close(found, cross_entropy + 3 * energy)
    found = mark_loss(logits, marks, image, energy_weight=0, crf_weight=0)
    torch.testing.assert_close(found, cross_entropy)
    module = MarkLoss(energy_weight=7.0, crf_weight=2.0)
    found = module(logits, marks, image, present)
    torch.testing.assert_close(found, cross_entropy + absent + 7 * energy + 2 * crf)
    assert repr(module) == "MarkLoss(energy_weight=7.0, crf_weight=2.0, ignore_index=255)"


@pytest.mark.parametrize("size", [(59, 51), (51, 90), (3, 5), (1, 40), (1, 1)])
def test_the_dense_crf_of_any_size(size: tuple[int, int]) -> None:
    """The position sigma follows the longer side."""
    logits, image = torch.randn(2, 4, *size, dtype=torch.float64), torch.rand(2, 3, *size)
    marks = torch.full((2, *size), 255)
    marks[:, 0], marks[:, 0, ::2] = 1, 3  # enough of them, close together
    with_crf, without = (mark_loss(logits, marks, image, crf_weight=v) for v in (2, 0))
    torch.testing.assert_close(with_crf - without, 2 * dense_crf(logits, image.double()))


def test_the_dense_crf_counts_as_far_as_marks_hold_it() -> None:
    """A hundredth of the squares of 4 pixels is enough. 41 x 79 pixels have 11 x 20 squares, cut ones too."""
    marks = torch.full((5, 41, 79), 255)
    marks[1, 3, 3:5], marks[2, 40, 78], marks[3, 0, 0:9], marks[4, 20] = 1, 0, 2, 1
    marks[1:, :, ::2] = torch.where(marks[1:, :, ::2] == 255, 255, 3)  # another class close to each, but for one alone
    # None; two squares, although of two pixels; one; three; 20.
    held = torch.tensor([0, 2, 1, 3, 20]).double().div(2.2).clamp_max(1) ** 2 * torch.tensor([1, 1, 1 / 2, 1, 1])
    logits, image = torch.randn(5, 4, 41, 79, dtype=torch.float64), torch.rand(5, 3, 41, 79)
    each = torch.stack([dense_crf(logits[n : n + 1], image[n : n + 1].double()) for n in range(5)])
    with_crf, without = (mark_loss(logits, marks, image, crf_weight=v) for v in (2, 0))
    torch.testing.assert_close(with_crf - without, 2 * (held * each).mean())


@pytest.mark.parametrize(("apart", "part"), [(6, 1), (15, 1), (30, 1), (55, 1 / 2)])
def test_the_dense_crf_counts_less_where_marks_are_far_apart(apart: int, part: float) -> None:
    """The energy has squares of 1, 2, 4 and 8 pixels."""
    marks = torch.full((1, 64, 64), 255)
    marks[:, 4, 4:60], marks[:, 4 + apart, 4:60] = 0, 2
    logits, image = torch.randn(1, 4, 64, 64, dtype=torch.float64), torch.rand(1, 3, 64, 64)
    for energy_weight in (3, 0):
        with_crf, without = (mark_loss(logits, marks, image, energy_weight=energy_weight, crf_weight=v) for v in (2, 0))
        torch.testing.assert_close(with_crf - without, 2 * part * dense_crf(logits, image.double()))


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


def test_energy_and_dense_crf_share_the_averages() -> None:
    """The marks choose squares of 2 pixels, the dense CRF has 4: maps are halved twice, and not three times."""
    logits, marks, image = problem()
    with Counted() as counted:
        mark_loss(logits, marks, image)
    halved_images = 3  # once for the energy, twice for the dense CRF
    assert counted.calls["div_.Tensor"] == 2 + halved_images


def test_without_energy_and_dense_crf_no_work_is_done_for_them() -> None:
    """Their squares come from poolings of the marks, and the image follows the size of the logits."""
    logits, marks, image = problem()
    with Counted() as counted:
        mark_loss(logits, marks, image.repeat(1, 1, 2, 2), energy_weight=0, crf_weight=0)
    assert not [name for name in counted.calls if "pool" in name or "upsample" in name]


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


@pytest.mark.parametrize("dynamic", [False, pytest.param(True, marks=pytest.mark.slow)])
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
    with pytest.raises(ValueError, match="mark_loss: crf_weight must be a finite number >= 0"):
        mark_loss(logits, marks, image, crf_weight=float("inf"))
    with pytest.raises(ValueError, match=r"mark_loss: image must be in \[0, 1\]"):
        mark_loss(logits, marks, image * 255)
    many = torch.rand(2, 14, 24, 32)
    with pytest.raises(ValueError, match=r"mark_loss: image must have at most 13 channels.*or crf_weight=0"):
        mark_loss(logits, marks, many)
    assert mark_loss(logits, marks, many, crf_weight=0).isfinite()
    with pytest.raises(ValueError, match=r"mark_loss: class_present must be \(N, C\) = \(2, 4\), got shape \(2, 3\)"):
        mark_loss(logits, marks, image, class_present=torch.ones(2, 3))
    with pytest.raises(ValueError, match="MarkLoss: energy_weight must be a finite number >= 0"):
        MarkLoss(energy_weight=float("nan"))
    with pytest.raises(ValueError, match="MarkLoss: crf_weight must be a finite number >= 0"):
        MarkLoss(crf_weight=-0.1)


def test_counts_beyond_the_integers_of_float32():
    """17 million marks of one class: the mean of equal values is that value."""
    side = 4200
    target = torch.zeros(1, side, side, dtype=torch.uint8)
    logits = torch.tensor([0.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, side, side)
    loss = mark_loss(logits, target, torch.zeros(1, 1, 1, 1), energy_weight=0, crf_weight=0)
    assert loss.item() == pytest.approx(F.softplus(torch.tensor(-1.0)).item(), rel=1e-3)


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
