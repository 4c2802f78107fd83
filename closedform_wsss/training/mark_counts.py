"""How many pixels of each class are marked, and what their number says of the marks."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._warn import warn_user


def count_marks(target: Tensor, classes: int, ignore_index: int) -> Tensor:
    """Marked pixels of each class, float64 ``(C,)`` on the CPU."""
    return torch.bincount(target[target != ignore_index].cpu(), minlength=classes).double()


def warn_of_marks_everywhere(fn: str, marked: Tensor, pixels: Tensor, ignore_index: int) -> None:
    """Warns if every pixel is marked, which is hardly meant.

    Args:
        fn: The public function, for the message.
        marked: Marked pixels of each class.
        pixels: Their number, and that of the pixels without a mark.
        ignore_index: The label of pixels without a mark.
    """
    if marked.sum() < pixels:
        return
    most = int(marked.argmax())
    warn_user(
        f"{fn}: every pixel is marked, {float(marked[most] / pixels):.0%} with class {most}: if it "
        f"stands for pixels without a mark, give these ignore_index {ignore_index}, and classes from 0",
        UserWarning,
    )
