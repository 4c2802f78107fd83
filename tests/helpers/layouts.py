"""The ways in which a tensor's values can lie in memory."""

from __future__ import annotations

import torch
from torch import Tensor


def transposed(x: Tensor) -> Tensor:
    """The last axis outermost."""
    order = list(range(x.ndim))[::-1]
    return x.permute(order).contiguous().permute(order)


def sliced(x: Tensor) -> Tensor:
    """Every second value of a larger tensor, from its second one on."""
    larger = torch.full([2 * size + 1 for size in x.shape], 77, dtype=x.dtype)
    part = larger[tuple(slice(1, None, 2) for _ in x.shape)]
    return part.copy_(x)


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def shifted(x: Tensor) -> Tensor:
    """At an address that is no multiple of what vectors are aligned to."""
    return torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape)


def in_a_batch(x: Tensor) -> Tensor:
    """Between two others."""
    return torch.stack([torch.ones_like(x), x, torch.ones_like(x)], -1)[..., 1]


def expanded(x: Tensor) -> Tensor:
    """One value for all of the first axis that has several, with a stride of zero. The only one that changes values."""
    dim = next((d for d, size in enumerate(x.shape) if size > 1), None)
    return x if dim is None else x.narrow(dim, 0, 1).expand_as(x)


LAYOUTS = (transposed, sliced, channels_last, shifted, in_a_batch)
