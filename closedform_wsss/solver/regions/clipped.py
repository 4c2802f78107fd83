"""Regions that clipped pixels enclose.

Over- and under-exposed images are full of functions without energy: where channel c is clipped at v, v - I_c is zero.
So for each region that clipped pixels enclose, the function v - I_c on this region, and 0 elsewhere, is affine in each
window. Two of them are hardly coupled.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from closedform_wsss.solver.regions.part import IntArray, Part

# A channel is clipped at its smallest or largest value if this fraction of the image has it.
CLIPPED = 0.01
# Regions that cover less of an image in all, as the specks of any photograph, leave the solve as it is.
COVERED = 0.003
# The functions of equal channels are equal, and those of alike channels alike.
RIDGE = 1e-2


def clipped_functions(image: Tensor, held: Tensor) -> list[Part]:
    """For each channel and end of its range with regions their functions, of an image ``(D, H, W)``. Of images with
    few such pixels none. Regions with a pixel that is held, ``(H, W)`` bool, are left out."""
    pixels = held.numel()
    ends = torch.stack([image.amin((1, 2)), image.amax((1, 2))], 1)  # (D, 2)
    counts = torch.stack([(image == end[:, None, None]).sum((1, 2)) for end in ends.unbind(1)], 1)
    # With all pixels a channel is constant.
    chosen = ((counts >= CLIPPED * pixels) & (counts < pixels)).cpu()
    parts = []
    for c, end in chosen.nonzero().tolist():
        values = (image[c] - ends[c, end]).double().cpu().numpy()
        regions = _regions(values != 0, held.cpu().numpy())
        own = np.flatnonzero(regions >= 0)
        if len(own):
            parts.append(Part(own, regions.ravel()[own], values.ravel()[own], RIDGE))
    covered = len(np.unique(np.concatenate([part.pixels for part in parts]))) if parts else 0
    return parts if covered >= COVERED * pixels else []


def _regions(inside: npt.NDArray[np.bool_], held: npt.NDArray[np.bool_]) -> IntArray:
    """The region of each pixel, -1 for none: sets of pixels such that no window holds pixels of two. Regions with a
    held pixel are left out."""
    # Pixels of one window are at most 2 apart. As squares of 2 x 2 pixels they touch.
    squares = np.zeros((inside.shape[0] + 1, inside.shape[1] + 1), bool)
    for dy in (0, 1):
        for dx in (0, 1):
            squares[dy : dy + inside.shape[0], dx : dx + inside.shape[1]] |= inside
    labels, count = ndimage.label(squares, np.ones((3, 3)))
    labels = np.where(inside, labels[:-1, :-1], 0)
    free = np.ones(count + 1, bool)
    free[0] = False
    free[labels[held]] = False
    numbers = np.where(free, np.cumsum(free) - 1, -1)
    found: IntArray = numbers[labels].astype(np.int64)
    return found
