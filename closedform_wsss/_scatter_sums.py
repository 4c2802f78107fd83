"""Sums by index that have the same bits in every run."""

from __future__ import annotations

import math
from itertools import accumulate

import torch
from torch import Tensor


def scatter_sums(values: Tensor, index: Tensor, size: int, largest: float) -> Tensor:
    """For each row the sum of the values at each index: values and index ``(M, P)`` -> ``(M, size)``.

    ``largest``: what no value exceeds in size. The CPU adds up in order, in float64: a photograph has millions of
    values, and those that cancel leave little. A GPU's threads do so in any order, which rounds in any way: there
    integers are added.
    """
    if values.device.type == "cpu":
        wide = values.double()
        return wide.new_zeros(len(values), size).scatter_add_(1, index, wide).to(values.dtype)
    return sums_of_integers(values, index, size, largest)


def cumulative_sums(values: Tensor) -> Tensor:
    """The sums of the first, the first two ... along the last dimension, which is short."""
    # A GPU's cumsum of floats has no fixed order.
    return values.cumsum(-1) if values.device.type == "cpu" else sums_in_order(values)


def sums_in_order(values: Tensor) -> Tensor:
    """The same by one addition after the other, in float64 like cumsum on the CPU."""
    return torch.stack(list(accumulate(values.double().unbind(-1))), -1).to(values.dtype)


def sums_of_integers(values: Tensor, index: Tensor, size: int, largest: float) -> Tensor:
    """The same in multiples of 2^-b, with as many bits b as the values leave in 63 (some 40 for a photograph).

    NaN and infinity give NaN.
    """
    rows, count = values.shape
    unit = 2.0 ** (61 - math.ceil(math.log2(max(count, 1) * largest)))
    multiples = (values.double() * unit).round().long()
    sums = torch.zeros(rows, size, dtype=torch.int64, device=values.device).scatter_add_(1, index, multiples)
    sound = values.isfinite().all(1, keepdim=True)
    return torch.where(sound, sums.double() / unit, torch.nan).to(values.dtype)
