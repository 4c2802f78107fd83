"""How well labels agree with their superpixels."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.superpixel_grid import grid_size, neighbours_inside
from closedform_wsss._scatter_sums import scatter_sums
from closedform_wsss.superpixels.superpixels import Superpixels


@torch.no_grad()
def label_agreement(
    target: Tensor, superpixels: Superpixels, classes: int, weighting: str, ignore_index: int, dtype: torch.dtype
) -> Tensor:
    """sum_u q(p -> u) a_u(y_p) of every pixel, ``(N, H, W)``, in ``dtype``: see :func:`superpixel_consistency_loss`.

    Works on the histograms ``(N, superpixels, C)`` alone; no map of all classes is made. Ignored pixels get some value.
    """
    labelled = target != ignore_index
    # Clamped: on CUDA labels are not checked, and a wrong one must not write elsewhere.
    label = torch.where(labelled, target, 0).clamp(0, classes - 1).flatten(1)
    if superpixels.assignment.is_floating_point():
        count, weights, units = _soft(superpixels.assignment.to(dtype), int(superpixels.cell_size))
    else:
        count, unit = _numbered(superpixels.assignment.flatten(1))
        weights, units = [torch.ones_like(unit, dtype=dtype)], [unit]
    n = target.shape[0]
    histogram = torch.zeros(n, count * classes, dtype=dtype, device=target.device)
    for weight, unit in zip(weights, units, strict=True):
        histogram += scatter_sums(weight * labelled.flatten(1), unit * classes + label, count * classes, 1.0)
    histogram = histogram.unflatten(1, (count, classes))
    total = histogram.sum(2, keepdim=True)
    fraction = histogram / torch.where(total > 0, total, 1)
    if weighting == "majority":
        fraction = (fraction == fraction.amax(2, keepdim=True)).to(fraction.dtype)
        fraction = fraction / fraction.sum(2, keepdim=True)  # classes of equal fraction divide the vote
    elif weighting == "purity":
        fraction = fraction.square().sum(2, keepdim=True).expand_as(fraction)
    fraction = fraction.flatten(1)
    agreement = torch.zeros_like(weights[0])
    for weight, unit in zip(weights, units, strict=True):
        agreement += weight * fraction.gather(1, unit * classes + label)
    return agreement.view(target.shape)


def _numbered(labels: Tensor) -> tuple[int, Tensor]:
    """Number of superpixels, and labels below it: those of segments may be as large as colours or hashes."""
    count = int(labels.max()) + 1 if labels.numel() else 0
    if count <= labels.shape[1]:
        return count, labels
    names, labels = torch.unique(labels, return_inverse=True)
    return len(names), labels


def _soft(q: Tensor, cell_size: int) -> tuple[int, list[Tensor], list[Tensor]]:
    """Number of superpixels; weights and numbers, ``(N, H W)`` each, of the nine around a pixel."""
    n, _, height, width = q.shape
    h, w = grid_size(height, width, cell_size)
    row = (torch.arange(height, device=q.device) // cell_size)[:, None]
    column = torch.arange(width, device=q.device) // cell_size
    inside = neighbours_inside(height, width, cell_size, q.device)
    weights, units = [], []
    for k in range(9):
        unit = (row + k // 3 - 1) * w + column + k % 3 - 1
        weights.append(torch.where(inside[k], q[:, k], 0).flatten(1))
        units.append(torch.where(inside[k], unit, 0).flatten().expand(n, -1))
    return h * w, weights, units
