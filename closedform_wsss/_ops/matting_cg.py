"""The operator matting_cg: conjugate gradients on whole maps, all iterations in one call."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss import _reference
from closedform_wsss._ops._define import define, launch

# --- matting_cg: (L + diagonal) x = b, and how each system ended (N, C, 4), see csrc/common/cg_stopping.h -------------


def _matting_cg(
    stencil: Tensor,
    diagonal: Tensor,
    b: Tensor,
    start: Tensor,
    tol: float,
    max_iter: int,
    every: int,
    divisor: int,
    min_rate: float,
    max_rate: float,
) -> tuple[Tensor, Tensor]:
    diagonal, b = diagonal.contiguous(), b.contiguous()
    x = start.clone(memory_format=torch.contiguous_format)
    report = x.new_empty(*x.shape[:2], 4, dtype=torch.float64)
    scratch = x.new_empty(5, *x.shape)
    schedule = (every, divisor, min_rate, max_rate)
    launch("matting_cg", x, stencil, diagonal, b, x, scratch, report, *x.shape, tol, max_iter, *schedule)
    return x, report


def _matting_cg_fake(stencil: Tensor, diagonal: Tensor, b: Tensor, start: Tensor, *_: float) -> tuple[Tensor, Tensor]:
    x = torch.empty_like(start, memory_format=torch.contiguous_format)
    return x, x.new_empty(*x.shape[:2], 4, dtype=torch.float64)


matting_cg = define(
    "matting_cg",
    "(Tensor stencil, Tensor diagonal, Tensor b, Tensor start, float tol, int max_iter, int every, int divisor,"
    " float min_rate, float max_rate) -> (Tensor, Tensor)",
    _matting_cg,
    _reference.matting_cg,
    _matting_cg_fake,
)
