"""Jobs whose peak memory is measured: each makes its inputs and returns the function to measure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pymatting
from kernels import baselines
from torch import Tensor

import closedform_wsss
from closedform_wsss.functional import closed_form_loss
from common.inputs import logits, marks, photo

Job = Callable[[int, int], Callable[[], Any]]
CLASSES = 21


def as_numpy(image: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    """``(1, 3, H, W)`` -> ``(H, W, 3)`` float64, contiguous: pymatting's input."""
    return np.ascontiguousarray(image[0].permute(1, 2, 0).double().numpy())


def _build_ours(height: int, width: int) -> Callable[[], Any]:
    image = photo(height, width)
    return lambda: closedform_wsss.MattingLaplacian(image)


def _build_pymatting(height: int, width: int) -> Callable[[], Any]:
    image = as_numpy(photo(height, width))
    return lambda: pymatting.cf_laplacian(image)


def _build_torch(height: int, width: int) -> Callable[[], Any]:
    image = photo(height, width)[0]
    return lambda: baselines.laplacian_csr(image)


def _loss_ours(height: int, width: int) -> Callable[[], Any]:
    image, target = photo(height, width), marks(1, CLASSES, height, width)
    x = logits(1, CLASSES, height, width).softmax(1).requires_grad_()

    def step() -> Tensor | None:
        closed_form_loss(x, target, image, form="residual", eps=1e-7, scale=1, activation=None).backward()
        return x.grad

    return step


def _loss_torch(height: int, width: int) -> Callable[[], Any]:
    image, target = photo(height, width), marks(1, CLASSES, height, width)
    x = logits(1, CLASSES, height, width).softmax(1).requires_grad_()
    matrix = baselines.to_float32(baselines.add_marks(baselines.laplacian_csr(image[0]), target[0], 100.0))

    def step() -> Tensor | None:
        baselines.CSRLoss.apply(x, [matrix], target, 100.0, True).backward()
        return x.grad

    return step


JOBS: dict[str, Job] = {
    "build_ours": _build_ours,
    "build_pymatting": _build_pymatting,
    "build_torch": _build_torch,
    "loss_ours": _loss_ours,
    "loss_torch": _loss_torch,
}
