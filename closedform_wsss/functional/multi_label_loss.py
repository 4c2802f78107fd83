"""The loss of image-level labels."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._checks import (
    as_compute_dtype,
    check_device,
    check_finite,
    check_option,
    check_tensor,
    reads_values,
)


def multi_label_loss(
    logits: Tensor, class_present: Tensor, *, reduction: Literal["mean", "sum", "none"] = "mean"
) -> Tensor:
    r"""Binary cross-entropy of image-level labels, :math:`L_{mlc}` in :math:`L = L_{cfm} + \beta L_{mlc}`.

    Args:
        logits: ``(N, C)`` of :class:`closedform_wsss.nn.MultiLabelHead`.
        class_present: ``(N, C)`` bool, or probabilities in [0, 1]: the classes that each image holds.
        reduction: "mean" (default), "sum" or "none" (``(N, C)``).

    Returns:
        A scalar, or ``(N, C)``; zero for an empty batch. float64 if the logits are, float32 otherwise.

    Raises:
        TypeError: logits or class_present is no tensor, or logits are not floating point.
        ValueError: The shapes or devices differ; logits hold NaN or infinity, or class_present values outside [0, 1];
            reduction is unknown.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import multi_label_loss
        >>> multi_label_loss(torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool))
        tensor(0.6931)
    """
    fn = "multi_label_loss"
    check_option(fn, "reduction", reduction, ("mean", "sum", "none"))
    check_tensor(fn, "logits", logits)
    check_tensor(fn, "class_present", class_present)
    if logits.ndim != 2 or logits.shape != class_present.shape:
        raise ValueError(
            f"{fn}: logits and class_present must both be (N, C), got shapes {tuple(logits.shape)} and "
            f"{tuple(class_present.shape)}"
        )
    if not logits.is_floating_point():
        raise TypeError(f"{fn}: logits must be floating point, got {logits.dtype}")
    check_device(fn, "class_present", class_present, logits.device, of="logits")
    check_finite(fn, "logits", logits)
    if reads_values(class_present) and not bool(((class_present >= 0) & (class_present <= 1)).all()):
        raise ValueError(f"{fn}: class_present must be bool or in [0, 1], got values outside")
    logits = as_compute_dtype(logits).contiguous()
    if logits.numel() == 0:
        return logits if reduction == "none" else logits.sum()
    return F.binary_cross_entropy_with_logits(logits, class_present.to(logits.dtype).contiguous(), reduction=reduction)
