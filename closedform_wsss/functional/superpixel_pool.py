"""Pixels to superpixels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss._checks import check_count, check_maps, check_option, compute_dtype, reads_values
from closedform_wsss._common.superpixel_grid import EMPTY
from closedform_wsss.superpixels import Superpixels, check_pooled, check_superpixels

FN = "superpixel_pool"


def superpixel_pool(
    x: Tensor,
    superpixels: Superpixels | Tensor,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    num_superpixels: int | None = None,
) -> Tensor:
    r"""Mean or sum of pixels over superpixels.

    .. math:: s_i = \frac{\sum_p q(p \to i)\, x_p}{\sum_p q(p \to i)},

    or the numerator alone. A superpixel without pixels gets 0. Sums have a fixed order, so results have the same bits
    for any number of threads; on a GPU those over hard labels have none.

    Args:
        x: ``(N, C, H, W)``, differentiable. Half precision is computed in float32.
        superpixels: :class:`~closedform_wsss.Superpixels`, whose assignment q is differentiable; or integer labels
            ``(N, H, W)`` >= 0.
        reduction: "mean" (default) or "sum".
        num_superpixels: Number of labels, K. Default the largest label + 1; CUDA waits for it.

    Returns:
        ``(N, C, h, w)`` for soft superpixels, ``(N, C, K)`` for labels; float64 if x is, float32 otherwise.

    Raises:
        TypeError: x is not floating point.
        ValueError: A shape or device does not fit; a label is negative or not below ``num_superpixels``; NaN in x or in
            the weights.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import superpixel_pool
        >>> labels = torch.tensor([[[0, 0, 1], [0, 1, 1]]])
        >>> x = torch.tensor([[[[1.0, 2.0, 7.0], [3.0, 8.0, 9.0]]]])
        >>> superpixel_pool(x, labels)
        tensor([[[2., 8.]]])
    """
    x = check_maps(FN, "x", x, None, None)
    assignment, cell_size = check_superpixels(FN, superpixels, x.shape[0], x.device)
    check_option(FN, "reduction", reduction, ("mean", "sum"))
    if x.shape[-2:] != assignment.shape[-2:]:
        raise ValueError(
            f"{FN}: x and superpixels must have the same size, got shapes {tuple(x.shape)} and "
            f"{tuple(assignment.shape)}"
        )
    dtype = compute_dtype(x)
    if assignment.is_floating_point():
        if num_superpixels is not None:
            raise ValueError(f"{FN}: num_superpixels must be None for soft superpixels, got {num_superpixels!r}")
        q, cell_size = assignment.to(dtype), int(cell_size)
        s = _ops.superpixel_pool(x, q, cell_size)
        weight = _ops.superpixel_pool(torch.ones_like(q[:, :1]), q, cell_size) if reduction == "mean" else None
    else:
        count = _number(assignment, num_superpixels)
        s = _sum_of_labels(x, assignment, count)
        weight = _sum_of_labels(torch.ones_like(x[:, :1]), assignment, count) if reduction == "mean" else None
    check_pooled(FN, "x", s, assignment)
    return (s if weight is None else mean_of(s, weight)).to(dtype)


def mean_of(sums: Tensor, weight: Tensor) -> Tensor:
    """sums / weight, 0 for superpixels without pixels."""
    empty = weight < EMPTY
    return torch.where(empty, 0, sums / torch.where(empty, 1, weight))


def _number(labels: Tensor, num_superpixels: int | None) -> int:
    if num_superpixels is None:
        return int(labels.max()) + 1 if labels.numel() else 0
    num_superpixels = check_count(FN, "num_superpixels", num_superpixels, 0)
    if reads_values(labels) and int(labels.max()) >= num_superpixels:
        raise ValueError(
            f"{FN}: superpixels must hold labels below num_superpixels {num_superpixels}, got {int(labels.max())}"
        )
    return num_superpixels


def _sum_of_labels(x: Tensor, labels: Tensor, count: int) -> Tensor:
    """In float64: pixels are added one after the other, and a label may have millions of them."""
    n, c = x.shape[:2]
    at = labels.flatten(1)[:, None].expand(n, c, -1)
    x = x.double()
    return x.new_zeros(n, c, count).scatter_add(2, at, x.flatten(2))
