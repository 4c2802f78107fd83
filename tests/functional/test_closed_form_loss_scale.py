"""The scale of closed_form_loss: given, or chosen from the marks of each image."""

import pytest
import torch
from scipy.spatial.distance import cdist

import closedform_wsss
from closedform_wsss import MattingLaplacian
from closedform_wsss._mark_spacing import REACH, SIDES, sides_from_marks
from closedform_wsss.functional import closed_form_loss
from closedform_wsss.nn import ClosedFormLoss

FORMS = ["residual", "energy"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [(12, 16), (13, 15), (1, 9), (4, 4)])
def test_scale_averages_maps_and_image_and_votes_on_marks(form, size):
    h, w = size
    logits, image = torch.randn(2, 3, h, w).double().requires_grad_(), torch.rand(2, 3, h, w).double()
    target = torch.tensor([255, 255, 255, 0, 2])[torch.randint(5, (2, h, w))]
    rows, columns = -(-h // 4), -(-w // 4)

    def means(maps):
        squares = [
            [maps[..., 4 * r : 4 * r + 4, 4 * c : 4 * c + 4].mean((2, 3)) for c in range(columns)] for r in range(rows)
        ]
        return torch.stack([torch.stack(row, -1) for row in squares], -2)

    voted = torch.full((2, rows, columns), 255)
    for n in range(2):
        for r in range(rows):
            for c in range(columns):
                square = target[n, 4 * r : 4 * r + 4, 4 * c : 4 * c + 4]
                counts = [int((square == k).sum()) for k in range(3)]
                if max(counts):
                    voted[n, r, c] = counts.index(max(counts))
    expected = closed_form_loss(means(logits.softmax(1)), voted, means(image), form=form, scale=1, activation=None)
    found = closed_form_loss(logits, target, image, form=form, scale=1 / 4)
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found, logits)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0])
    operator = MattingLaplacian(means(image), eps=1e-4)
    torch.testing.assert_close(ClosedFormLoss(form=form, scale=0.25)(logits, target, operator), expected)


def test_an_operator_must_fit_the_scale():
    with pytest.raises(ValueError, match=r"averaged at this scale have the size \(3, 4\), the operator has \(12, 16\)"):
        closed_form_loss(torch.randn(1, 3, 12, 16), None, MattingLaplacian(torch.rand(1, 3, 12, 16)), scale=1 / 4)


def two_lines(apart: int, size: int = 64) -> torch.Tensor:
    """Marks of two classes, two rows so many pixels apart."""
    target = torch.full((1, size, size), 255)
    target[:, 4, 4:60], target[:, 4 + apart, 4:60] = 0, 2
    return target


@pytest.mark.parametrize(("apart", "side"), [(3, 1), (7, 1), (14, 2), (17, 2), (30, 4), (55, 8)])
def test_marks_that_lie_close_together_get_small_squares(apart, side):
    target = two_lines(apart)
    assert sides_from_marks(target, 3, 255).tolist() == [side]
    logits, image = torch.randn(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(
        closed_form_loss(logits, target, image), closed_form_loss(logits, target, image, scale=1 / side)
    )


@pytest.mark.parametrize("each_class", [False, True])
@pytest.mark.parametrize("size", [(40, 33), (1, 50), (7, 7)])
def test_sides_agree_with_distances_of_squares(size, each_class):
    """The rule of the docstring, from all pairs of marked squares."""
    h, w = size
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        density = 10 ** (-3 + 2.5 * seed / 11)
        random = torch.randint(4, (1, h, w), generator=generator)
        target = torch.where(torch.rand(1, h, w, generator=generator) < density, random, 255)
        expected = 1
        for side in SIDES[1:]:
            squares: dict[tuple[int, int], set[int]] = {}
            for _, y, x in (target != 255).nonzero().tolist():
                squares.setdefault((y // side, x // side), set()).add(int(target[0, y, x]))
            if not squares:
                continue
            near = cdist(list(squares), list(squares), "chebyshev") <= REACH
            classes = list(squares.values())
            mixed = [len(set().union(*(classes[k] for k in row.nonzero()[0]))) > 1 for row in near]
            # A square with several classes counts for the first and the last of them, and one with one class twice.
            groups = [range(len(classes))]
            if each_class:
                groups = [[j for j, k in enumerate(classes) for end in (min(k), max(k)) if end == c] for c in range(4)]
            if all(2 * sum(mixed[j] for j in group) <= len(group) for group in groups):
                expected = side
        assert sides_from_marks(target, 4, 255, each_class=each_class).tolist() == [expected]


def test_the_class_with_the_closest_marks_decides():
    """Ten rows of two classes that are far apart, and one of a third class close to the first."""
    target = torch.full((2, 64, 64), 255)
    target[:, 0:5, 4:60], target[:, 55:60, 4:60] = 0, 1
    target[1, 9, 30:34] = 2
    assert sides_from_marks(target, 3, 255).tolist() == [8, 4]
    assert sides_from_marks(target, 3, 255, each_class=True).tolist() == [8, 1]


@pytest.mark.parametrize("classes", [(0, 2), (2, 0)])
def test_a_class_whose_squares_all_hold_another_one_too(classes):
    """It counts, whether it is the first or the last class of these squares."""
    one, other = classes
    target = torch.full((1, 64, 64), 255)
    target[:, 4, 4:60], target[:, 5, 4:60], target[:, 52:62, 4:60] = one, other, other
    assert sides_from_marks(target, 3, 255).tolist() == [8]
    assert sides_from_marks(target, 3, 255, each_class=True).tolist() == [1]


def test_windows_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of 11 takes four maxima of a row and four of a column: more would show as slowness only."""
    calls = []
    maximum = torch.maximum
    monkeypatch.setattr(torch, "maximum", lambda a, b: calls.append(1) or maximum(a, b))
    sides_from_marks(two_lines(28), 3, 255, sides=(1, 2))
    assert len(calls) == 8


def test_each_image_has_its_own_scale():
    target = torch.cat([two_lines(5), two_lines(28), torch.full((1, 64, 64), 255)])
    logits = torch.randn(3, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    image = torch.rand(3, 3, 64, 64)
    found = closed_form_loss(logits, target, image, reduction="none")
    alone = [closed_form_loss(logits[k : k + 1], target[k : k + 1], image[k : k + 1]) for k in range(3)]
    torch.testing.assert_close(found, torch.stack(alone))
    torch.testing.assert_close(alone[0], closed_form_loss(logits[:1], target[:1], image[:1], scale=1))
    torch.testing.assert_close(alone[2], closed_form_loss(logits[2:], None, image[2:], scale=1))
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    torch.testing.assert_close(gradient, torch.autograd.grad(sum(alone), logits)[0])


def test_without_value_checks_the_result_is_the_same():
    target = torch.cat([two_lines(5), two_lines(28)])
    logits, image = torch.randn(2, 3, 64, 64, requires_grad=True), torch.rand(2, 3, 64, 64)
    expected = closed_form_loss(logits, target, image)
    closedform_wsss.set_value_checks(False)
    try:
        found = closed_form_loss(logits, target, image)
    finally:
        closedform_wsss.set_value_checks(None)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("size", "radius", "side"), [((64, 15), 1, 4), ((64, 15), 2, 2), ((64, 9), 2, 1)])
def test_windows_fit_into_the_averaged_image(size, radius, side):
    target = torch.full((1, *size), 255)
    target[:, 4, 2:8], target[:, 60, 2:8] = 0, 2
    logits, image = torch.randn(1, 3, *size), torch.rand(1, 3, *size)
    found = closed_form_loss(logits, target, image, radius=radius)
    torch.testing.assert_close(found, closed_form_loss(logits, target, image, radius=radius, scale=1 / side))


def test_the_scale_is_1_without_marks_and_with_an_operator():
    logits, image, target = torch.randn(1, 3, 64, 64), torch.rand(1, 3, 64, 64), two_lines(28)
    torch.testing.assert_close(closed_form_loss(logits, None, image), closed_form_loss(logits, None, image, scale=1))
    torch.testing.assert_close(
        closed_form_loss(logits, target, MattingLaplacian(image, eps=1e-4)),
        closed_form_loss(logits, target, image, scale=1),
    )


@pytest.mark.parametrize("ignore_index", [-1, 100])
@pytest.mark.parametrize("scale", [None, 1, 1 / 4])
def test_any_label_of_unmarked_pixels(ignore_index, scale):
    """Of a size that the squares do not divide, so that marks are padded."""
    marks = torch.full((1, 21, 30), 255)
    marks[0, 2, 2:25], marks[0, 20, 2:25] = 0, 2
    logits, image = torch.randn(1, 3, 21, 30), torch.rand(1, 3, 21, 30)
    recoded = marks.masked_fill(marks == 255, ignore_index)
    for own, other in ((marks, recoded), (None, None)):
        found = closed_form_loss(logits, other, image, scale=scale, ignore_index=ignore_index)
        assert found == closed_form_loss(logits, own, image, scale=scale)
