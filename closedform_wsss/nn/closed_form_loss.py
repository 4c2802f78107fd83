"""The closed-form matting loss as a module."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from closedform_wsss._checks import check_integer
from closedform_wsss.functional.closed_form_loss import EPS, check_options, closed_form_loss
from closedform_wsss.laplacian import Kind, MattingLaplacian, check_laplacian_options
from closedform_wsss.nn._functional_module import FunctionalModule


class ClosedFormLoss(FunctionalModule):
    r"""The closed-form matting loss of :func:`~closedform_wsss.functional.closed_form_loss`.

    Args:
        form: "energy" (default) or "residual".
        kind: "closed_form" (default) or "learning_based".
        mark_weight: :math:`\lambda` > 0, the weight of the marks; 0 is allowed in the energy form. Default 100.
        eps: Regularisation of the Laplacian, > 0. Default 1e-4.
        radius: Windows of 2 radius + 1 pixels. Default 1.
        scale: 1, 1/2, 1/3, 1/4 ...: average maps and image first. Default: chosen from the marks of each image.
        class_weight: ``(C,)`` weights >= 0, kept as a buffer. Default all 1.
        activation: "softmax" (default), "sigmoid", or None where the input holds maps.
        ignore_index: Label of unmarked pixels. Default 255.
        reduction: "mean" over images (default), "sum" or "none".

    Shape:
        logits ``(N, C, H, W)``, target ``(N, H', W')`` or None, image ``(N, D, H'', W'')`` or a
        :class:`~closedform_wsss.MattingLaplacian`, class_present ``(N, C)`` or None -> a scalar, or ``(N,)`` with
        ``reduction="none"``.

    Raises:
        TypeError, ValueError: When it is made: an option is out of range. When it is called: what
            :func:`~closedform_wsss.functional.closed_form_loss` raises.

    Example:
        >>> import torch
        >>> from closedform_wsss.nn import ClosedFormLoss
        >>> criterion = ClosedFormLoss()
        >>> logits = torch.randn(2, 5, 16, 16, requires_grad=True)
        >>> criterion(logits, torch.full((2, 16, 16), 255), torch.rand(2, 3, 16, 16)).backward()
    """

    class_weight: Tensor | None

    def __init__(
        self,
        *,
        form: Literal["energy", "residual"] = "energy",
        kind: Kind | None = None,
        mark_weight: float = 100.0,
        eps: float | None = None,
        radius: int | None = None,
        scale: float | None = None,
        class_weight: Tensor | None = None,
        activation: Literal["softmax", "sigmoid"] | None = "softmax",
        ignore_index: int = 255,
        reduction: Literal["mean", "sum", "none"] = "mean",
    ) -> None:
        fn = "ClosedFormLoss"
        check_options(fn, form=form, mark_weight=mark_weight, scale=scale, activation=activation, reduction=reduction)
        check_laplacian_options(fn, None, kind, eps, radius, default_eps=EPS)
        check_integer(fn, "ignore_index", ignore_index)
        super().__init__(
            form=form,
            kind=kind,
            mark_weight=mark_weight,
            eps=eps,
            radius=radius,
            scale=scale,
            class_weight=class_weight,
            activation=activation,
            ignore_index=ignore_index,
            reduction=reduction,
        )

    @classmethod
    def paper(cls, **options: Any) -> ClosedFormLoss:
        """The setting of the paper: residual form, ``mark_weight`` 100, ``eps`` 1e-7, the full size.

        Args:
            options: The other options, such as ``class_weight``.

        Example:
            >>> from closedform_wsss.nn import ClosedFormLoss
            >>> criterion = ClosedFormLoss.paper()
            >>> criterion.form, criterion.mark_weight, criterion.eps
            ('residual', 100.0, 1e-07)
        """
        return cls(form="residual", mark_weight=100.0, eps=1e-7, scale=1.0, **options)

    def forward(
        self,
        logits: Tensor,
        target: Tensor | None,
        image: Tensor | MattingLaplacian,
        class_present: Tensor | None = None,
    ) -> Tensor:
        return closed_form_loss(logits, target, image, class_present=class_present, **self.options)
