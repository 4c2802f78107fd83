"""The closed-form matting loss as a module."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from closedform_wsss.functional.closed_form_loss import closed_form_loss
from closedform_wsss.laplacian import Kind


class ClosedFormLoss(nn.Module):
    """:func:`closedform_wsss.functional.closed_form_loss` with its options kept.

    Args:
        form, kind, mark_weight, eps, radius, class_weight, activation, ignore_index, reduction: As there.
            ``class_weight`` becomes a buffer and moves with the module.

    Shape:
        logits ``(N, C, H, W)``, target ``(N, H', W')``, image ``(N, D, H'', W'')``, class_present ``(N, C)`` or None
        -> a scalar, or ``(N,)`` with ``reduction="none"``.

    Raises:
        TypeError, ValueError: As there, when called.

    Example:
        >>> import torch
        >>> criterion = ClosedFormLoss(form="energy", eps=1e-5)
        >>> logits = torch.randn(2, 5, 16, 16, requires_grad=True)
        >>> criterion(logits, torch.full((2, 16, 16), 255), torch.rand(2, 3, 16, 16)).backward()
    """

    class_weight: Tensor | None

    def __init__(
        self,
        *,
        form: Literal["residual", "energy"] = "residual",
        kind: Kind = "closed_form",
        mark_weight: float = 100.0,
        eps: float = 1e-7,
        radius: int = 1,
        class_weight: Tensor | None = None,
        activation: Literal["softmax", "sigmoid"] | None = "softmax",
        ignore_index: int = 255,
        reduction: Literal["mean", "sum", "none"] = "mean",
    ) -> None:
        super().__init__()
        self.form = form
        self.kind: Kind = kind
        self.mark_weight = mark_weight
        self.eps = eps
        self.radius = radius
        self.register_buffer("class_weight", None if class_weight is None else torch.as_tensor(class_weight))
        self.activation = activation
        self.ignore_index = ignore_index
        self.reduction = reduction

    def forward(self, logits: Tensor, target: Tensor, image: Tensor, class_present: Tensor | None = None) -> Tensor:
        return closed_form_loss(
            logits,
            target,
            image,
            form=self.form,
            kind=self.kind,
            mark_weight=self.mark_weight,
            eps=self.eps,
            radius=self.radius,
            class_weight=self.class_weight,
            class_present=class_present,
            activation=self.activation,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        names = ("form", "kind", "mark_weight", "eps", "radius", "activation", "ignore_index", "reduction")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
