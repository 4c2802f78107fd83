"""Augmentations of a batch that keep image, target and pseudo-label on one another."""

from __future__ import annotations

import torch
from torch import Tensor


def flip(maps: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Mirror a random half of the batch, alike in all of the maps ``(N, ..., W)``."""
    chosen = (torch.rand(len(maps[0]), generator=generator) < 0.5).to(maps[0].device)
    return [torch.where(chosen.view(-1, *[1] * (x.ndim - 1)), x.flip(-1), x) for x in maps]
