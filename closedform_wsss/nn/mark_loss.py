"""The loss of marks as a module."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss._checks import check_integer, check_not_negative
from closedform_wsss.functional.mark_loss import mark_loss
from closedform_wsss.nn._functional_module import FunctionalModule


class MarkLoss(FunctionalModule):
    r"""Cross-entropy on marks, absent classes, closed-form energy and dense CRF: the loss to learn from marks with.

    :func:`closedform_wsss.functional.mark_loss` has the formula.

    Args:
        energy_weight: Of the energy, >= 0. Default 3.
        crf_weight: Of the dense CRF, >= 0. Default 0.6.
        ignore_index: Label of unmarked pixels. Default 255.

    Shape:
        logits ``(N, C, H, W)``, target ``(N, H', W')``, image ``(N, D, H'', W'')``, class_present ``(N, C)`` or None
        -> a scalar.

    Raises:
        TypeError, ValueError: When it is made: an option is out of range. When it is called: what
            :func:`~closedform_wsss.functional.mark_loss` raises.

    Example:
        >>> import torch
        >>> from closedform_wsss.nn import MarkLoss
        >>> criterion = MarkLoss()
        >>> logits = torch.randn(2, 5, 16, 16, requires_grad=True)
        >>> criterion(logits, torch.full((2, 16, 16), 255), torch.rand(2, 3, 16, 16)).backward()
    """

    def __init__(self, *, energy_weight: float = 3.0, crf_weight: float = 0.6, ignore_index: int = 255) -> None:
        check_not_negative("MarkLoss", "energy_weight", energy_weight)
        check_not_negative("MarkLoss", "crf_weight", crf_weight)
        check_integer("MarkLoss", "ignore_index", ignore_index)
        super().__init__(energy_weight=energy_weight, crf_weight=crf_weight, ignore_index=ignore_index)

    def forward(self, logits: Tensor, target: Tensor, image: Tensor, class_present: Tensor | None = None) -> Tensor:
        return mark_loss(logits, target, image, class_present=class_present, **self.options)
