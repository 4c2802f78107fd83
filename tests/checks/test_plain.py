"""Tensors of other libraries are taken as those of torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from closedform_wsss import MattingLaplacian
from closedform_wsss._plain import plain
from closedform_wsss.functional import (
    dense_crf,
    mark_loss,
    refine_prediction,
    soft_slic,
    solve_matting,
    superpixel_pool,
)
from closedform_wsss.training import SelfTrainingLoss


class WithMetadata(Tensor):
    """As MONAI's MetaTensor: results of torch's functions have the class too, and ``new_empty`` takes a tuple."""

    def new_empty(self, size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        empty = self.as_subclass(Tensor).new_empty(size=size, dtype=dtype, device=device, requires_grad=requires_grad)
        return empty.as_subclass(WithMetadata)


IMAGE = torch.rand(2, 1, 24, 32)
MARKS = torch.full((2, 24, 32), 255)
MARKS[:, 3, 4:28], MARKS[:, 20, 4:28] = 0, 1
LOGITS = torch.randn(2, 2, 24, 32)


@pytest.mark.parametrize(
    "call",
    [
        lambda logits, marks, image: mark_loss(logits, marks, image),
        lambda logits, marks, image: SelfTrainingLoss(2, total_steps=6)(logits, marks, image),
        lambda logits, marks, image: solve_matting(marks, image).alpha,
        lambda logits, marks, image: refine_prediction(logits.softmax(1), image, marks),
        lambda logits, marks, image: dense_crf(logits.softmax(1), image),
        lambda logits, marks, image: soft_slic(image, cell_size=8).assignment,
        lambda logits, marks, image: superpixel_pool(logits, soft_slic(image, cell_size=8)),
        lambda logits, marks, image: MattingLaplacian(image) @ logits,
    ],
)
def test_a_subclass_gives_the_same(call: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    expected = call(LOGITS.clone().requires_grad_(), MARKS, IMAGE)
    logits = LOGITS.as_subclass(WithMetadata).requires_grad_()
    result = call(logits, MARKS.as_subclass(WithMetadata), IMAGE.as_subclass(WithMetadata))
    assert torch.equal(result.as_subclass(Tensor), expected)


def test_gradients_arrive() -> None:
    expected, logits = LOGITS.clone().requires_grad_(), LOGITS.clone().as_subclass(WithMetadata).requires_grad_()
    mark_loss(expected, MARKS, IMAGE).backward()
    mark_loss(logits, MARKS.as_subclass(WithMetadata), IMAGE.as_subclass(WithMetadata)).backward()
    assert torch.equal(logits.grad.as_subclass(Tensor), expected.grad)


def test_what_stays() -> None:
    """Tensors, parameters, and the subclasses of torch's own transforms."""
    weight = torch.nn.Parameter(torch.ones(2))
    assert plain(weight) is weight
    assert plain(IMAGE) is IMAGE
    with FakeTensorMode():
        fake = torch.empty(2)
    assert plain(fake) is fake
