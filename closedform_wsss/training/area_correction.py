"""The areas of the classes in pseudo-labels, from how often each class wins after the filter."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from closedform_wsss.training.class_balance import class_factors, winning_fractions

# A class that has no pixel keeps this fraction, or its factor would be 0 for ever.
TRACE = 1e-5
# No class is made so many times more, or less, probable than the typical one.
LARGEST_FACTOR = 10.0
# Another repeat must change the areas by at most this part of what the repeat before it changed.
CONVERGES = 0.65


@torch.no_grad()
def correct_areas(
    refined: Callable[[Tensor], Iterable[Tensor]],
    probs: Tensor,
    repeats: int,
    normalized: Callable[[Tensor], Tensor],
) -> Tensor:
    """Factors of the classes, ``(C,)``, that give the predictions the areas that they have after the filter.

    Each repeat filters the predictions, multiplied by the factors, and takes the fractions that the classes win as the
    wanted areas. Where marks are dense this converges. Where they are few, frequent classes would grow with each
    repeat. The change of the areas tells the two: it falls to less than two thirds each time, or it does not, and then
    the repeats end.

    Args:
        refined: Factors -> filtered predictions of some images, each ``(N, C, h, w)``.
        probs: ``(C, P)``, some pixels of the predictions.
        repeats: At most so many, >= 0.
        normalized: Counts of the classes ``(C,)`` -> fractions, of all ranks.
    """
    classes = len(probs)
    factors = torch.ones(classes, device=probs.device)
    areas, change = normalized(probs.sum(1).double()), float("inf")
    for _ in range(repeats):
        won = torch.zeros(classes, dtype=torch.float64, device=probs.device)
        for q in refined(factors):
            won += winning_fractions(q).double() * len(q)
        wanted = normalized(won)
        previous, change = change, float((wanted - areas).abs().sum())
        if change > CONVERGES * previous:
            break
        areas = wanted
        wanted = wanted.clamp_min(TRACE)
        wanted = wanted / wanted.sum()
        factors = class_factors(probs[None, :, :, None], wanted)
        typical = (wanted * factors.log()).sum().exp()
        factors = (factors / typical).clamp(1 / LARGEST_FACTOR, LARGEST_FACTOR)
    return factors
