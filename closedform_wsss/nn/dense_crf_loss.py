"""The dense CRF loss as a module."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from closedform_wsss.functional.dense_crf_loss import check_options, dense_crf_loss
from closedform_wsss.nn._functional_module import FunctionalModule


class DenseCRFLoss(FunctionalModule):
    r"""The dense CRF loss of :func:`closedform_wsss.functional.dense_crf_loss`, which has the formula.

    Args:
        position_sigma: Standard deviation of the kernel in pixels of the logits, >= 0.001. Default 100.
        color_sigma: Standard deviation of the kernel for colours in [0, 1], from 0.0001 to 1. Default 15 / 255.
        activation: "softmax" (default), "sigmoid", or None where the input holds maps.
        reduction: "mean" over images (default), "sum" or "none".

    Shape:
        logits ``(N, C, H, W)``, image ``(N, D, H', W')`` -> a scalar, or ``(N,)`` with ``reduction="none"``.

    Raises:
        TypeError, ValueError: When it is made: an option is out of range. When it is called: what
            :func:`~closedform_wsss.functional.dense_crf_loss` raises.

    Example:
        >>> import torch
        >>> from closedform_wsss.nn import DenseCRFLoss
        >>> logits = torch.randn(2, 5, 16, 16, requires_grad=True)
        >>> DenseCRFLoss(position_sigma=20)(logits, torch.rand(2, 3, 16, 16)).backward()
    """

    def __init__(
        self,
        *,
        position_sigma: float = 100.0,
        color_sigma: float = 15 / 255,
        activation: Literal["softmax", "sigmoid"] | None = "softmax",
        reduction: Literal["mean", "sum", "none"] = "mean",
    ) -> None:
        check_options("DenseCRFLoss", position_sigma, color_sigma, activation, reduction)
        super().__init__(
            position_sigma=position_sigma, color_sigma=color_sigma, activation=activation, reduction=reduction
        )

    def forward(self, logits: Tensor, image: Tensor) -> Tensor:
        return dense_crf_loss(logits, image, **self.options)
