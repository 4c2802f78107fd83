"""The superpixel consistency loss as a module."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from closedform_wsss.functional.superpixel_consistency_loss import superpixel_consistency_loss


class SuperpixelConsistencyLoss(nn.Module):
    """:func:`closedform_wsss.functional.superpixel_consistency_loss` with its options kept.

    Args:
        cell_size, weighting, gamma, class_weight, ignore_index, reduction: As there. ``class_weight`` becomes a buffer
            and moves with the module.

    Shape:
        logits ``(N, C, h, w)``, target ``(N, H', W')``, superpixels ``(N, 9, H, W)`` or ``(N, H, W)`` -> a scalar, or
        ``(N, H, W)`` with ``reduction="none"``.

    Raises:
        TypeError, ValueError: As there, when called.

    Example:
        >>> import torch
        >>> from closedform_wsss.nn import SoftSLIC
        >>> criterion, superpixels = SuperpixelConsistencyLoss(gamma=2.0), SoftSLIC()
        >>> logits, image = torch.randn(2, 5, 32, 32, requires_grad=True), torch.rand(2, 3, 32, 32)
        >>> criterion(logits, torch.randint(0, 5, (2, 32, 32)), superpixels(image)).backward()
    """

    class_weight: Tensor | None

    def __init__(
        self,
        *,
        cell_size: int = 16,
        weighting: Literal["agreement", "majority", "purity"] = "agreement",
        gamma: float = 1.0,
        class_weight: Tensor | None = None,
        ignore_index: int = 255,
        reduction: Literal["mean", "sum", "none"] = "mean",
    ) -> None:
        super().__init__()
        self.cell_size = cell_size
        self.weighting = weighting
        self.gamma = gamma
        self.register_buffer("class_weight", None if class_weight is None else torch.as_tensor(class_weight))
        self.ignore_index = ignore_index
        self.reduction = reduction

    def forward(self, logits: Tensor, target: Tensor, superpixels: Tensor) -> Tensor:
        return superpixel_consistency_loss(
            logits,
            target,
            superpixels,
            cell_size=self.cell_size,
            weighting=self.weighting,
            gamma=self.gamma,
            class_weight=self.class_weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        names = ("cell_size", "weighting", "gamma", "ignore_index", "reduction")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
