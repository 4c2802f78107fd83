"""Marks and image-level labels that contradict each other."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss._checks.values import reads_values
from closedform_wsss._warn import warn_user


def warn_of_absent_marks(fn: str, target: Tensor, class_present: Tensor, ignore_index: int) -> None:
    """Warn where an image has marks of a class that it does not hold. An image without a class counts as unknown."""
    if not (reads_values(target) and reads_values(class_present)):
        return
    absent = class_present == 0
    absent = absent & ~absent.all(1, keepdim=True)
    marked = (target != ignore_index).nonzero(as_tuple=True)
    label = target[marked]
    denied = absent[marked[0], label]
    if bool(denied.any()):
        first = int(denied.nonzero()[0])
        warn_user(
            f"{fn}: class_present should hold the marked classes, got {class_present.dtype} with 0 for class "
            f"{int(label[first])} of image {int(marked[0][first])} of the batch, which has marks of it: add the "
            "background, which image-level labels mostly leave out, or check the order of the classes",
            UserWarning,
        )
