"""The areas of the classes in pseudo-labels, from how often each class wins after the filter."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from closedform_wsss._resize import resize_marks
from closedform_wsss.training.class_balance import class_factors, winning_fractions
from closedform_wsss.training.ranks import gathered, rank, total

# A class that has no pixel keeps this fraction, or its factor would be 0 for ever.
TRACE = 1e-5
# No class is made so many times more, or less, probable than the typical one.
LARGEST_FACTOR = 10.0
# Multiplied by the factors, predictions must still find this part of what they found of the marks of each class.
KEPT_RECALL = 0.75
# So often a factor that loses more than that is brought half way back.
STEPS_BACK = 8


@torch.no_grad()
def correct_areas(
    refined: Callable[[Tensor], Iterable[Tensor]],
    probs: Tensor,
    at_marks: tuple[Tensor, Tensor],
    repeats: int,
) -> Tensor:
    """Factors of the classes, ``(C,)``, that give the predictions the areas that they have after the filter.

    Each repeat filters the predictions, multiplied by the factors, and takes the fractions that the classes win as the
    wanted areas. A class that is predicted with little confidence wins less than its mean probability, so it shrinks.
    For a class that was marked densely this is right. A class that is not known well yet would be lost. The marks tell:
    where a smaller factor would lose more than a quarter of a class's recall there, it stays nearer to the one before.

    Args:
        refined: Factors -> filtered predictions of some images of this rank, each ``(N, C, h, w)``.
        probs: ``(C, P)``, some pixels of the predictions of all ranks.
        at_marks: Predictions at marked pixels of this rank, ``(C, M)``, and the classes of the marks, ``(M,)``.
        repeats: How many, >= 0.
    """
    classes = len(probs)
    factors = torch.ones(classes, device=probs.device)
    least = KEPT_RECALL * _recall(*at_marks, factors)
    for _ in range(repeats):
        won = torch.zeros(classes, dtype=torch.float64, device=probs.device)
        for q in refined(factors):
            won += winning_fractions(q).double() * len(q)
        wanted = total(won)
        wanted = (wanted / wanted.sum()).clamp_min(TRACE)
        wanted = wanted / wanted.sum()
        found = class_factors(probs[None, :, :, None], wanted)
        typical = (wanted * found.log()).sum().exp()
        found = (found / typical).clamp(1 / LARGEST_FACTOR, LARGEST_FACTOR)
        for _ in range(STEPS_BACK):
            lost = (_recall(*at_marks, found) < least) & (found < factors)
            found = torch.where(lost, (found * factors).sqrt(), found)
        factors = found
    return factors


def _recall(probs: Tensor, label: Tensor, factors: Tensor) -> Tensor:
    """Fraction of the marks of each class that the predictions find, ``(C,)``."""
    best = (probs * factors[:, None]).max(0).indices
    hits, marks = (total(torch.bincount(x, minlength=len(probs)).double()) for x in (label[best == label], label))
    return hits / marks.clamp_min(1)


def picked_pixels(
    images: Iterable[tuple[Tensor, Tensor]], num_classes: int, ignore_index: int, count: int
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """``probs`` and ``at_marks`` of :func:`correct_areas`, at most ``count`` pixels of each image.

    The images of this rank: predictions ``(N, C, h, w)`` and marks ``(N, H, W)``.
    """
    picked, generator = [], pixel_generator()
    for p, marks in images:
        small = resize_marks(marks, (p.shape[2], p.shape[3]), num_classes, ignore_index)
        picked.append(pick_pixels(p, small, ignore_index, count, generator))
    if not picked:
        none = torch.empty(num_classes, 0, device="cpu")
        picked.append((none, none, none[0].long()))
    probs, at_marks, label = (torch.cat(parts, -1) for parts in zip(*picked, strict=True))
    return torch.cat(gathered(probs), 1), (at_marks, label)


def pixel_generator() -> torch.Generator:
    """Of the pixels of a round: for all its images, or their errors would be alike and not average out."""
    return torch.Generator("cpu").manual_seed(rank())


def pick_pixels(
    p: Tensor, marks: Tensor, ignore_index: int, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Some pixels of each image of p ``(N, C, h, w)``, and some of its marks ``(N, h, w)``, at most ``count`` each.

    Returns ``(C, P)``, and what :func:`correct_areas` takes as ``at_marks``.
    """
    flat, target = p.movedim(1, 0).flatten(1), marks.flatten()
    pixels = torch.randint(flat.shape[1], (count * len(p),), generator=generator, device="cpu").to(p.device)
    marked = (target != ignore_index).nonzero().flatten()
    order = torch.randperm(len(marked), generator=generator, device="cpu")[: count * len(p)].to(p.device)
    return flat[:, pixels], flat[:, marked[order]], target[marked[order]]
