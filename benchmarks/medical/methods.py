"""From marks to masks, and from a network's probabilities to masks: ours with its options, and others."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import random_walker
from torch import Tensor

from closedform_wsss.functional import refine_prediction, resize_marks, solve_matting
from closedform_wsss.io import IGNORE_INDEX
from medical.slices import CLASSES, Slice

# An error of alpha that changes no label worth speaking of.
TOL = 1e-2


def solver(item: Slice, *, scale: float = 1.0, **options: Any) -> Tensor:
    """:func:`solve_matting`, at a fraction of the size: the class of each pixel, ``(H, W)``."""
    image, marks = item.image, item.marks
    if scale != 1:
        size = [max(1, round(side * scale)) for side in item.label.shape]
        image = F.interpolate(image.float() / 255, size, mode="bilinear", antialias=True).clamp(0, 1)
        marks = resize_marks(marks, (size[0], size[1]), num_classes=CLASSES)
    alpha = solve_matting(marks, image, num_classes=CLASSES, tol=TOL, **options).alpha
    return winners(alpha, item)


def filtered(item: Slice, p: Tensor, *, marked: bool, native: bool, **options: Any) -> Tensor:
    """:func:`refine_prediction` at the network's size or at the slice's own, with or without the marks."""
    if native:
        p = F.interpolate(p, item.label.shape, mode="bilinear", align_corners=False)
    return winners(refine_prediction(p, item.image, item.marks if marked else None, **options), item)


def winners(maps: Tensor, item: Slice) -> Tensor:
    """The largest map at each pixel of the slice."""
    if maps.shape[2:] != item.label.shape:
        maps = F.interpolate(maps, item.label.shape, mode="bilinear", align_corners=False)
    return maps.argmax(1)[0]


def walker(item: Slice, *, beta: float) -> Tensor:
    """scikit-image's random walker (Grady, TPAMI 2006), with its default solver."""
    marks = item.marks[0].numpy()
    present = np.unique(marks[marks != IGNORE_INDEX])
    if len(present) == 1:
        return torch.full(marks.shape, int(present[0]))
    codes = np.zeros(marks.shape, np.int64)
    for number, label in enumerate(present):
        codes[marks == label] = number + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it recommends other packages
        found = random_walker(item.image[0, 0].numpy() / 255.0, codes, beta=beta)
    return torch.from_numpy(present[found - 1])


def nearest(item: Slice) -> Tensor:
    """Each pixel takes the class of the nearest mark: what is known without the image."""
    marks = item.marks[0].numpy()
    index = distance_transform_edt(marks == IGNORE_INDEX, return_distances=False, return_indices=True)
    return torch.from_numpy(marks[tuple(index)])
