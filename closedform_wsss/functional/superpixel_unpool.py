"""Superpixels to pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss._checks import check_cell_size, check_finite, check_tensor, reads_values
from closedform_wsss._common.superpixel_grid import grid_size
from closedform_wsss.superpixels.association import check_superpixels, check_weights

WHERE = "superpixel_unpool"


def superpixel_unpool(s: Tensor, q_or_labels: Tensor, *, cell_size: int = 16) -> Tensor:
    r"""Values of superpixels back to pixels.

    .. math:: x_p = \sum_i q(p \to i)\, s_i

    Args:
        s: ``(N, C, h, w)`` for soft association, ``(N, C, K)`` for labels, differentiable. Half precision is computed
            in float32.
        q_or_labels: Soft association ``(N, 9, H, W)``, differentiable, or integer labels ``(N, H, W)`` in [0, K):
            see :func:`superpixel_pool`. The nine weights of a pixel add up to 1, without those of cells outside the
            grid; so constants stay constant.
        cell_size: Side of a cell in pixels, for soft association. Default 16.

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
    check_tensor(WHERE, "s", s)
    if not s.is_floating_point():
        raise TypeError(f"{WHERE}: s must be floating point, got {s.dtype}")
    q_or_labels = check_superpixels(WHERE, "q_or_labels", q_or_labels, s.shape[0] if s.ndim else 0, s.device)
    check_finite(WHERE, "s", s)
    s = (s if s.dtype == torch.float64 else s.float()).contiguous()
    if not q_or_labels.is_floating_point():
        return _of_labels(s, q_or_labels)
    cell_size = check_cell_size(WHERE, cell_size)
    cells = grid_size(q_or_labels.shape[2], q_or_labels.shape[3], cell_size)
    if s.ndim != 4 or tuple(s.shape[2:]) != cells:
        raise ValueError(
            f"{WHERE}: s must be (N, C, {cells[0]}, {cells[1]}) for {q_or_labels.shape[2]} x {q_or_labels.shape[3]} "
            f"pixels and cell_size {cell_size}, got shape {tuple(s.shape)}"
        )
    check_weights(WHERE, "q_or_labels", q_or_labels, cell_size)
    return _ops.superpixel_unpool(s, q_or_labels.to(s.dtype), cell_size)


def _of_labels(s: Tensor, labels: Tensor) -> Tensor:
    if s.ndim != 3:
        raise ValueError(f"{WHERE}: s must be (N, C, K) for labels, got shape {tuple(s.shape)}")
    if reads_values(labels) and int(labels.max()) >= s.shape[2]:
        raise ValueError(f"{WHERE}: q_or_labels must hold labels in [0, {s.shape[2]}), got {int(labels.max())}")
    n, c, _ = s.shape
    at = labels.flatten(1)[:, None].expand(n, c, -1)
    return s.gather(2, at).unflatten(2, tuple(labels.shape[1:]))
