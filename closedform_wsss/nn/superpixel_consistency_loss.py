"""The superpixel consistency loss as a module."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from closedform_wsss._checks import check_integer
from closedform_wsss.functional.superpixel_consistency_loss import (
    Weighting,
    check_options,
    superpixel_consistency_loss,
)
from closedform_wsss.nn._functional_module import FunctionalModule
from closedform_wsss.superpixels import Superpixels


class SuperpixelConsistencyLoss(FunctionalModule):
    r"""Cross-entropy weighted by how well a label agrees with its superpixel.

    :func:`closedform_wsss.functional.superpixel_consistency_loss` has the formula.

    Args:
        weighting: "agreement" (default), "majority" or "purity".
        gamma: :math:`\gamma` > 0; larger trusts less. Default 1.
        class_weight: ``(C,)`` weights >= 0, kept as a buffer. Default all 1.
        ignore_index: Label of pixels that do not count. Default 255.
        reduction: "mean" (default), "sum" or "none".

    Shape:
        logits ``(N, C, h, w)``, target ``(N, H', W')``, superpixels of ``(N, 9, H, W)`` or ``(N, H, W)`` -> a scalar,
        or ``(N, H, W)`` with ``reduction="none"``.

    Raises:
        TypeError, ValueError: When it is made: an option is out of range. When it is called: what
            :func:`~closedform_wsss.functional.superpixel_consistency_loss` raises.

    Example:
        >>> import torch
        >>> from closedform_wsss.nn import SoftSLIC, SuperpixelConsistencyLoss
        >>> criterion, superpixels = SuperpixelConsistencyLoss(gamma=2.0), SoftSLIC()
        >>> logits, image = torch.randn(2, 5, 32, 32, requires_grad=True), torch.rand(2, 3, 32, 32)
        >>> criterion(logits, torch.randint(0, 5, (2, 32, 32)), superpixels(image)).backward()
    """

    class_weight: Tensor | None

    def __init__(
        self,
        *,
        weighting: Weighting = "agreement",
        gamma: float = 1.0,
        class_weight: Tensor | None = None,
        ignore_index: int = 255,
        reduction: Literal["mean", "sum", "none"] = "mean",
    ) -> None:
        check_options("SuperpixelConsistencyLoss", weighting, gamma, reduction)
        check_integer("SuperpixelConsistencyLoss", "ignore_index", ignore_index)
        super().__init__(
            weighting=weighting,
            gamma=gamma,
            class_weight=class_weight,
            ignore_index=ignore_index,
            reduction=reduction,
        )

    def forward(self, logits: Tensor, target: Tensor, superpixels: Superpixels | Tensor) -> Tensor:
        return superpixel_consistency_loss(logits, target, superpixels, **self.options)
