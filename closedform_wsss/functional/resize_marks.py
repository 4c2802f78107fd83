"""Resize marks, for a data loader."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss import _resize
from closedform_wsss._checks import check_count, check_target

FN = "resize_marks"


def resize_marks(target: Tensor, size: tuple[int, int], *, num_classes: int, ignore_index: int = 255) -> Tensor:
    """Resize marks and keep thin ones.

    A pixel of a smaller map gets the most frequent class of the marked pixels inside it; of equally frequent classes
    the lowest. It is unmarked only if all pixels inside it are. So a scribble one pixel wide stays whole, which
    nearest-neighbour sampling would cut into dots. A larger map repeats pixels. The losses resize ``target`` to the
    logits by the same rule.

    Args:
        target: ``(N, H, W)`` integer marks, ``ignore_index`` where unmarked.
        size: (height, width), each >= 1.
        num_classes: Labels are in [0, num_classes).
        ignore_index: Label of unmarked pixels. Default 255.

    Returns:
        ``(N, height, width)``, of target's dtype.

    Raises:
        TypeError: target is not an integer tensor.
        ValueError: target is not ``(N, H, W)`` or holds a label outside [0, num_classes); size or num_classes is below
            1; ignore_index is a class.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import resize_marks
        >>> target = torch.full((1, 4, 6), 255)
        >>> target[0, 1] = 2  # a line one pixel high
        >>> resize_marks(target, (2, 3), num_classes=3).tolist()
        [[[2, 2, 2], [255, 255, 255]]]
    """
    num_classes = check_count(FN, "num_classes", num_classes, 1)
    labels = check_target(FN, target, None, None, num_classes, ignore_index)
    if not isinstance(size, (tuple, list, torch.Size)) or len(size) != 2:
        raise ValueError(f"{FN}: size must be (height, width), got {size!r}")
    height, width = check_count(FN, "height", size[0], 1), check_count(FN, "width", size[1], 1)
    resized = _resize.resize_marks(labels, (height, width), num_classes, ignore_index)
    return resized.to(target.dtype)
