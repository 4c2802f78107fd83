"""Superpixels to pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss._checks import as_compute_dtype, check_finite, check_tensor, reads_values
from closedform_wsss._common.superpixel_grid import grid_size
from closedform_wsss.superpixels import Superpixels, check_superpixels, check_weights

FN = "superpixel_unpool"


def superpixel_unpool(s: Tensor, superpixels: Superpixels | Tensor) -> Tensor:
    r"""Give every pixel the weighted mean of its superpixels.

    .. math:: x_p = \sum_i q(p \to i)\, s_i

    Args:
        s: ``(N, C, h, w)`` for soft superpixels, ``(N, C, K)`` for labels, differentiable. Half precision is computed
            in float32.
        superpixels: :class:`~closedform_wsss.Superpixels`, whose assignment q is differentiable; or integer labels
            ``(N, H, W)`` in [0, K). The weights of a pixel add up to 1, so constants stay constant.

    Returns:
        ``(N, C, H, W)``; float64 if s is, float32 otherwise.

    Raises:
        TypeError: s is not floating point.
        ValueError: A shape or device does not fit; a label is outside [0, K); the weights do not add up to 1; NaN in s.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import superpixel_unpool
        >>> superpixel_unpool(torch.tensor([[[2.0, 8.0]]]), torch.tensor([[[0, 0, 1], [0, 1, 1]]]))
        tensor([[[[2., 2., 8.],
                  [2., 8., 8.]]]])
    """
    check_tensor(FN, "s", s)
    if not s.is_floating_point():
        raise TypeError(f"{FN}: s must be floating point, got {s.dtype}")
    assignment, cell_size = superpixels = check_superpixels(FN, superpixels, s.shape[0] if s.ndim else 0, s.device)
    check_finite(FN, "s", s)
    s = as_compute_dtype(s).contiguous()
    if not superpixels.assignment.is_floating_point():
        return _of_labels(s, assignment)
    cell_size = int(cell_size)
    height, width = assignment.shape[2:]
    cells = grid_size(height, width, cell_size)
    if s.ndim != 4 or tuple(s.shape[2:]) != cells:
        raise ValueError(
            f"{FN}: s must be (N, C, {cells[0]}, {cells[1]}) for {height} x {width} pixels "
            f"and cell_size {cell_size}, got shape {tuple(s.shape)}"
        )
    check_weights(FN, superpixels)
    x: Tensor = _ops.superpixel_unpool(s, assignment.to(s.dtype), cell_size)
    check_finite(FN, "superpixels.assignment", x[:, :1])  # s is finite, and a wrong weight shows in every channel
    return x


def _of_labels(s: Tensor, labels: Tensor) -> Tensor:
    if s.ndim != 3:
        raise ValueError(f"{FN}: s must be (N, C, K) for labels, got shape {tuple(s.shape)}")
    if reads_values(labels) and int(labels.max()) >= s.shape[2]:
        raise ValueError(f"{FN}: superpixels must hold labels in [0, {s.shape[2]}), got {int(labels.max())}")
    n, c, _ = s.shape
    at = labels.flatten(1)[:, None].expand(n, c, -1)
    # The gradient of a superpixel is a sum over its pixels: in float64, as that of superpixel_pool.
    wide = s.double() if s.requires_grad and torch.is_grad_enabled() else s
    return wide.gather(2, at).to(s.dtype).unflatten(2, tuple(labels.shape[1:]))
