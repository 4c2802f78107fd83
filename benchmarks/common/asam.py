"""ASAM in plain PyTorch, and its settings in every table."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss import _reference

CELL, STEPS = 16, 20


def plain_asam(cam: Tensor, q: Tensor) -> Tensor:
    """ASAM by the reference implementations: shifted copies, padded and summed over blocks."""
    shared = _reference.asam_affinity(q, CELL)
    affinity = shared / shared.sum(1, keepdim=True)
    s = _reference.superpixel_pool(cam, q, CELL) / _reference.superpixel_pool(torch.ones_like(q[:, :1]), q, CELL)
    s, _ = _reference.asam_steps(affinity, s, STEPS, 1.0, 0.0, False, False)
    return _reference.superpixel_unpool(s, q, CELL)
