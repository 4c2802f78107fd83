"""How far marks lie apart, and whether they are dots: how large the squares may be over which maps are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._checks import reads_values

SIDES = (1, 2, 4, 8)
# A square has other classes nearby if one of their marks lies within this number of squares, in rows and in columns.
REACH = 5
# Marks that cover a smaller part of an image, divided by the number of its classes, are dots.
COVERED = 1e-3


@torch.no_grad()
def sides_from_marks(
    target: Tensor,
    classes: int,
    ignore_index: int,
    *,
    sides: tuple[int, ...] = SIDES,
    reach: int = REACH,
    each_class: bool = False,
) -> Tensor:
    """The largest side of squares that keeps the marks of different classes apart, ``(N,)`` out of ``sides``, each a
    multiple of the one before.

    At least half of an image's marked squares, or with ``each_class`` of those of each class, must have no mark of
    another class within ``reach`` squares. Without marks the side is the smallest. No value is read on the host.
    """
    marked = (target != ignore_index)[:, None]
    label = target[:, None].float()
    # The largest and the smallest class of each square and its surroundings: they differ where there are two classes.
    ends = torch.cat([torch.where(marked, label, -1.0), torch.where(marked, -label, -float(classes))], 1)
    chosen = torch.full((len(target),), sides[0], dtype=torch.int64, device=target.device)
    squares, before = ends, 1
    for side in sides[1:]:
        squares, before = F.max_pool2d(squares, side // before, ceil_mode=True), side
        near = _largest_around(squares, reach)
        some = squares[:, 0] >= 0
        mixed = some & (near[:, 0] != -near[:, 1])
        if each_class:
            half = (2 * _of_classes(mixed, squares, classes) <= _of_classes(some, squares, classes)).all(1)
        else:
            half = 2 * mixed.sum((1, 2)) <= some.sum((1, 2))
        chosen = torch.where(some.any(2).any(1) & half, side, chosen)
    return chosen


def _of_classes(counted: Tensor, squares: Tensor, classes: int) -> Tensor:
    """How many counted squares hold each class, ``(N, C)``: those where it is the largest or the smallest, and twice
    those where it is both."""
    first = torch.arange(len(squares), device=squares.device)[:, None, None] * classes
    counts = torch.zeros(len(squares) * classes, dtype=torch.int64, device=squares.device)
    for label in (squares[:, 0], -squares[:, 1]):
        index = first + torch.where(counted, label, 0).long()
        counts.scatter_add_(0, index.flatten(), counted.long().flatten())
    return counts.view(-1, classes)


def _largest_around(maps: Tensor, reach: int) -> Tensor:
    """The largest value within ``reach`` rows and columns.

    The window doubles until it is whole. On the CPU that is 17 times as fast as ``max_pool2d``.
    """
    window = 2 * reach + 1
    maps = F.pad(maps, (reach, reach, reach, reach), value=-torch.inf)
    for dim in (2, 3):
        width = 1
        while width < window:
            step = min(width, window - width)
            length = maps.shape[dim] - step
            maps = torch.maximum(maps.narrow(dim, 0, length), maps.narrow(dim, step, length))
            width += step
    return maps


def fitting_sides(size: Sequence[int], radius: int) -> tuple[int, ...]:
    """The sides of squares that leave an image of this size one window at least."""
    return tuple(side for side in SIDES if side == 1 or min(size) >= side * (2 * radius + 1))


def at_chosen_sides(at: Callable[[int], Tensor], sides: Sequence[int], chosen: Tensor) -> Tensor:
    """The value of each image, ``(N,)``, at its own side. Where ``chosen`` may not be read, every side is computed and
    one counts."""
    total: Tensor | None = None
    for side in sides:
        own = chosen == side
        if not reads_values(chosen) or bool(own.any()):
            values = torch.where(own, at(side), 0.0)
            total = values if total is None else total + values
    assert total is not None
    return total


@torch.no_grad()
def has_dots_alone(target: Tensor, classes: int, ignore_index: int) -> Tensor:
    """Whether the marks of an image are dots, from which a network does not learn how large a class is, ``(N,)``."""
    marked = (target != ignore_index).flatten(1)
    label = torch.where(marked, target.flatten(1), classes).clamp(0, classes)
    held = torch.zeros(len(target), classes + 1, device=target.device).scatter_(1, label, 1.0)[:, :classes].sum(1)
    return marked.float().mean(1) < COVERED * held.clamp_min(1)
