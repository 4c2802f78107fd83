"""The settings of self-training, and what a round of it reports."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from closedform_wsss._checks import check_count, check_option, check_positive, check_probability


@dataclass(frozen=True)
class Recipe:
    """The settings of :class:`PseudoLabeler` and :class:`SelfTrainingLoss`: the same for all kinds of marks.

    Args:
        rounds: When the network starts to learn from its own labels, and when these are made anew, as fractions of the
            training, ascending, in (0, 1). Default a third and a half.
        repeats: How often the areas of the classes are corrected in a round, >= 0. A class must keep three quarters of
            its recall on the marks. Default 2.
        balance: Classes have the weight fraction^-balance in the cross-entropy, in [0, 1]. Default 0.3.
        filter_scale: Size at which predictions are filtered, relative to the marks', in (0, 1]. None (default) chooses
            1, 1/2, 1/4, 1/8 or 1/16 for each image: the smallest at which most marks of each class are more than 8
            pixels away from those of other classes. The filter then reaches as far as the marks are apart.
        complete_marks: Whether each class of an image has a mark in it, apart from tiny objects. Then the labels of an
            image hold no other class (:class:`PseudoLabeler` only; :class:`SelfTrainingLoss` takes the classes of each
            image). Default True.
        prediction_scales: Sizes of the copies of an image that are predicted, relative to the image, > 0; the
            probabilities are averaged (:class:`PseudoLabeler` only). In an enlarged image a network finds finer
            outlines. Default (1, 2). An image with dots alone, where the marks of a class cover less than a thousandth
            of it, is predicted at its own size only. Use (1,) for a network that takes one size only, or if memory is
            short.
        flip: Predict the mirrored copies too, and average (:class:`PseudoLabeler` only). Default False: it takes twice
            the time, and labels hardly change.
        fidelity: Of :func:`~closedform_wsss.functional.refine_prediction`, > 0. Default 0.03.
        max_ambiguity: A pixel has no label where the second class has more than this fraction of the probability of the
            first, in [0, 1] (:class:`PseudoLabeler` only). Most errors of the labels are there, along outlines. 1
            labels every pixel, and so does any value in an image with dots alone. Default 0.5.
        num_images: The areas come from about so many images, >= 1. Default 64.
        num_pixels: Pixels of each of them for the mean probabilities, >= 1. Default 500.

    Raises:
        TypeError, ValueError: A setting is out of range.

    Example:
        >>> from closedform_wsss.training import Recipe
        >>> Recipe(complete_marks=False, balance=0.5).balance
        0.5
    """

    rounds: tuple[float, ...] = (1 / 3, 1 / 2)
    repeats: int = 2
    balance: float = 0.3
    filter_scale: float | None = None
    complete_marks: bool = True
    prediction_scales: tuple[float, ...] = (1.0, 2.0)
    flip: bool = False
    fidelity: float = 0.03
    max_ambiguity: float = 0.5
    num_images: int = 64
    num_pixels: int = 500

    def __post_init__(self) -> None:
        fn = "Recipe"
        if not isinstance(self.rounds, tuple) or not all(isinstance(part, numbers.Real) for part in self.rounds):
            raise TypeError(f"{fn}: rounds must be a tuple of fractions, got {self.rounds!r}")
        if not all(0 < part < 1 for part in self.rounds) or list(self.rounds) != sorted(set(self.rounds)):
            raise ValueError(f"{fn}: rounds must be ascending fractions in (0, 1), got {self.rounds}")
        check_count(fn, "repeats", self.repeats, 0)
        check_probability(fn, "balance", self.balance)
        if self.filter_scale is not None and not 0 < check_positive(fn, "filter_scale", self.filter_scale) <= 1:
            raise ValueError(f"{fn}: filter_scale must be in (0, 1], got {self.filter_scale}")
        if not isinstance(self.prediction_scales, tuple) or not self.prediction_scales:
            got = f"got {self.prediction_scales!r}"
            raise ValueError(f"{fn}: prediction_scales must be a tuple of at least one number, {got}")
        for scale in self.prediction_scales:
            check_positive(fn, "prediction_scales", scale)
        check_option(fn, "complete_marks", self.complete_marks, (True, False))
        check_option(fn, "flip", self.flip, (True, False))
        check_positive(fn, "fidelity", self.fidelity)
        check_probability(fn, "max_ambiguity", self.max_ambiguity)
        check_count(fn, "num_images", self.num_images, 1)
        check_count(fn, "num_pixels", self.num_pixels, 1)


def check_recipe(fn: str, recipe: Any) -> Recipe:
    """The settings of ``fn``: the default ones for None."""
    if recipe is None:
        return Recipe()
    if not isinstance(recipe, Recipe):
        raise TypeError(f"{fn}: recipe must be a Recipe, got {type(recipe).__name__}: pass Recipe(repeats=1, ...)")
    return recipe


@dataclass(frozen=True)
class Report:
    """What a round of self-training made: fractions of each class, ``(C,)``.

    Attributes:
        round: Number of the round, from 1.
        marks: In the marked pixels.
        predictions: In the predictions, where the class is the most probable.
        labels: In the labels, if ambiguous pixels had the label of their most probable class.
        collapsed: Classes that have marks but almost no labels.
        ambiguous: The fraction of the pixels that have no label, see ``max_ambiguity`` of :class:`Recipe`.

    Example:
        >>> import torch
        >>> from closedform_wsss.training import Report
        >>> third = torch.full((3,), 1 / 3)
        >>> print(Report(1, third, third, torch.tensor([0.5, 0.5, 0.0]), [2]))
        round 1
        class   marks  predictions  labels
            0   33.3%        33.3%   50.0%
            1   33.3%        33.3%   50.0%
            2   33.3%        33.3%    0.0%  collapsed
        no label, because ambiguous: 0.0%
    """

    round: int
    marks: Tensor
    predictions: Tensor
    labels: Tensor
    collapsed: list[int] = field(default_factory=list)
    ambiguous: float = 0.0

    def __str__(self) -> str:
        rows = [f"round {self.round}", "class   marks  predictions  labels"]
        for c, (m, p, q) in enumerate(zip(self.marks, self.predictions, self.labels, strict=True)):
            note = "  collapsed" if c in self.collapsed else ""
            rows.append(f"{c:5d}  {float(m):6.1%}       {float(p):6.1%}  {float(q):6.1%}{note}")
        return "\n".join([*rows, f"no label, because ambiguous: {self.ambiguous:.1%}"])
