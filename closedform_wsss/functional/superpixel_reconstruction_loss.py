"""The loss of a superpixel network."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss._checks import (
    as_compute_dtype,
    check_count,
    check_device,
    check_finite,
    check_option,
    check_positive,
    check_target,
    check_tensor,
    reads_values,
)
from closedform_wsss.superpixels import Superpixels, check_soft_superpixels

FN = "superpixel_reconstruction_loss"
# For labels that of the paper; for colours that of SLIC with compactness 10, for a lightness of 0 to 1.
LABEL_WEIGHT, FEATURE_WEIGHT = 0.003, 0.1
TINY = 1e-12


def superpixel_reconstruction_loss(
    superpixels: Superpixels,
    target: Tensor,
    *,
    position_weight: float | None = None,
    num_classes: int | None = None,
    ignore_index: int = 255,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    r"""The error of superpixels in the reconstruction of colours or labels, and of positions.

    Maps f and positions x are pooled over the superpixels and unpooled again, to f' and x'. With P pixels, the cell
    size S and the weight m, the loss is

    .. math:: \frac{1}{P} \sum_p d(f_p, f'_p) + \frac{m}{S} \lVert x_p - x'_p \rVert_2.

    For maps, :math:`d = \lVert f_p - f'_p \rVert_2`. For labels, d is the cross-entropy :math:`-\log f'_p(l_p)` of the
    pixel's label, with one-hot labels as f; unlabelled pixels are left out of f', and its mean is over the others. The
    value does not depend on the resolution.

    Args:
        superpixels: Soft :class:`~closedform_wsss.Superpixels` of ``(N, 9, H, W)``, such as of
            :class:`closedform_wsss.nn.SpixelNet`; differentiable in the assignment.
        target: ``(N, D, H, W)`` floating-point maps, such as CIELAB divided by 100; or ``(N, H, W)`` integer labels.
        position_weight: m > 0; larger makes squarer superpixels. Default 0.003 for labels, as in the paper, and 0.1 for
            maps with values of about 0 to 1.
        num_classes: Labels are in [0, ``num_classes``). Default: any labels >= 0; CUDA waits for them.
        ignore_index: Label of pixels of which only the position counts. Default 255; give -1 where 255 is a label.
        reduction: "mean" over images (default), "sum", or "none" for one value an image.

    Returns:
        A scalar, or ``(N,)`` for "none"; zero with a graph for an empty batch.

    Raises:
        TypeError: The superpixels are hard; target is neither floating point nor integer.
        ValueError: A shape or device does not fit; the assignment does not add up to 1; target holds NaN; a label or an
            option is out of range.

    Reference:
        Yang, Sun, Jin, Zhou: Superpixel segmentation with fully convolutional networks. CVPR 2020.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import superpixel_reconstruction_loss
        >>> from closedform_wsss.nn import SpixelNet
        >>> net, image = SpixelNet(), torch.rand(2, 3, 64, 64)
        >>> superpixel_reconstruction_loss(net(image), image).backward()
    """
    q, cell_size = check_soft_superpixels(FN, superpixels)
    n, _, height, width = q.shape
    check_tensor(FN, "target", target)
    are_labels = not target.is_floating_point()
    wanted = (n, height, width) if are_labels else (n, *target.shape[1:2], height, width)
    if tuple(target.shape) != wanted:
        raise ValueError(
            f"{FN}: target must be maps ({n}, D, {height}, {width}) or integer labels ({n}, {height}, {width}), "
            f"got {target.dtype} of shape {tuple(target.shape)}"
        )
    check_options(FN, position_weight, num_classes, reduction)
    if position_weight is None:
        position_weight = LABEL_WEIGHT if are_labels else FEATURE_WEIGHT
    q = as_compute_dtype(q)
    if are_labels:
        target = check_target(FN, target, n, q.device, num_classes, ignore_index, of="superpixels")
        distance = _label_distance(q, target, cell_size, num_classes, ignore_index)
    else:
        check_device(FN, "target", target, q.device, of="superpixels")
        check_finite(FN, "target", target)
        distance = _distance(q, target.to(q.dtype).contiguous(), cell_size)
    loss = distance + float(position_weight) / cell_size * _distance(q, _positions(q), cell_size)
    if reads_values(loss) and not bool(torch.isfinite(loss).all()):
        check_finite(FN, "superpixels.assignment", q)
    if reduction == "none":
        return loss
    return loss.sum() / max(n, 1) if reduction == "mean" else loss.sum()


def check_options(fn: str, position_weight: Any, num_classes: Any, reduction: Any) -> None:
    check_option(fn, "reduction", reduction, ("mean", "sum", "none"))
    if position_weight is not None:
        check_positive(fn, "position_weight", position_weight)
    if num_classes is not None:
        check_count(fn, "num_classes", num_classes, 1)


def _reconstruct(q: Tensor, x: Tensor, counted: Tensor, cell_size: int) -> Tensor:
    """The mean of x ``(N, C, H, W)`` over each superpixel's counted pixels ``(N, 1, H, W)``, back at all pixels."""
    pooled = _ops.superpixel_pool(torch.cat([x * counted, counted], 1), q, cell_size)
    # Saturated logits make superpixels of weight 1e-40 or 0, whose gradient would be infinite or NaN.
    mean = pooled[:, :-1] / pooled[:, -1:].clamp_min(TINY)
    return _ops.superpixel_unpool(mean, q, cell_size)


def _distance(q: Tensor, x: Tensor, cell_size: int) -> Tensor:
    """``(N,)``: mean distance of the pixels from what their superpixels reconstruct."""
    reconstructed = _reconstruct(q, x, torch.ones_like(x[:, :1]), cell_size)
    # The gradient of this norm is 0 where the distance is, not NaN.
    return torch.linalg.vector_norm(x - reconstructed, dim=1).mean((1, 2))


def _label_distance(q: Tensor, labels: Tensor, cell_size: int, num_classes: int | None, ignore_index: int) -> Tensor:
    """``(N,)``: mean cross-entropy of the labelled pixels; pixels without a label are not pooled."""
    valid = labels != ignore_index
    if num_classes is None:
        # The values of labels do not matter: one channel for each different label.
        names, labels = torch.unique(labels, return_inverse=True)
        num_classes = max(len(names), 1)
    own = F.one_hot(torch.where(valid, labels, 0), num_classes).movedim(3, 1).to(q.dtype)
    found = (_reconstruct(q, own, valid[:, None].to(q.dtype), cell_size) * own).sum(1)
    entropy = -torch.where(valid, found, 1).clamp_min(TINY).log()
    return entropy.sum((1, 2)) / valid.sum((1, 2)).clamp_min(1)


def _positions(q: Tensor) -> Tensor:
    """``(N, 2, H, W)``: row and column of each pixel."""
    n, _, height, width = q.shape
    row = torch.arange(height, device=q.device, dtype=q.dtype)[:, None].expand(height, width)
    column = torch.arange(width, device=q.device, dtype=q.dtype).expand(height, width)
    return torch.stack([row, column]).expand(n, 2, height, width)
