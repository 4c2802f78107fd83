"""Areas of the classes: converging repeats go on, diverging ones end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from closedform_wsss.training.area_correction import LARGEST_FACTOR, correct_areas


def normalized(counts: Tensor) -> Tensor:
    return counts / counts.sum()


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


@pytest.mark.parametrize(
    ("second", "repeats_done"),
    [([0.62, 0.24, 0.14], 2), ([0.70, 0.18, 0.12], 1)],
    ids=["the change falls to a fifth", "the change stays"],
)
def test_a_repeat_counts_if_the_change_has_halved(second: list[float], repeats_done: int) -> None:
    refined, asked = scripted([[0.60, 0.26, 0.14], second, second])
    factors = correct_areas(refined, PROBS, 2, normalized)
    wanted = [[0.60, 0.26, 0.14], second][repeats_done - 1]
    corrected = (PROBS * factors[:, None]) / (PROBS * factors[:, None]).sum(0)
    torch.testing.assert_close(corrected.mean(1), torch.tensor(wanted), rtol=0, atol=2e-3)
    assert torch.equal(asked[0], torch.ones(3))


def test_no_repeat_leaves_the_predictions() -> None:
    assert torch.equal(correct_areas(scripted([])[0], PROBS, 0, normalized), torch.ones(3))


def test_factors_stay_near_the_typical_one() -> None:
    """A class that never wins would get a factor of almost 0."""
    factors = correct_areas(scripted([[0.7, 0.3, 0.0]])[0], PROBS, 1, normalized)
    assert factors[2] == 1 / LARGEST_FACTOR
    assert factors[:2].log().abs().max() < 1
