"""Image tags: which classes an image holds."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._checks import (
    check_count,
    check_device,
    check_finite,
    check_option,
    check_target,
    check_tensor,
    reads_values,
)


def classes_present(target: Tensor, num_classes: int, *, ignore_index: int = 255) -> Tensor:
    """The classes that occur in each image's marks: the tags that a scribbled image has for free.

    Args:
        target: ``(N, H, W)`` integer labels; ``ignore_index`` where unmarked.
        num_classes: The number of classes, C.
        ignore_index: Label that counts for no class, outside [0, C). Default 255.

    Returns:
        ``(N, C)`` bool: ``class_present`` of :func:`closed_form_loss`, and the truth for :func:`multi_label_loss`.

    Raises:
        TypeError: target is not an integer tensor.
        ValueError: Its shape is not (N, H, W), a label is outside [0, C), or ignore_index is a class.

    Example:
        >>> classes_present(torch.tensor([[[0, 255], [2, 2]]]), 3)
        tensor([[ True, False,  True]])
    """
    num_classes = check_count("classes_present", "num_classes", num_classes, 1)
    target = check_target("classes_present", target, None, None, num_classes, ignore_index)
    # One column more takes the unmarked pixels; scattering a constant is deterministic.
    present = torch.zeros(target.shape[0], num_classes + 1, dtype=torch.bool, device=target.device)
    label = torch.where(target == ignore_index, num_classes, target)
    return present.scatter_(1, label.flatten(1), True)[:, :num_classes]


def multi_label_loss(logits: Tensor, present: Tensor, *, reduction: str = "mean") -> Tensor:
    r"""Binary cross-entropy of image tags, :math:`L_{mlc}` in :math:`L = L_{cfm} + \beta L_{mlc}`.

    Args:
        logits: ``(N, C)`` of :class:`closedform_wsss.nn.MultiLabelHead`.
        present: ``(N, C)`` bool, or probabilities in [0, 1].
        reduction: "mean" (default), "sum" or "none" (``(N, C)``).

    Returns:
        A scalar, or ``(N, C)``; zero for an empty batch.

    Raises:
        TypeError: logits or present is no tensor, or logits are not floating point.
        ValueError: The shapes or devices differ; logits hold NaN or infinity, or present values outside [0, 1];
            reduction is unknown.

    Example:
        >>> multi_label_loss(torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool))
        tensor(0.6931)
    """
    where = "multi_label_loss"
    check_option(where, "reduction", reduction, ("mean", "sum", "none"))
    check_tensor(where, "logits", logits)
    check_tensor(where, "present", present)
    if logits.ndim != 2 or logits.shape != present.shape:
        raise ValueError(
            f"{where}: logits and present must both be (N, C), "
            f"got shapes {tuple(logits.shape)} and {tuple(present.shape)}"
        )
    if not logits.is_floating_point():
        raise TypeError(f"{where}: logits must be floating point, got {logits.dtype}")
    check_device(where, "present", present, logits.device)
    check_finite(where, "logits", logits)
    if reads_values(present) and not bool(((present >= 0) & (present <= 1)).all()):
        raise ValueError(f"{where}: present must be bool or in [0, 1], got values outside")
    if logits.numel() == 0:
        return logits if reduction == "none" else logits.sum()
    logits = (logits.float() if logits.dtype != torch.float64 else logits).contiguous()
    return F.binary_cross_entropy_with_logits(logits, present.to(logits.dtype).contiguous(), reduction=reduction)
