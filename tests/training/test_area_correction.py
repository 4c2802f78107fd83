"""Areas of the classes: those of the filtered predictions, as far as no class loses its marks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from closedform_wsss.training import area_correction
from closedform_wsss.training.area_correction import LARGEST_FACTOR, correct_areas, pick_pixels, pixel_generator


def maps_won_by(fractions: Tensor) -> Tensor:
    """``(1, C, 1, 1000)`` in which the classes win these fractions."""
    counts = (fractions * 1000).round().long()
    counts[0] += 1000 - counts.sum()
    winner = torch.repeat_interleave(torch.arange(len(fractions)), counts)
    return torch.nn.functional.one_hot(winner, len(fractions)).T[None, :, None].float()


def scripted(areas: list[list[float]]) -> tuple[Callable[[Tensor], list[Tensor]], list[Tensor]]:
    """Filtered predictions whose winners follow a script; the factors that were asked for."""
    asked: list[Tensor] = []

    def refined(factors: Tensor) -> list[Tensor]:
        asked.append(factors)
        return [maps_won_by(torch.tensor(areas[len(asked) - 1]))]

    return refined, asked


PROBS = torch.tensor([[0.5], [0.3], [0.2]]).repeat(1, 50)
# Two marks of each class. Class 1 wins its second mark by little: a factor of 0.6 loses it.
AT_MARKS = torch.tensor(
    [[0.9, 0.8, 0.05, 0.40, 0.1, 0.1], [0.05, 0.1, 0.9, 0.55, 0.1, 0.2], [0.05, 0.1, 0.05, 0.05, 0.8, 0.7]]
)
LABEL = torch.tensor([0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize("repeats", [1, 2])
def test_the_areas_become_those_of_the_filtered_predictions(repeats: int) -> None:
    areas = [[0.56, 0.26, 0.18], [0.57, 0.257, 0.173]]
    refined, asked = scripted(areas)
    factors = correct_areas(refined, PROBS, (AT_MARKS, LABEL), repeats)
    corrected = PROBS * factors[:, None]
    corrected = corrected / corrected.sum(0)
    torch.testing.assert_close(corrected.mean(1), torch.tensor(areas[repeats - 1]), rtol=0, atol=2e-3)
    assert torch.equal(asked[0], torch.ones(3)) and len(asked) == repeats


def test_no_class_loses_its_marks() -> None:
    """The second repeat would lose the second mark of class 1, and both of class 2. Only these are held back."""
    refined, asked = scripted([[0.56, 0.26, 0.18], [0.97, 0.005, 0.025]])
    factors = correct_areas(refined, PROBS, (AT_MARKS, LABEL), 2)
    assert torch.equal((AT_MARKS * factors[:, None]).argmax(0), LABEL)
    assert torch.all(factors[1:] < asked[1][1:])


def test_a_class_whose_marks_are_not_found_may_shrink() -> None:
    """Its recall is 0 from the start: there is nothing that it could lose."""
    unknown = AT_MARKS.clone()
    unknown[:, 4:] = torch.tensor([[0.6], [0.2], [0.2]])
    factors = correct_areas(scripted([[0.6, 0.39, 0.01]])[0], PROBS, (unknown, LABEL), 1)
    free = correct_areas(scripted([[0.6, 0.39, 0.01]])[0], PROBS, (AT_MARKS[:, :4], LABEL[:4]), 1)
    assert torch.equal(factors, free)


def test_a_class_that_another_one_covers_keeps_its_factor() -> None:
    """Class 1 loses a mark because class 0 grows more than it does. A smaller factor would not help it."""
    probs = torch.tensor([[0.1], [0.2], [0.7]]).repeat(1, 50)
    marked, unmarked = (AT_MARKS[:, :4], LABEL[:4]), (torch.empty(3, 0), torch.empty(0, dtype=torch.int64))
    factors, free = (
        correct_areas(scripted([[0.35, 0.33, 0.32]])[0], probs, at_marks, 1) for at_marks in (marked, unmarked)
    )
    assert (marked[0] * factors[:, None]).argmax(0)[3] == 0 and factors[1] > 1
    assert torch.equal(factors, free)


def test_no_repeat_leaves_the_predictions() -> None:
    assert torch.equal(correct_areas(scripted([])[0], PROBS, (AT_MARKS, LABEL), 0), torch.ones(3))


def test_factors_stay_near_the_typical_one() -> None:
    """A class that never wins would get a factor of almost 0. Without marks nothing else holds it back."""
    unmarked = (torch.empty(3, 0), torch.empty(0, dtype=torch.int64))
    factors = correct_areas(scripted([[0.7, 0.3, 0.0]])[0], PROBS, unmarked, 1)
    assert factors[2] == 1 / LARGEST_FACTOR
    assert factors[:2].log().abs().max() < 1


def test_picked_pixels_belong_to_one_another() -> None:
    p, marks = torch.rand(2, 3, 6, 7), torch.full((2, 6, 7), 255)
    marks[0, 2, 3], marks[1, 4, 5], marks[1, 0, 0] = 1, 2, 0
    pixels, at_marks, label = pick_pixels(p, marks, 255, 5, pixel_generator())
    every = {tuple(column) for column in p.movedim(1, 0).flatten(1).T.tolist()}
    assert pixels.shape == (3, 10) and {tuple(column) for column in pixels.T.tolist()} <= every
    found = {int(c): column for c, column in zip(label, at_marks.T, strict=True)}
    assert torch.equal(found[1], p[0, :, 2, 3]) and torch.equal(found[2], p[1, :, 4, 5])
    assert torch.equal(found[0], p[1, :, 0, 0])
    assert pick_pixels(p, torch.zeros(2, 6, 7, dtype=torch.int64), 255, 5, pixel_generator())[1].shape == (3, 10)


def test_images_count_alike_in_batches_of_any_size() -> None:
    few, many = (maps_won_by(torch.tensor(areas)) for areas in ([0.6, 0.3, 0.1], [0.4, 0.3, 0.3]))
    free = torch.empty(3, 0), torch.empty(0, dtype=torch.int64)
    factors = correct_areas(lambda _: [few, many.expand(3, -1, -1, -1)], PROBS, free, 1)
    corrected = PROBS * factors[:, None]
    expected = torch.tensor([0.45, 0.3, 0.25])
    torch.testing.assert_close((corrected / corrected.sum(0)).mean(1), expected, rtol=0, atol=2e-3)


def test_pixels_and_marks_are_picked_from_all_images() -> None:
    number = torch.arange(4.0)[:, None, None, None].expand(4, 1, 20, 20)
    pixels, at_marks, label = pick_pixels(
        number, torch.arange(4)[:, None, None].expand(4, 20, 20), 255, 50, pixel_generator()
    )
    assert pixels.shape == at_marks.shape == (1, 200) and torch.equal(at_marks[0].long(), label)
    for found in (pixels[0], at_marks[0]):
        assert (found.long().bincount(minlength=4) > 30).all()


def test_images_of_one_round_have_different_pixels() -> None:
    """A rare class in the same place of all 64 images: the mean over them is near its area, 1 %, where the same pixels
    in each would leave the error of one image."""
    p = torch.zeros(1, 1, 100, 100)
    p[..., 40:50, 60:70] = 1
    unmarked = torch.full((1, 100, 100), 255)
    generator = pixel_generator()
    means = torch.stack([pick_pixels(p, unmarked, 255, 500, generator)[0].mean() for _ in range(64)])
    assert means.std() > 0.001
    assert means.mean().item() == pytest.approx(0.01, rel=0.2)


def test_each_rank_has_its_own_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []
    for rank in (0, 1):
        monkeypatch.setattr(area_correction, "rank", lambda rank=rank: rank)
        seeds.append(area_correction.pixel_generator().initial_seed())
    assert seeds[0] != seeds[1]
