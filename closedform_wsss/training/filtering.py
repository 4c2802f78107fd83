"""The filter of a recipe."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss.functional.refine_prediction import refine_prediction
from closedform_wsss.training.recipe import Recipe

# Times 1 / sqrt(fidelity): steps whose labels are as good as the exact filter's (benchmarks/training/label_steps.py).
STEPS = 3.5
# Regularisation of the Laplacian. With 1e-7, the value for mattes, the noise of smooth regions counts as edges.
EPS = 1e-5


def filtered(recipe: Recipe, p: Tensor, image: Tensor, marks: Tensor, factors: Tensor, ignore_index: int) -> Tensor:
    """Probabilities ``(N, C, h, w)``, multiplied by the factors ``(C,)``, that follow the image and keep the marks."""
    steps = max(round(STEPS / recipe.fidelity**0.5), 1)
    return refine_prediction(
        p,
        image,
        marks,
        class_factors=factors,
        fidelity=recipe.fidelity,
        eps=EPS,
        num_iters=steps,
        ignore_index=ignore_index,
    )
