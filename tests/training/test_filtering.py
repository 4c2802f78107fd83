"""The filter of self-training: its fixed steps do most of what the exact filter does to the winning classes."""

from __future__ import annotations

import pytest
import torch
from skimage import data
from skimage.transform import resize
from torch import Tensor

from closedform_wsss.functional import refine_prediction
from closedform_wsss.training import Recipe, filtering


def problem() -> tuple[Tensor, Tensor, Tensor]:
    """A photograph, confident predictions of five classes, and marks of two of them."""
    image = torch.from_numpy(resize(data.coffee(), (60, 90))).permute(2, 0, 1)[None].float()
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, 5, 8, 12, generator=generator)
    p = torch.nn.functional.interpolate(10 * coarse, (60, 90), mode="bilinear").softmax(1)
    marks = torch.full((1, 60, 90), 255)
    marks[0, 10, 5:40], marks[0, 50, 30:80] = 0, 3
    return p, image, marks


@pytest.mark.parametrize("fidelity", [0.3, 0.03, 0.003])
def test_most_winners_are_those_of_the_exact_filter(fidelity: float, monkeypatch: pytest.MonkeyPatch) -> None:
    p, image, marks = problem()
    exact = refine_prediction(p, image, marks, fidelity=fidelity, eps=filtering.EPS, tol=1e-5).argmax(1)

    def wrong() -> float:
        q = filtering.filtered(Recipe(fidelity=fidelity), p, image, marks, torch.ones(5), 255)
        return float((q.argmax(1) != exact).float().mean())

    changed = float((p.argmax(1) != exact).float().mean())  # much: these predictions know nothing of the image
    enough = wrong()
    monkeypatch.setattr(filtering, "STEPS", filtering.STEPS / 3)
    assert enough < 0.3 * changed < wrong()
