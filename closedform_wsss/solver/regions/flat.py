"""Flat regions: images of few colours, such as palettes, drawings and screenshots.

In a window of few colours each function that is constant on the pixels of one colour is affine in the colours. So the
indicator of each connected set of pixels of one colour, single pixels included, has hardly an energy beyond that of
eps. All of them together reduce the system to one unknown a region.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
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
RIDGE = 1e-6


def flat_functions(image: Tensor, held: npt.NDArray[np.bool_]) -> list[Part]:
    """The indicators of the flat regions of an image ``(D, H, W)`` of few colours; of others none. Regions with a held
    pixel are left out."""
    # Most photographs leave here, without a copy to the host.
    pairs = ((image[..., :-1], image[..., 1:]), (image[..., :-1, :], image[..., 1:, :]))
    if any(float((a == b).all(0).float().mean()) < FLAT for a, b in pairs):
        return []
    regions = _regions(_colours(image))
    size = np.bincount(regions.ravel())
    if len(size) > max(FEW * (held.size - size.max()), FEW_IN_ALL):
        return []
    free = np.ones(len(size), bool)
    free[regions[held]] = False
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
    h, w = colours.shape
    pixels = np.arange(h * w).reshape(h, w)
    firsts, seconds = [], []
    for dy, dx in TAPS:
        first = (slice(0, h - dy), slice(max(-dx, 0), w - max(dx, 0)))
        second = (slice(dy, h), slice(max(dx, 0), w + min(dx, 0)))
        equal = colours[first] == colours[second]
        firsts.append(pixels[first][equal])
        seconds.append(pixels[second][equal])
    ends = np.concatenate(firsts), np.concatenate(seconds)
    graph = sp.coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(h * w, h * w))
    regions: IntArray = connected_components(graph, directed=False)[1].astype(np.int64).reshape(h, w)
    return regions
