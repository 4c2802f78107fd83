"""Inputs of the kernel benchmarks: a real photograph of any size, marks and probability maps."""

from __future__ import annotations

import numpy as np
import skimage.data
import torch
from torch import Tensor

from closedform_wsss.io import IGNORE_INDEX, from_array


def photo(height: int, width: int, n: int = 1) -> Tensor:
    """``(n, 3, H, W)`` float32 in [0, 1]: the photograph "coffee" of scikit-image, mirrored where it ends.

    A real photograph, because noise has an easy, well-conditioned covariance in every window and real images
    do not. Mirrored and not enlarged, so that its noise and its edges stay what a camera gives. Images of a
    batch start at different places.
    """
    source = np.asarray(skimage.data.coffee())
    shift = 37 * (n - 1)
    missing = (max(0, height + shift - source.shape[0]), max(0, width + shift - source.shape[1]))
    wide = np.pad(source, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
    image = from_array(wide)
    images = [image[:, 37 * k : 37 * k + height, 37 * k : 37 * k + width] for k in range(n)]
    return torch.stack(images).contiguous() / 255


def marks(n: int, classes: int, height: int, width: int) -> Tensor:
    """``(n, H, W)`` int64: a short stroke of each class, 2 % of the pixels of 321 x 321 with 21 classes."""
    generator = torch.Generator().manual_seed(1)
    target = torch.full((n, height, width), IGNORE_INDEX)
    length = max(2, width // 10)
    for image in target:
        for c in range(classes):
            top = int(torch.randint(0, height - 3, (), generator=generator))
            left = int(torch.randint(0, width - length, (), generator=generator))
            image[top : top + 3, left : left + length] = c
    return target


def logits(n: int, classes: int, height: int, width: int) -> Tensor:
    """``(n, classes, H, W)`` float32."""
    return torch.randn(n, classes, height, width, generator=torch.Generator().manual_seed(2))
