"""Image-level labels from marks."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._checks import check_count, check_target


def classes_present(target: Tensor, num_classes: int, *, ignore_index: int = 255) -> Tensor:
    """Image-level labels: the classes that occur in the marks of each image.

    Args:
        target: ``(N, H, W)`` integer labels; ``ignore_index`` where unmarked.
        num_classes: The number of classes, C.
        ignore_index: Label that counts for no class, outside [0, C). Default 255.

    Returns:
        ``(N, C)`` bool: ``class_present`` of :func:`closed_form_loss`, and the target of :func:`multi_label_loss`.

    Raises:
        TypeError: target is not an integer tensor.
        ValueError: Its shape is not (N, H, W), a label is outside [0, C), or ignore_index is a class.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import classes_present
        >>> classes_present(torch.tensor([[[0, 255], [2, 2]]]), 3)
        tensor([[ True, False,  True]])
    """
    num_classes = check_count("classes_present", "num_classes", num_classes, 1)
    target = check_target("classes_present", target, None, None, num_classes, ignore_index)
    # One more column takes the unmarked pixels. Scattering a constant is deterministic.
    present = torch.zeros(target.shape[0], num_classes + 1, dtype=torch.bool, device=target.device)
    label = torch.where(target == ignore_index, num_classes, target)
    return present.scatter_(1, label.flatten(1), True)[:, :num_classes]
