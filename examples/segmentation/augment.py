"""Augmentations that change image, target and pseudo-label in the same way."""

from __future__ import annotations

import torch
from torch import Tensor


def flip(maps: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Mirror a random half of the batch, the same images in all maps ``(N, ..., W)``."""
    chosen = (torch.rand(len(maps[0]), generator=generator) < 0.5).to(maps[0].device)
    return [torch.where(chosen.view(-1, *[1] * (x.ndim - 1)), x.flip(-1), x) for x in maps]
