"""Which implementation a matting Laplacian has."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from closedform_wsss.laplacian.stencil import StencilOperator
from closedform_wsss.laplacian.windows import WindowOperator

Kind = Literal["closed_form", "learning_based"]
KINDS = ("closed_form", "learning_based")


def window_operator(image: Tensor, kind: Kind, eps: float, radius: int) -> StencilOperator | WindowOperator:
    """A stencil for windows of 3 x 3 pixels that fit the image ``(N, D, H, W)``; box sums for others."""
    learning_based = kind == "learning_based"
    if radius == 1 and min(image.shape[-2:]) >= 3:
        return StencilOperator(image, eps, learning_based)
    return WindowOperator(image, eps, radius, learning_based)
