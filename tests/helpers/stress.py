"""Calls of the library with a known result, and a data set of them that spawned workers can import."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from closedform_wsss import MattingLaplacian
from closedform_wsss.functional import (
    asam,
    closed_form_loss,
    dense_crf,
    dense_crf_loss,
    matting_filter,
    soft_slic,
    solve_matting,
    superpixel_consistency_loss,
    superpixel_pool,
)

CELL = 8


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 33, 45, generator=generator)
    marks = torch.randint(0, 3, (2, 33, 45), generator=generator)
    marks[torch.rand(2, 33, 45, generator=generator) < 0.9] = 255
    return image, marks, torch.randn(2, 3, 33, 45, generator=generator)


def loss_and_gradient(image: Tensor, marks: Tensor, scores: Tensor) -> tuple[Tensor, ...]:
    logits = scores.clone().requires_grad_()
    loss = closed_form_loss(logits, marks, image)
    loss.backward()
    return loss.detach(), logits.grad


def crf_loss_and_gradient(image: Tensor, marks: Tensor, scores: Tensor) -> tuple[Tensor, ...]:
    logits = scores.clone().requires_grad_()
    loss = dense_crf_loss(logits, image)
    loss.backward()
    return loss.detach(), logits.grad


def consistency(image: Tensor, marks: Tensor, scores: Tensor) -> tuple[Tensor, ...]:
    logits = scores.clone().requires_grad_()
    loss = superpixel_consistency_loss(logits, marks, soft_slic(image, cell_size=CELL))
    loss.backward()
    return loss.detach(), logits.grad


CALLS: dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]] = {
    "closed_form_loss": loss_and_gradient,
    "superpixel_consistency_loss": consistency,
    "product": lambda image, marks, scores: (MattingLaplacian(image) @ scores,),
    "solve_matting": lambda image, marks, scores: (solve_matting(marks, image, eps=1e-4, tol=1e-2).alpha,),
    "matting_filter": lambda image, marks, scores: (matting_filter(scores.softmax(1), image, fidelity=0.1, tol=1e-2),),
    "dense_crf": lambda image, marks, scores: (dense_crf(scores.softmax(1), image, num_iters=2),),
    "dense_crf_loss": crf_loss_and_gradient,
    "soft_slic": lambda image, marks, scores: (soft_slic(image, cell_size=CELL).assignment,),
    "superpixel_pool": lambda image, marks, scores: (superpixel_pool(scores, soft_slic(image, cell_size=CELL)),),
    "asam": lambda image, marks, scores: (asam(scores, soft_slic(image, cell_size=CELL)),),
}


class Images(torch.utils.data.Dataset[Tensor]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Tensor:
        return torch.cat([x.flatten() for name in ("closed_form_loss", "asam") for x in CALLS[name](*inputs())])
