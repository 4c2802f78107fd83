"""Marks of a class that the image does not hold, it is said."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from closedform_wsss.functional import closed_form_loss, mark_loss, refine_prediction
from closedform_wsss.training import SelfTrainingLoss

IMAGE = torch.rand(3, 3, 16, 20, generator=torch.Generator().manual_seed(0))
PROBS = torch.full((3, 4, 16, 20), 0.25)
LOGITS = torch.zeros(3, 4, 16, 20, requires_grad=True)
CALLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mark_loss": lambda marks, present: mark_loss(LOGITS, marks, IMAGE, class_present=present),
    "closed_form_loss": lambda marks, present: closed_form_loss(LOGITS, marks, IMAGE, class_present=present),
    "refine_prediction": lambda marks, present: refine_prediction(PROBS, IMAGE, marks, class_present=present),
    # Before its first round it is mark_loss.
    "SelfTrainingLoss": lambda marks, present: SelfTrainingLoss(4, 9)(LOGITS, marks, IMAGE, present),
}


def marks_of_two_classes() -> Tensor:
    marks = torch.full((3, 16, 20), 255)
    marks[:, 3, 2:18], marks[1, 12, 2:18] = 0, 2
    return marks


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
@pytest.mark.parametrize("name", CALLS)
def test_a_warning_names_the_class_and_the_image(name: str, dtype: torch.dtype) -> None:
    """Image-level labels without the background, which is marked."""
    present = torch.tensor([[1, 0, 0, 1], [0, 0, 1, 0], [1, 1, 1, 1]]).to(dtype)
    fn = name.replace("SelfTrainingLoss", "mark_loss")
    message = f"{fn}: class_present should hold the marked classes, .* 0 for class 0 of image 1 of the batch"
    with pytest.warns(UserWarning, match=message) as caught:
        CALLS[name](marks_of_two_classes(), present)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("name", CALLS)
def test_silent_where_nothing_contradicts(name: str) -> None:
    """More classes than marks after a crop; small probabilities; an image of which nothing is known."""
    present = torch.tensor([[1, 0.5, 0, 1], [0.1, 0, 0.2, 0], [0, 0, 0, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CALLS[name](marks_of_two_classes(), present)
