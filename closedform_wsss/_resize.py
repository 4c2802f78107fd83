"""Bring images, marks and probabilities to one size."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Antialiased bilinear resize of ``(N, D, H, W)``; nothing where the size is already right."""
    if tuple(image.shape[-2:]) == size:
        return image
    return F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)


def resize_maps(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of ``(N, C, h, w)``; nothing where the size is already right, zeros of empty maps."""
    if tuple(maps.shape[-2:]) == size:
        return maps
    if maps.numel() == 0:  # torch refuses those without classes or pixels; the sum keeps the graph
        return maps.sum((2, 3), keepdim=True).expand(-1, -1, *size)
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Part of a size, at least one pixel."""
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def resize_probabilities(p: Tensor, size: tuple[int, int]) -> Tensor:
    """Means over squares where the map shrinks, so that they still add up to 1."""
    while p.shape[2] % (2 * size[0]) == p.shape[3] % (2 * size[1]) == 0:
        p = _Halved.apply(p)
    if tuple(p.shape[-2:]) == size:
        return p
    return F.interpolate(p, size, mode="area" if p.shape[2] > size[0] else "bilinear")


def averaged(maps: Tensor, side: int) -> Tensor:
    """Means over squares of ``side`` pixels; the lower and right border cut some of them off."""
    return Averages(maps)(side)


class Averages:
    """:func:`averaged` of the same maps at several sides. What these have in common is computed once."""

    def __init__(self, maps: Tensor) -> None:
        self._halves = [maps]  # of 1, 2, 4 ... pixels, as far as they were asked for
        self._made = {1: maps}

    def __call__(self, side: int) -> Tensor:
        if side not in self._made:
            level, rest = 0, side
            # A compiled program of any size would ask for each divisor.
            while not torch.compiler.is_compiling() and rest % 2 == 0 and _is_even(self._halves[level]):
                level, rest = level + 1, rest // 2
                if level == len(self._halves):
                    self._halves.append(_Halved.apply(self._halves[-1]))
            means = self._halves[level]
            if rest > 1:
                means = F.avg_pool2d(means, rest, ceil_mode=True, count_include_pad=False)
            self._made[side] = means
        return self._made[side]


def _is_even(maps: Tensor) -> bool:
    return maps.shape[2] % 2 == maps.shape[3] % 2 == 0


class _Halved(torch.autograd.Function):
    """Means of 2 x 2 pixels: on the CPU faster than a pooling of torch, and so is the backward pass."""

    generate_vmap_rule = True

    @staticmethod
    def forward(maps: Tensor) -> Tensor:
        above, below = maps.unflatten(2, (-1, 2)).unbind(3)
        left, right = (above + below).unflatten(3, (-1, 2)).unbind(4)
        return (left + right).div_(4)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        n, c, h, w = grad.shape
        return (grad / 4)[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


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
