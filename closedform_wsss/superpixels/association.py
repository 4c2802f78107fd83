"""How pixels belong to superpixels: softly, q ``(N, 9, H, W)``, or by labels ``(N, H, W)``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._checks import as_int64, check_device, check_tensor, reads_values
from closedform_wsss._common.superpixel_grid import grid_size

# How far from 1 the nine weights of a pixel may add up: half precision leaves a few thousandths.
SUM_TOLERANCE = 0.02


def neighbours_inside(height: int, width: int, cell_size: int, device: torch.device) -> Tensor:
    """``(9, H, W)`` bool: whether neighbour ``3 * (dy + 1) + (dx + 1)`` of a pixel's own cell lies in the grid."""
    h, w = grid_size(height, width, cell_size)
    step = torch.arange(-1, 2, device=device)[:, None]
    row = torch.arange(height, device=device) // cell_size + step
    column = torch.arange(width, device=device) // cell_size + step
    inside = ((row >= 0) & (row < h))[:, None, :, None] & ((column >= 0) & (column < w))[None, :, None, :]
    return inside.reshape(9, height, width)


def check_association(where: str, name: str, q: Tensor) -> Tensor:
    """Weights ``(N, 9, H, W)``, contiguous."""
    check_tensor(where, name, q)
    if q.ndim != 4 or q.shape[1] != 9 or 0 in q.shape[2:]:
        raise ValueError(f"{where}: {name} must be (N, 9, H, W), got shape {tuple(q.shape)}")
    if not q.is_floating_point():
        raise TypeError(f"{where}: {name} must be floating point, got {q.dtype}")
    return q.contiguous()


def check_weights(where: str, name: str, q: Tensor, cell_size: int) -> None:
    """The weights of superpixels inside the grid add up to 1.

    One row in half a cell is read: what goes wrong goes wrong along the border, or everywhere.
    """
    if not reads_values(q):
        return
    rows = torch.arange(0, q.shape[2], max(1, cell_size // 2), device=q.device)
    rows = torch.cat([rows, rows.new_tensor([q.shape[2] - 1])])
    inside = neighbours_inside(q.shape[2], q.shape[3], cell_size, q.device)[:, rows]
    total = torch.where(inside, q.detach()[:, :, rows].float(), 0).sum(1)
    far = (total - 1).abs().max().item()
    if not far <= SUM_TOLERANCE:
        got = total.flatten()[(total - 1).abs().argmax()].item()
        raise ValueError(
            f"{where}: {name} must add up to 1 over the superpixels inside the grid, got {got:.4g} at a pixel: with "
            f"cell_size {cell_size}, leave out those outside (-inf before the softmax)"
        )


def check_superpixels(where: str, name: str, value: Tensor, n: int, device: torch.device) -> Tensor:
    """Weights ``(n, 9, H, W)``, floating point, or labels ``(n, H, W)``, in int64; contiguous."""
    check_tensor(where, name, value)
    soft = value.is_floating_point()
    if soft:
        value = check_association(where, name, value)
    elif value.ndim != 3 or 0 in value.shape[1:] or value.is_complex() or value.dtype == torch.bool:
        raise ValueError(
            f"{where}: {name} must be weights (N, 9, H, W), floating point, or labels (N, H, W), integers, "
            f"got shape {tuple(value.shape)} of {value.dtype}"
        )
    if value.shape[0] != n:
        raise ValueError(f"{where}: {name} must be of {n} images, got shape {tuple(value.shape)}")
    check_device(where, name, value, device)
    if soft:
        return value
    value = as_int64(value)
    if reads_values(value) and int(value.min()) < 0:
        raise ValueError(f"{where}: {name} must hold labels >= 0, got {int(value.min())}")
    return value
