"""The permutohedral lattice of an image; the reference implementation of ``csrc/cpu/lattice_build.cpp``.

Adams, Baek, Davis: Fast high-dimensional filtering using the permutohedral lattice. Computer Graphics Forum 2010.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def lattice_build(image: Tensor, position_sigma: float, color_sigma: float) -> list[Tensor]:
    """The lattice of the features (x, y) / position_sigma and image ``(N, D, H, W)`` / color_sigma, all its rows.

    Returns indices and weights ``(N, P, K)``, neighbours ``(N, K, R, 2)`` and the number of rows in use ``(N,)``;
    ``csrc/common/lattice.h`` says what they are. K = D + 3, R = P K + 1. No value is read, so that a GPU need not be
    waited for.
    """
    n, d, h, w = image.shape
    corners, ranks, weights = _simplices(_features(image, position_sigma, color_sigma))
    k, points = d + 3, h * w
    remainder = torch.arange(k, device=image.device)[:, None]
    # Of each corner of the simplex all coordinates but the last: (N, P, K, K - 1).
    turned = k * (ranks[:, :, None] > k - 1 - remainder)
    coordinates = (corners[:, :, None] + remainder - turned)[..., :-1]

    # One number for a lattice point and its neighbours, exact while the product of the spans is below 2^63.
    low, high = (F.pad(sign * coordinates.flatten(1, 2), (0, 0, 0, 1)).amax(1) for sign in (-1, 1))
    span = high + low + 2 * k + 1
    stride = F.pad(span[:, :-1].cumprod(1), (1, 0), value=1)
    keys = (coordinates * stride[:, None, None]).sum(-1).flatten(1)

    rows, sorted_keys, sorted_rows = _numbered(keys)
    every_row = torch.arange(points * k + 1, device=image.device)
    key_of_row = torch.zeros(n, points * k + 1, dtype=torch.int64, device=image.device).scatter_(1, rows, keys)
    counts = F.pad(rows, (1, 0)).amax(1) + 1
    used = (every_row > 0) & (every_row < counts[:, None])
    neighbours = []
    for axis in range(k):
        step = stride.sum(1, keepdim=True) - (k * stride[:, axis : axis + 1] if axis < k - 1 else 0)
        sides = [_find(key_of_row + sign * step, sorted_keys, sorted_rows) for sign in (1, -1)]
        neighbours.append(torch.stack([torch.where(used, side, 0) for side in sides], -1))
    integers = (rows.view(n, points, k), torch.stack(neighbours, 1), counts)
    indices, along, counts = (value.to(torch.int32) for value in integers)
    return [indices, weights.to(image.dtype), along, counts]


def _features(image: Tensor, position_sigma: float, color_sigma: float) -> Tensor:
    """``(N, P, D + 2)`` in float64."""
    n, _, h, w = image.shape
    columns = torch.arange(w, device=image.device, dtype=torch.float64).expand(n, 1, h, w)
    rows = torch.arange(h, device=image.device, dtype=torch.float64)[:, None].expand(n, 1, h, w)
    values = torch.cat([columns, rows, image.double()], 1).flatten(2).transpose(1, 2)
    # A tensor: on a GPU, division by a number is multiplication by its inverse.
    sigma = torch.full_like(values, color_sigma)
    sigma[..., :2] = position_sigma
    return values / sigma


def _simplices(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The simplex around each point: its corner of remainder 0, ranks of the residuals, weights of the corners."""
    k = features.shape[-1] + 1
    j = torch.arange(1, k, device=features.device, dtype=torch.float64)
    # Each number rounded as the kernel does, so that both find the same lattice.
    scaled = torch.stack(
        [features[..., i] * (k * math.sqrt(2 / 3) / math.sqrt((i + 1) * (i + 2))) for i in range(k - 1)], -1
    )
    sums = [torch.zeros_like(scaled[..., 0])]
    for own in reversed(scaled.unbind(-1)):  # not cumsum, which has no fixed order on a GPU
        sums.append(sums[-1] + own)
    x = torch.stack(sums[::-1], -1) - F.pad(scaled * j, (1, 0))
    # Whatever the features are, NaN included, ranks are a permutation: no place beyond the simplex is written.
    quotient = x / k
    multiple = torch.where(quotient.abs() < 1e8, quotient, 0).round()
    rest = x - multiple * k
    index = torch.arange(k, device=features.device)
    less = rest[..., None] < rest[..., None, :]
    ranks = torch.where(index > index[:, None], less, ~less.mT & (index < index[:, None])).sum(-1)
    moved = ranks + multiple.sum(-1, keepdim=True).clamp(1 - k, k - 1).to(torch.int64)
    turn = (moved < 0).to(torch.int64) - (moved >= k).to(torch.int64)
    ranks, corners = moved + turn * k, (multiple.to(torch.int64) + turn) * k
    ordered = torch.zeros_like(x).scatter_(-1, ranks, x - corners)
    differences = (ordered[..., :-1] - ordered[..., 1:]).flip(-1) / k
    first = 1 - (ordered[..., :1] - ordered[..., -1:]) / k
    return corners, ranks, torch.cat([first, differences], -1)


def _numbered(keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The row of each key ``(N, E)``, numbered from 1 in the order of first appearance; keys and rows, sorted."""
    ordered, order = keys.sort(dim=1, stable=True)
    new = F.pad(ordered[:, 1:] != ordered[:, :-1], (1, 0), value=True)
    if keys.shape[1] == 0:
        return keys, keys, keys
    place = torch.arange(keys.shape[1], device=keys.device).expand_as(keys)
    first = order.gather(1, torch.where(new, place, 0).cummax(1).values)
    number = torch.zeros_like(keys).scatter_(1, first, 1).cumsum(1)
    sorted_rows = number.gather(1, first)
    return torch.zeros_like(keys).scatter_(1, order, sorted_rows), ordered, sorted_rows


def _find(keys: Tensor, sorted_keys: Tensor, sorted_rows: Tensor) -> Tensor:
    """The rows of keys, 0 where there is none."""
    if sorted_keys.shape[1] == 0:
        return torch.zeros_like(keys)
    place = torch.searchsorted(sorted_keys, keys).clamp(max=sorted_keys.shape[1] - 1)
    return torch.where(sorted_keys.gather(1, place) == keys, sorted_rows.gather(1, place), 0)
