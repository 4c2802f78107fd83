"""What makes maps of logits, and its derivatives; the kernels have them in ``csrc/*/activation*.h``."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Activation = Literal["softmax", "sigmoid"] | None
# As csrc/common/activation.h numbers them.
NUMBER: dict[Activation, int] = {None: 0, "sigmoid": 1, "softmax": 2}


def activate(z: Tensor, activation: Activation) -> Tensor:
    """Maps a of logits z ``(N, C, H, W)``."""
    if activation == "softmax":
        return z.softmax(1)
    return z.sigmoid() if activation == "sigmoid" else z


def maps_of(x: Tensor, activation: Activation, dtype: torch.dtype) -> Tensor:
    """The same in another precision; the softmax reads half precision as it is."""
    return x.softmax(1, dtype=dtype) if activation == "softmax" else activate(x.to(dtype), activation)


def pull_back(a: Tensor, v: Tensor, activation: Activation) -> Tensor:
    """J v with the Jacobian J = da/dz, which is symmetric."""
    if activation == "softmax":
        return a * (v - _over_classes(a, v))
    return a * (1 - a) * v if activation == "sigmoid" else v


def pull_back_gradient(a: Tensor, v: Tensor, g: Tensor, activation: Activation) -> Tensor:
    """The gradient of v^T J(a) g with respect to a."""
    if activation == "softmax":
        return v * g - v * _over_classes(a, g) - g * _over_classes(a, v)
    return (1 - 2 * a) * v * g if activation == "sigmoid" else a.new_zeros(())


def _over_classes(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1, keepdim=True)
