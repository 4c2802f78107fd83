"""Fractions of the classes, factors that reach them, weights."""

from __future__ import annotations

import pytest
import torch

from closedform_wsss.training import class_factors, class_weights, winning_fractions


def probabilities(n: int = 2, classes: int = 4, h: int = 9, w: int = 13) -> torch.Tensor:
    return torch.randn(n, classes, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).softmax(1)


def test_winning_fractions_against_a_loop(device: str) -> None:
    maps = probabilities()
    count = [0] * 4
    for n in range(2):
        for y in range(9):
            for x in range(13):
                values = maps[n, :, y, x].tolist()
                count[values.index(max(values))] += 1
    expected = torch.tensor(count, dtype=torch.float64) / sum(count)
    assert torch.equal(winning_fractions(maps.to(device)).cpu(), expected)
    assert winning_fractions(maps.float().to(device)).dtype == torch.float32


def test_of_equal_values_the_first_class_wins() -> None:
    assert winning_fractions(torch.zeros(1, 3, 2, 2)).tolist() == [1, 0, 0]


def test_factors_give_the_wanted_mean(device: str) -> None:
    probs, wanted = probabilities().to(device), torch.tensor([0.7, 0.2, 0.08, 0.02], dtype=torch.float64, device=device)
    q = probs * class_factors(probs, wanted)[:, None, None]
    torch.testing.assert_close((q / q.sum(1, keepdim=True)).mean((0, 2, 3)), wanted, rtol=1e-2, atol=1e-4)


def test_a_class_that_nobody_wants_gets_no_factor() -> None:
    factors = class_factors(probabilities(), torch.tensor([0.5, 0.5, 0.0, 0.0]))
    assert factors.max() == 1 and factors[2:].tolist() == [0, 0]


@pytest.mark.parametrize("power", [0, 0.3, 1.0])
def test_weights_follow_their_formula(power: float) -> None:
    fractions = torch.tensor([0.64, 0.35, 0.01], dtype=torch.float64)
    weights = class_weights(fractions, power=power)
    torch.testing.assert_close(weights / weights[0], (fractions / fractions[0]) ** -power)
    assert float((weights * fractions).sum()) == pytest.approx(1)


def test_an_absent_class_has_a_finite_weight() -> None:
    weights = class_weights(torch.tensor([1.0, 0.0]))
    assert float(weights[1] / weights[0]) == pytest.approx(100)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: winning_fractions(torch.zeros(3, 4, 4)),
            ValueError,
            r"winning_fractions: maps must be \(",
        ),
        (lambda: winning_fractions(torch.zeros(0, 3, 4, 4)), ValueError, "maps must have at least one pixel"),
        (lambda: class_factors(probabilities() * 3, torch.ones(4) / 4), ValueError, r"probs must be in \[0, 1\]"),
        (lambda: class_factors(probabilities(), torch.ones(3) / 3), ValueError, r"fractions must be \(C,\) = \(4,\)"),
        (lambda: class_factors(probabilities(), torch.ones(4)), ValueError, "add up to 1, got .*: divide counts"),
        (lambda: class_factors(probabilities(), torch.ones(4).long()), TypeError, "fractions must be floating point"),
        (lambda: class_factors(probabilities()[:, :1], torch.ones(1)), ValueError, "probs must have 2 or more"),
        (
            lambda: class_factors(probabilities()[:0], torch.ones(4) / 4),
            ValueError,
            "probs must have at least one pixel",
        ),
        (lambda: class_weights(torch.tensor([1.5, -0.5])), ValueError, "class_weights: fractions must be >= 0"),
        (lambda: class_weights(torch.ones(2) / 2, power=1.5), ValueError, r"power must be a number in \[0, 1\]"),
    ],
)
def test_errors(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
