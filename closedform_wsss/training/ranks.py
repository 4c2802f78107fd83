"""What the processes of one training share."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def gathered(x: T) -> list[T]:
    """Of all ranks; sizes may differ."""
    if not dist.is_initialized():
        return [x]
    parts = [x] * dist.get_world_size()
    dist.all_gather_object(parts, x)
    return parts


def total(counts: Tensor) -> Tensor:
    """The sum over all ranks."""
    return torch.stack([part.to(counts.device) for part in gathered(counts)]).sum(0)


def mean_of_ranks(x: Tensor) -> Tensor:
    """On the device, without a wait of the host."""
    if not dist.is_initialized():
        return x
    x = x.clone()
    dist.all_reduce(x)
    return x / dist.get_world_size()
