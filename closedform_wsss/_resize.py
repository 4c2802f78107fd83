"""Bring images, marks and probabilities to one size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Antialiased bilinear resize of ``(N, D, H, W)``; nothing where the size is already right."""
    if tuple(image.shape[-2:]) == size:
        return image
    return F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Part of a size, at least one pixel."""
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def resize_probabilities(p: Tensor, size: tuple[int, int]) -> Tensor:
    """Means over squares where the map shrinks, so that they still add up to 1."""
    while p.shape[2] % (2 * size[0]) == p.shape[3] % (2 * size[1]) == 0:
        p = _halved(p)
    if tuple(p.shape[-2:]) == size:
        return p
    return F.interpolate(p, size, mode="area" if p.shape[2] > size[0] else "bilinear")


def averaged(maps: Tensor, side: int) -> Tensor:
    """Means over squares of ``side`` pixels; the lower and right border cut some of them off."""
    # A compiled program of any size would ask for each divisor.
    while not torch.compiler.is_compiling() and side % 2 == maps.shape[2] % 2 == maps.shape[3] % 2 == 0:
        maps, side = _halved(maps), side // 2
    return F.avg_pool2d(maps, side, ceil_mode=True, count_include_pad=False) if side > 1 else maps


def _halved(maps: Tensor) -> Tensor:
    """Means of 2 x 2 pixels, on the CPU faster than a pooling of torch."""
    above, below = maps.unflatten(2, (-1, 2)).unbind(3)
    left, right = (above + below).unflatten(3, (-1, 2)).unbind(4)
    return (left + right) / 4


def _cells(pixels: int, cells: int, device: torch.device) -> Tensor:
    """The cell that holds each pixel's centre."""
    return ((torch.arange(pixels, device=device) * 2 + 1) * cells).div(2 * pixels, rounding_mode="floor")


def resize_marks(target: Tensor, size: tuple[int, int], num_classes: int, ignore_index: int) -> Tensor:
    """Resize marks ``(N, H, W)``, int64, so that thin ones survive.

    A smaller map's pixel takes the class most frequent among the marked pixels inside it (the lowest class of equals),
    and is unmarked only where all of them are: a 1-pixel scribble stays whole, where nearest-neighbour sampling would
    cut it into dots. A larger map repeats pixels.
    """
    if tuple(target.shape[-2:]) == size:
        return target
    n, height, width = target.shape
    h, w = size
    if h > height or w > width:  # repeat pixels first; votes then come from whole pixels
        rows = _cells(max(h, height), height, target.device)
        columns = _cells(max(w, width), width, target.device)
        target = target[:, rows][:, :, columns]
        n, height, width = target.shape
    cell = _cells(height, h, target.device)[:, None] * w + _cells(width, w, target.device)
    marked = target != ignore_index
    # Clamped: on CUDA labels are not checked, and a wrong one must not vote for another pixel.
    label = torch.where(marked, target, 0).clamp(0, num_classes - 1)
    votes = torch.zeros(n, h * w * num_classes, dtype=torch.float32, device=target.device)
    votes = votes.scatter_add(1, (cell * num_classes + label).flatten(1), marked.flatten(1).float())
    most, winner = votes.unflatten(1, (h, w, num_classes)).max(-1)
    return torch.where(most > 0, winner, ignore_index)
