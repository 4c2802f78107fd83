"""Flat regions: images of few colours, such as palettes, drawings and screenshots.

In a window of few colours each function that is constant on the pixels of one colour is affine in the colours. So the
indicator of each connected set of pixels of one colour, single pixels included, has hardly an energy beyond that of
eps. All of them together reduce the system to one unknown a region.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from closedform_wsss._common.stencil_layout import TAPS
from closedform_wsss.solver.regions.part import IntArray, Part

# Fewer pixels that equal their right, or their lower neighbour, make no image of few colours.
FLAT = 0.25
# Regions for each pixel beyond the largest region, perhaps a background: the more there are, the less their system is a
# reduction. So many in all are reduced in any case.
FEW, FEW_IN_ALL = 0.2, 5000
RIDGE = 1e-12


def flat_functions(image: Tensor, held: Tensor) -> list[Part]:
    """The indicators of the flat regions of an image ``(D, H, W)`` of few colours; of others none. Regions with a
    pixel that is held, ``(H, W)`` bool, are left out."""
    # Most photographs leave here, without a copy to the host.
    pairs = ((image[..., :-1], image[..., 1:]), (image[..., :-1, :], image[..., 1:, :]))
    if any(float((a == b).all(0).float().mean()) < FLAT for a, b in pairs):
        return []
    regions = _regions(_colours(image))
    size = np.bincount(regions.ravel())
    if len(size) > max(FEW * (held.numel() - size.max()), FEW_IN_ALL):
        return []
    free = np.ones(len(size), bool)
    free[regions[held.cpu().numpy()]] = False
    numbers = np.where(free, np.cumsum(free) - 1, -1)[regions].ravel()
    own = np.flatnonzero(numbers >= 0)
    return [Part(own, numbers[own], np.ones(len(own)), RIDGE)] if len(own) else []


def _colours(image: Tensor) -> IntArray:
    """A number for each colour, ``(H, W)``."""
    number = np.zeros(image[0].numel(), np.int64)
    for channel in image.flatten(1).cpu().numpy():
        values, own = np.unique(channel, return_inverse=True)
        number = np.unique(number * len(values) + own, return_inverse=True)[1]
    return number.reshape(tuple(image.shape[1:]))


def _regions(colours: IntArray) -> IntArray:
    """The region of each pixel: pixels of one colour that a window holds are of one region."""
    # First along rows and columns, then what windows join beyond that: of few pairs, so little memory.
    regions = np.arange(colours.size).reshape(colours.shape)
    for taps in ([tap for tap in TAPS if sum(tap) == 1], [tap for tap in TAPS if sum(tap) != 1]):
        pairs = np.concatenate([_pairs(colours, regions, *tap) for tap in taps], 1)
        count = int(regions.max()) + 1
        graph = sp.coo_array((np.ones(pairs.shape[1], np.int8), tuple(pairs)), shape=(count, count))
        regions = connected_components(graph, directed=False)[1][regions]
    found: IntArray = regions.astype(np.int64)
    return found


def _pairs(colours: IntArray, regions: IntArray, dy: int, dx: int) -> IntArray:
    """The regions of pixels of one colour that are (dy, dx) apart, where they differ, ``(2, pairs)``."""
    h, w = colours.shape
    first = (slice(0, h - dy), slice(max(-dx, 0), w - max(dx, 0)))
    second = (slice(dy, h), slice(max(dx, 0), w + min(dx, 0)))
    joined = (colours[first] == colours[second]) & (regions[first] != regions[second])
    return np.stack([regions[first][joined], regions[second][joined]])
