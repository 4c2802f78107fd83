"""The filter of a recipe."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss.functional.refine_prediction import refine_prediction
from closedform_wsss.training.recipe import Recipe


def filtered(recipe: Recipe, p: Tensor, image: Tensor, marks: Tensor, factors: Tensor, ignore_index: int) -> Tensor:
    """Probabilities ``(N, C, h, w)``, multiplied by the factors ``(C,)``, that follow the image and keep the marks."""
    return refine_prediction(
        p, image, marks, class_factors=factors, fidelity=recipe.fidelity, tol=recipe.tol, ignore_index=ignore_index
    )
