"""The settings of a recipe, and the label of unmarked pixels, reach the computation of both forms of self-training."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.scenes import network, samples, scene
from torch import Tensor

from closedform_wsss.functional import classes_present, mark_loss
from closedform_wsss.training import (
    PseudoLabeler,
    Recipe,
    SelfTrainingLoss,
    area_correction,
    class_weights,
    filtering,
)
from closedform_wsss.training.resolution import filter_sides


def step(criterion: SelfTrainingLoss, k: int, ignore_index: int = 255) -> Tensor:
    image, marks, _ = scene(k)
    marks = marks.masked_fill(marks == 255, ignore_index)
    return criterion(network(image[None]).requires_grad_(), marks[None], image[None])


@pytest.mark.parametrize("balance", [0.0, 0.8])
def test_the_balance_of_the_classes(tmp_path: Path, balance: float) -> None:
    recipe = Recipe(num_images=1, rounds=(0.1,), balance=balance)
    criterion = SelfTrainingLoss(3, 4, recipe)
    for k in range(3):
        step(criterion, k)
    image, marks, _ = scene(3)
    logits = F.interpolate(network(image[None]), scale_factor=2.0)
    labels = copy.deepcopy(criterion)._labels(logits, marks[None], image[None], None)
    expected = F.cross_entropy(logits, labels, class_weights(criterion.fractions, power=balance))
    torch.testing.assert_close(criterion(logits.requires_grad_(), marks[None], image[None]), expected)
    labeler = PseudoLabeler(tmp_path, 3, recipe)
    report = labeler.update(network, samples(2))
    torch.testing.assert_close(labeler.class_weight, class_weights(report.labels, power=balance))


def test_the_size_of_the_filter_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, refine = set(), filtering.refine_prediction

    def recorded(p: Tensor, *arguments: Tensor, **options: object) -> Tensor:
        sizes.add(tuple(p.shape[2:]))
        return refine(p, *arguments, **options)

    monkeypatch.setattr(filtering, "refine_prediction", recorded)
    criterion = SelfTrainingLoss(3, 2, Recipe(num_images=1, filter_scale=1 / 3))
    step(criterion, 0), step(criterion, 1)
    assert sizes == {(8, 11)}  # of logits of 24 x 32


def test_the_classes_of_the_image_count_from_the_first_step() -> None:
    image, marks, _ = scene(0)
    logits, marks = network(image[None]).requires_grad_(), torch.where(marks == 2, 255, marks)[None]
    present = classes_present(marks, 3)
    found = SelfTrainingLoss(3, 9)(logits, marks, image[None], present)
    torch.testing.assert_close(found, mark_loss(logits, marks, image[None], class_present=present, crf_weight=0))
    assert found > SelfTrainingLoss(3, 9)(logits, marks, image[None]) + 0.01


def test_the_repeats_of_the_area_correction(tmp_path: Path) -> None:
    """Without any, the network's red class stays too large."""
    recipes = [Recipe(repeats=repeats, filter_scale=1 / 2) for repeats in (0, 2)]
    none, two = (PseudoLabeler(tmp_path / str(r.repeats), 3, r).update(network, samples()) for r in recipes)
    assert none.labels[2] > 1.1 * two.labels[2]


@pytest.mark.parametrize("online", [False, True])
def test_how_many_images_and_pixels_the_areas_come_from(
    online: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One generator picks those of all images of a round: else they would be in the same places."""
    counts, generators, pick = [], set(), area_correction.pick_pixels

    def recorded(
        p: Tensor, marks: Tensor, ignore_index: int, count: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        counts.append(count)
        generators.add(generator)
        return pick(p, marks, ignore_index, count, generator)

    monkeypatch.setattr(area_correction, "pick_pixels", recorded)
    recipe = Recipe(num_images=2, num_pixels=7, rounds=(1 / 2,))
    if not online:
        PseudoLabeler(tmp_path, 3, recipe).update(network, samples(6))
    else:
        criterion = SelfTrainingLoss(3, 48, recipe)
        for k in range(26):
            step(criterion, k)
        assert criterion.rounds_done == 1
    assert counts == [7, 7] and len(generators) == 1


def test_any_label_of_unmarked_pixels(tmp_path: Path) -> None:
    one, two = (SelfTrainingLoss(3, 4, Recipe(num_images=1), ignore_index=i) for i in (255, -1))
    for k in range(4):
        assert step(one, k) == step(two, k, -1)
    assert one.rounds_done == two.rounds_done == 2
    first, second = PseudoLabeler(tmp_path / "1", 3), PseudoLabeler(tmp_path / "2", 3, ignore_index=100)
    first.update(network, samples(3))
    second.update(network, [(key, image, marks.masked_fill(marks == 255, 100)) for key, image, marks in samples(3)])
    labels = {key: first[key] for key, _, _ in samples(3)}
    assert any((label == 255).any() for label in labels.values())
    for key, label in labels.items():
        assert torch.equal(second[key], label.masked_fill(label == 255, 100))


def strokes(gap: int, size: int = 400) -> Tensor:
    marks = torch.full((size, size), 255)
    marks[5, 20:380], marks[5 + gap, 20:380] = 0, 1
    return marks


def test_squares_of_all_sizes() -> None:
    gaps = {15: 1, 17: 2, 33: 2, 37: 4, 90: 8, 200: 16}
    marks = torch.stack([strokes(gap) for gap in gaps])
    assert filter_sides(marks, 2, 255).tolist() == list(gaps.values())


def test_the_loss_filters_on_the_median_side_of_the_first_images_for_good() -> None:
    criterion = SelfTrainingLoss(2, 4, Recipe(num_images=1, rounds=(0.25, 0.5)))
    for gaps in ((5, 5, 5), (5, 90, 200), (5, 5, 5), (5, 5, 5)):
        marks = torch.stack([strokes(gap) for gap in gaps])
        logits = torch.randn(3, 2, 400, 400).requires_grad_()
        criterion(logits, marks, torch.rand(3, 3, 20, 20))
    assert criterion.rounds_done == 2 and criterion._side == 8


def test_a_state_that_is_loaded_discards_what_a_round_has_collected() -> None:
    used, fresh = (SelfTrainingLoss(3, 40, Recipe(num_images=2, rounds=(0.1,))) for _ in range(2))
    begun = SelfTrainingLoss(3, 40, used.recipe)
    for k in range(4):
        step(begun, k), step(used, k)
    step(used, 7)  # one of the two images of the round
    used.load_state_dict(begun.state_dict()), fresh.load_state_dict(begun.state_dict())
    for k in (4, 5):
        step(used, k), step(fresh, k)
    assert used.rounds_done == fresh.rounds_done == 1
    assert torch.equal(used.class_factors, fresh.class_factors)


def test_factors_that_follow_stay_within_their_bounds() -> None:
    criterion = SelfTrainingLoss(2, 9)
    criterion.mean_probs = torch.tensor([0.999, 0.001])
    for _ in range(300):
        criterion._follow(torch.tensor([0.001, 0.999])[None, :, None, None])
    torch.testing.assert_close(criterion.class_factors, torch.tensor([10.0, 0.1]))
