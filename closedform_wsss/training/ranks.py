"""What the processes of one training share."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def _are_several() -> bool:
    """Whether there is a group of processes. Some builds of torch have no groups, and nothing to ask for them."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    return dist.get_rank() if _are_several() else 0


def world() -> int:
    return dist.get_world_size() if _are_several() else 1


def gathered(x: T) -> list[T]:
    """Of all ranks; sizes may differ. Tensors are on the device of this rank's."""
    if not _are_several():
        return [x]
    parts: list[Any] = [None] * dist.get_world_size()
    # From the CPU: a tensor of a GPU would arrive on the same GPU, that of the rank that sent it.
    dist.all_gather_object(parts, x.cpu() if isinstance(x, Tensor) else x)
    return [part.to(x.device) for part in parts] if isinstance(x, Tensor) else parts


def total(counts: Tensor) -> Tensor:
    """The sum over all ranks."""
    return torch.stack(gathered(counts)).sum(0)


def mean_of_ranks(x: Tensor) -> Tensor:
    """On the device, without a wait of the host."""
    if not _are_several():
        return x
    x = x.clone()
    dist.all_reduce(x)
    return x / dist.get_world_size()
