import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from closedform_wsss import functional
from closedform_wsss._resize import Averages, averaged, resize_marks, resize_probabilities


def vote(target, size, classes, ignore_index):
    """A naive loop: the most frequent class of the pixels whose centres fall into a cell."""
    (height, width), (h, w) = target.shape, size
    votes = np.zeros((h, w, classes), int)
    for y in range(height):
        for x in range(width):
            if target[y, x] != ignore_index:
                votes[int((y + 0.5) * h / height), int((x + 0.5) * w / width), target[y, x]] += 1
    return np.where(votes.max(-1) > 0, votes.argmax(-1), ignore_index)


@settings(max_examples=50, deadline=None)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    h=st.integers(1, 20),
    w=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_smaller_maps_take_a_vote(height, width, h, w, seed):
    h, w = min(h, height), min(w, width)
    torch.manual_seed(seed)
    target = torch.where(torch.rand(2, height, width) < 0.4, torch.randint(4, (2, height, width)), 255)
    resized = resize_marks(target, (h, w), 4, 255)
    for n in range(2):
        np.testing.assert_array_equal(resized[n].numpy(), vote(target[n].numpy(), (h, w), 4, 255))


@pytest.mark.parametrize("factor", [2, 3])
def test_larger_maps_repeat_pixels(factor):
    target = torch.randint(4, (1, 5, 6))
    resized = resize_marks(target, (5 * factor, 6 * factor), 4, 255)
    assert torch.equal(resized, target.repeat_interleave(factor, 1).repeat_interleave(factor, 2))


def test_larger_one_way_and_smaller_the_other():
    target = torch.tensor([[[0, 255, 2, 2]]])
    assert resize_marks(target, (2, 2), 3, 255).tolist() == [[[0, 2], [0, 2]]]


def test_thin_scribbles_survive():
    target = torch.full((1, 64, 64), 255)
    target[0, 33] = 1
    assert (resize_marks(target, (8, 8), 2, 255)[0, 4] == 1).all()


def test_public():
    target = torch.full((1, 64, 64), 9, dtype=torch.uint8)
    target[0, 33] = 1
    resized = functional.resize_marks(target, (8, 8), num_classes=2, ignore_index=9)
    assert resized.dtype == torch.uint8
    assert torch.equal(resized, resize_marks(target, (8, 8), 2, 9))
    assert torch.equal(functional.resize_marks(target, (64, 64), num_classes=2, ignore_index=9), target)


@pytest.mark.parametrize(
    ("target", "size", "message"),
    [
        (torch.zeros(4, 4).long(), (2, 2), r"target must be \(N, H, W\)"),
        (torch.zeros(1, 4, 4), (2, 2), "target must be an integer tensor"),
        (torch.full((1, 4, 4), 3), (2, 2), "target must hold classes in"),
        (torch.zeros(1, 4, 4).long(), (2, 0), "width must be an integer >= 1, got 0"),
        (torch.zeros(1, 4, 4).long(), 2, r"size must be \(height, width\), got 2"),
        (torch.zeros(1, 4, 4).long(), (2,), r"size must be \(height, width\), got \(2,\)"),
    ],
)
def test_public_errors(target, size, message):
    with pytest.raises((TypeError, ValueError), match=f"resize_marks: {message}"):
        functional.resize_marks(target, size, num_classes=3)


@pytest.mark.parametrize(
    ("height", "width", "side"), [(8, 12, 2), (8, 12, 4), (12, 20, 8), (7, 12, 2), (9, 13, 4), (6, 10, 3), (5, 3, 8)]
)
def test_averages_of_squares(height, width, side):
    x = torch.rand(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    means = averaged(x, side)
    rows, columns = -(-height // side), -(-width // side)
    assert means.shape == (2, 3, rows, columns)
    for i in range(rows):
        for j in range(columns):
            square = x[:, :, i * side : (i + 1) * side, j * side : (j + 1) * side]
            torch.testing.assert_close(means[:, :, i, j], square.mean((2, 3)))
    assert torch.autograd.gradcheck(lambda maps: averaged(maps, side), x)
    assert torch.autograd.gradgradcheck(lambda maps: averaged(maps, side).square(), x)


@pytest.mark.parametrize("size", [(24, 40), (6, 10), (9, 7)])
def test_averages_at_several_sides_have_their_steps_in_common(size):
    x = torch.rand(2, 3, *size, requires_grad=True)
    averages = Averages(x)
    found = {side: averages(side) for side in (8, 2, 1, 4, 6, 4)}
    for side, means in found.items():
        assert torch.equal(means, averaged(x, side)) and averages(side) is means
    if size == (24, 40):  # each half is made of the one before
        assert found[4].grad_fn.next_functions[0][0] is found[2].grad_fn
        assert found[8].grad_fn.next_functions[0][0] is found[4].grad_fn
    together = sum(means.square().sum() for means in found.values())
    apart = sum(averaged(x, side).square().sum() for side in found)
    torch.testing.assert_close(*(torch.autograd.grad(total, x)[0] for total in (together, apart)))


@pytest.mark.parametrize(
    ("height", "width", "size"), [(8, 12, (4, 6)), (8, 12, (2, 3)), (8, 12, (3, 5)), (8, 12, (4, 3)), (7, 12, (3, 6))]
)
def test_smaller_probabilities_are_means(height, width, size):
    p = torch.rand(2, 3, height, width, dtype=torch.float64).softmax(1)
    smaller = resize_probabilities(p, size)
    torch.testing.assert_close(smaller, torch.nn.functional.adaptive_avg_pool2d(p, size))
