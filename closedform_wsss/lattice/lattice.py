"""The permutohedral lattice of images, and the filter W on it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss._build import num_threads

# Smallest degree of a pixel: its own weight in the Gaussian is about 1, so this only prevents a division by zero.
_TINY = 1e-20


class Lattice(NamedTuple):
    """The arrays of ``csrc/common/lattice.h``."""

    indices: Tensor
    weights: Tensor
    neighbours: Tensor

    def filter(self, x: Tensor, transposed: bool = False) -> Tensor:
        """W x, or W^T x, for x ``(N, P, C)``. The blur has an order, so W is not quite symmetric."""
        y: Tensor = _ops.lattice_filter(x, *self, transposed)
        return y


def image_lattice(image: Tensor, position_sigma: float, color_sigma: float) -> Lattice:
    """The lattice of position and colour of images ``(N, D, H, W)``, one for each image."""
    if image.device.type != "cpu":
        return Lattice(*_ops.lattice_build(image, position_sigma, color_sigma)[:3])
    # A few images at a time: the kernel gets memory for the largest possible lattice, and uses a small part of it.
    step = 2 * num_threads()
    parts = [_used(part, position_sigma, color_sigma) for part in image.split(step)]
    if len(parts) == 1:
        return parts[0]
    rows = max(part.neighbours.shape[2] for part in parts)
    parts = [
        part._replace(neighbours=F.pad(part.neighbours, (0, 0, 0, rows - part.neighbours.shape[2]))) for part in parts
    ]
    return Lattice(*(torch.cat(arrays) for arrays in zip(*parts, strict=True)))


def _used(image: Tensor, position_sigma: float, color_sigma: float) -> Lattice:
    """The rows in use, as many as the largest lattice has."""
    indices, weights, neighbours, counts = _ops.lattice_build(image, position_sigma, color_sigma)
    sizes = counts.tolist()
    neighbours = neighbours[:, :, : max(sizes, default=1)].contiguous()
    for n, size in enumerate(sizes):
        neighbours[n, :, size:] = 0
    return Lattice(indices, weights, neighbours)


def position_lattice(image: Tensor, position_sigma: float) -> Lattice:
    """The lattice of the positions alone, which all images share: a batch of one."""
    return image_lattice(image.new_empty(1, 0, *image.shape[2:]), position_sigma, 1.0)


def symmetric(lattice: Lattice, weight: float = 1.0) -> Lattice:
    """weight D^-1/2 W D^-1/2 with the row sums D of W: the symmetric normalisation."""
    ones = lattice.weights.new_ones(*lattice.weights.shape[:2], 1)
    factor = (lattice.filter(ones) + _TINY).rsqrt() * math.sqrt(weight)
    return lattice._replace(weights=lattice.weights * factor)


def joined(first: Lattice, second: Lattice) -> Lattice:
    """The lattice of W_1 + W_2. The rows of one that has fewer axes are their own neighbours along the others."""
    n = max(first.indices.shape[0], second.indices.shape[0])
    first, second = (Lattice(*(a.expand(n, *a.shape[1:]) for a in lattice)) for lattice in (first, second))
    rows = first.neighbours.shape[2]
    axes = max(first.neighbours.shape[1], second.neighbours.shape[1])
    moved = torch.where(second.neighbours > 0, second.neighbours + rows, 0)
    return Lattice(
        torch.cat([first.indices, second.indices + rows], 2),
        torch.cat([first.weights, second.weights], 2),
        torch.cat([_with_axes(first.neighbours, axes, 0), _with_axes(moved, axes, rows)], 2),
    )


def _with_axes(neighbours: Tensor, axes: int, offset: int) -> Tensor:
    n, own_axes, rows, _ = neighbours.shape
    own = torch.arange(offset, offset + rows, dtype=neighbours.dtype, device=neighbours.device)
    more = own[:, None].expand(n, axes - own_axes, rows, 2)
    return torch.cat([neighbours, more], 1)
