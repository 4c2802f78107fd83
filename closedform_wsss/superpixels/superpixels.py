"""Superpixels that carry their grid."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from closedform_wsss._checks import as_int64, check_count, check_device, check_finite, check_tensor, reads_values
from closedform_wsss._common.superpixel_grid import grid_size, neighbours_inside

# How far from 1 the nine weights of a pixel may add up: half precision leaves a few thousandths.
SUM_TOLERANCE = 0.02


class Superpixels(NamedTuple):
    """Which superpixels a pixel belongs to, and the cell size of their grid.

    :func:`~closedform_wsss.functional.soft_slic`, :func:`~closedform_wsss.functional.slic` and
    :class:`~closedform_wsss.nn.SpixelNet` return it; every function of superpixels takes it. A grid of cells of
    ``cell_size`` pixels covers the image: ceil(H / cell_size) rows and ceil(W / cell_size) columns, the last ones cut
    off by the border. Each cell has one superpixel.

    Args:
        assignment: Soft: ``(N, 9, H, W)``, floating point, the weights of a pixel for the superpixels of the 3 x 3
            cells around its own, row by row (index 4 is the own cell). Weights of cells outside the grid do not count;
            the others add up to 1. Hard: ``(N, H, W)``, integer labels >= 0, which need no grid.
        cell_size: Side of a cell in pixels, an integer >= 1. Not used for hard labels.

    Example:
        >>> import torch
        >>> from closedform_wsss import Superpixels
        >>> from closedform_wsss.functional import superpixel_pool
        >>> assignment = torch.zeros(1, 9, 4, 6)
        >>> assignment[:, 4] = 1  # every pixel belongs to its own cell
        >>> superpixel_pool(torch.rand(1, 3, 4, 6), Superpixels(assignment, cell_size=2)).shape
        torch.Size([1, 3, 2, 3])
    """

    assignment: Tensor
    cell_size: float

    @property
    def is_soft(self) -> bool:
        return self.assignment.is_floating_point()

    def to_hard(self) -> Superpixels:
        """Each pixel in the superpixel of its largest weight: labels ``(N, H, W)``, cells numbered row by row."""
        if not self.is_soft:
            return self
        cell_size = int(self.cell_size)
        height, width = self.assignment.shape[-2:]
        inside = neighbours_inside(height, width, cell_size, self.assignment.device)
        strongest = self.assignment.masked_fill(~inside, -torch.inf).max(1).indices
        row = torch.arange(height, device=strongest.device)[:, None] // cell_size + strongest // 3 - 1
        column = torch.arange(width, device=strongest.device) // cell_size + strongest % 3 - 1
        return Superpixels(row * grid_size(height, width, cell_size)[1] + column, cell_size)


def check_superpixels(
    fn: str, superpixels: Superpixels | Tensor, n: int | None = None, device: torch.device | None = None
) -> Superpixels:
    """Superpixels of ``n`` images, soft ones contiguous, labels in int64; a tensor of labels will do."""
    if not isinstance(superpixels, (Superpixels, Tensor)):
        raise TypeError(
            f"{fn}: superpixels must be Superpixels(assignment, cell_size), as soft_slic returns, or labels (N, H, W), "
            f"got {type(superpixels).__name__}"
        )
    assignment, cell_size = superpixels if isinstance(superpixels, Superpixels) else (superpixels, None)
    check_tensor(fn, "superpixels.assignment", assignment)
    soft = assignment.is_floating_point()
    if soft and cell_size is None:
        raise TypeError(
            f"{fn}: superpixels must carry their grid, got a tensor of shape {tuple(assignment.shape)}: pass "
            "Superpixels(assignment, cell_size)"
        )
    if isinstance(cell_size, Tensor):
        raise TypeError(
            f"{fn}: superpixels.cell_size must be an integer, got a tensor, as a DataLoader makes of those of a batch: "
            "pass Superpixels(assignment, cell_size) with the integer"
        )
    wanted = "soft (N, 9, H, W)" if soft else "soft (N, 9, H, W), floating point, or labels (N, H, W), integers"
    channels = (9,) if soft else ()
    if (
        assignment.ndim != 3 + len(channels)
        or tuple(assignment.shape[1:-2]) != channels
        or 0 in assignment.shape[1:]
        or assignment.is_complex()
        or assignment.dtype == torch.bool
    ):
        raise ValueError(
            f"{fn}: superpixels.assignment must be {wanted}, got shape {tuple(assignment.shape)} of {assignment.dtype}"
        )
    if n is not None and assignment.shape[0] != n:
        raise ValueError(f"{fn}: superpixels must be of {n} images, got shape {tuple(assignment.shape)}")
    if device is not None:
        check_device(fn, "superpixels.assignment", assignment, device)
    if soft:
        return Superpixels(assignment.contiguous(), check_count(fn, "cell_size", cell_size, 1))
    labels = as_int64(assignment)
    if reads_values(labels) and int(labels.min()) < 0:
        raise ValueError(f"{fn}: superpixels must hold labels >= 0, got {int(labels.min())}")
    return Superpixels(labels, 0)


def check_soft_superpixels(fn: str, superpixels: Superpixels) -> tuple[Tensor, int]:
    """Assignment ``(N, 9, H, W)`` and cell size of soft superpixels whose weights add up to 1."""
    superpixels = check_superpixels(fn, superpixels)
    if not superpixels.assignment.is_floating_point():  # not `is_soft`: torch 2.6 does not compile a property
        raise TypeError(
            f"{fn}: superpixels must be soft, got labels {tuple(superpixels.assignment.shape)}: use soft_slic"
        )
    check_weights(fn, superpixels)
    return superpixels.assignment, int(superpixels.cell_size)


def check_weights(fn: str, superpixels: Superpixels) -> None:
    """The weights of superpixels inside the grid add up to 1.

    One row in half a cell is read: a wrong sum shows along the border, or everywhere.
    """
    assignment, cell_size = superpixels.assignment, int(superpixels.cell_size)
    if not reads_values(assignment):
        return
    _, _, height, width = assignment.shape
    rows = torch.arange(0, height, max(1, cell_size // 2), device=assignment.device)
    rows = torch.cat([rows, rows.new_tensor([height - 1])])
    inside = neighbours_inside(height, width, cell_size, assignment.device)[:, rows]
    total = torch.where(inside, assignment.detach()[:, :, rows].float(), 0).sum(1)
    error = (total - 1).abs()
    if not error.max().item() <= SUM_TOLERANCE:
        got = total.flatten()[error.argmax()].item()
        raise ValueError(
            f"{fn}: superpixels.assignment must add up to 1 over the superpixels inside the grid, got {got:.4g} at a "
            f"pixel: with cell_size {cell_size}, leave out those outside (-inf before the softmax)"
        )


def check_pooled(fn: str, name: str, pooled: Tensor, assignment: Tensor) -> None:
    """Sums of the argument ``name`` over superpixels are finite; the error names the weights if they are not.

    NaN and infinity come through a sum, and there are fewer superpixels than pixels.
    """
    try:
        check_finite(fn, name, pooled)
    except ValueError:
        if assignment.is_floating_point():
            check_finite(fn, "superpixels.assignment", assignment)
        raise
