"""The superpixel reconstruction loss as a module."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from closedform_wsss._checks import check_integer
from closedform_wsss.functional.superpixel_reconstruction_loss import check_options, superpixel_reconstruction_loss
from closedform_wsss.nn._functional_module import FunctionalModule
from closedform_wsss.superpixels import Superpixels


class SuperpixelReconstructionLoss(FunctionalModule):
    """What a superpixel network learns from: :func:`closedform_wsss.functional.superpixel_reconstruction_loss`.

    Args:
        position_weight: > 0; larger makes squarer superpixels. Default 0.003 for labels and 0.1 for maps.
        num_classes: Labels are in [0, ``num_classes``). Default: any labels >= 0.
        ignore_index: Label of pixels of which only the position counts. Default 255.
        reduction: "mean" over images (default), "sum" or "none".

    Shape:
        superpixels of ``(N, 9, H, W)``, target ``(N, D, H, W)`` floating point or ``(N, H, W)`` integer -> a scalar, or
        ``(N,)`` with ``reduction="none"``.

    Raises:
        TypeError, ValueError: When it is made: an option is out of range. When it is called: what
            :func:`~closedform_wsss.functional.superpixel_reconstruction_loss` raises.

    Example:
        >>> import torch
        >>> from closedform_wsss.nn import SpixelNet, SuperpixelReconstructionLoss
        >>> net, criterion, image = SpixelNet(), SuperpixelReconstructionLoss(), torch.rand(2, 3, 64, 64)
        >>> criterion(net(image), image).backward()
    """

    def __init__(
        self,
        *,
        position_weight: float | None = None,
        num_classes: int | None = None,
        ignore_index: int = 255,
        reduction: Literal["mean", "sum", "none"] = "mean",
    ) -> None:
        check_options("SuperpixelReconstructionLoss", position_weight, num_classes, reduction)
        check_integer("SuperpixelReconstructionLoss", "ignore_index", ignore_index)
        super().__init__(
            position_weight=position_weight, num_classes=num_classes, ignore_index=ignore_index, reduction=reduction
        )

    def forward(self, superpixels: Superpixels, target: Tensor) -> Tensor:
        return superpixel_reconstruction_loss(superpixels, target, **self.options)
