"""The closed-form matting loss."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss._checks import (
    check_class_present,
    check_class_weight,
    check_classes,
    check_finite,
    check_image,
    check_maps,
    check_option,
    check_positive,
    check_radius,
    check_target,
    reads_values,
)
from closedform_wsss._resize import resize_image, resize_marks
from closedform_wsss.laplacian import KINDS, Kind
from closedform_wsss.laplacian.stencil import StencilOperator
from closedform_wsss.laplacian.windows import WindowOperator

WHERE = "closed_form_loss"


def closed_form_loss(
    logits: Tensor,
    target: Tensor,
    image: Tensor,
    *,
    form: Literal["residual", "energy"] = "residual",
    kind: Kind = "closed_form",
    mark_weight: float = 100.0,
    eps: float = 1e-7,
    radius: int = 1,
    class_weight: Tensor | None = None,
    class_present: Tensor | None = None,
    activation: Literal["softmax", "sigmoid"] | None = "softmax",
    ignore_index: int = 255,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    r"""Closed-form matting loss: sparse marks and the image's own edges as supervision.

    With a class's map :math:`a_c`, its marks :math:`s_c` (1 on its own, 0 on those of other classes), D = 1 on every
    marked pixel, the :class:`~closedform_wsss.MattingLaplacian` L, their weight :math:`\lambda`, P pixels and

    .. math:: r_c = (L + \lambda D)\, a_c - \lambda D\, s_c,

    the loss of an image is

    .. math::
        \text{residual:} \quad & \frac{1}{\lambda P} \sum_c w_c \lVert r_c \rVert^2 \\
        \text{energy:} \quad & \frac{1}{P} \sum_c w_c \left[ a_c^\top L a_c
            + \lambda\, (a_c - s_c)^\top D\, (a_c - s_c) \right].

    Both are least where the maps are the closed-form matte of the marks (the residual is zero there), and count a wrong
    marked pixel alike. Their size depends neither on the resolution nor on the number of classes, so weight 1 beside a
    cross-entropy is a sane start. The paper's own value, the mean of :math:`r^2` over classes and
    pixels, is the residual form times ``mark_weight / C``.

    The gradient comes from the same sweep over the maps as the value; half precision is computed in float32.

    Args:
        logits: ``(N, C, H, W)``, differentiable (twice). A binary network with one logit z, sigmoid(z) the foreground,
            passes ``torch.cat([torch.zeros_like(z), z], 1)``.
        target: ``(N, H', W')`` integer marks; ``ignore_index`` where unmarked. An image without marks is only smoothed.
        image: ``(N, D, H'', W'')`` in [0, 1] or uint8, before mean/std normalisation. Image and target follow the
            logits' size: the image by an antialiased bilinear resize; of the marks in a pixel the most frequent class
            stays.
        form: "residual" (default, the paper's) or "energy" (Levin's cost).
        kind: "closed_form" (default) or "learning_based": the kind of :class:`~closedform_wsss.MattingLaplacian`.
        mark_weight: :math:`\lambda` > 0, the weight of the marks. Default 100.
        eps: Regularisation of the Laplacian, > 0. Default 1e-7; 1e-5 to 1e-4 is smoother.
        radius: Windows of 2 radius + 1 pixels. Default 1.
        class_weight: ``(C,)`` weights :math:`w_c` >= 0. Default all 1.
        class_present: ``(N, C)`` bool, or 0 to 1: classes absent from an image are left out of its loss. Default all.
        activation: "softmax" (default), "sigmoid" (independent classes), or None where ``logits`` are the maps
            themselves: probabilities, or mattes, which may leave [0, 1].
        ignore_index: Label of unmarked pixels, outside [0, C). Default 255.
        reduction: "mean" over images (default), "sum", or "none" for one value an image.

    Returns:
        A scalar, or ``(N,)`` for "none"; zero with a graph for an empty batch.

    Raises:
        TypeError: logits are not floating point, target is not integer, image is neither floating point nor uint8.
        ValueError: A shape, device or batch size does not fit; the image is not in [0, 1]; a label is outside [0, C);
            there is one channel only; logits or image hold NaN; an option is out of range. (Values are read on the CPU
            only, see :func:`~closedform_wsss.set_value_checks`.)

    Reference:
        Yao, Ortiz, Bonnin-Pascual: A weakly-supervised semantic segmentation approach based on a closed-form matting
        solution. -- Levin, Lischinski, Weiss: A closed-form solution to natural image matting. TPAMI 2008.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import closed_form_loss
        >>> logits = torch.zeros(2, 5, 32, 32, requires_grad=True)
        >>> target = torch.full((2, 32, 32), 255)
        >>> target[:, 4, 4:20], target[:, 25, 4:20] = 0, 3  # two scribbles
        >>> loss = closed_form_loss(logits, target, torch.rand(2, 3, 32, 32))
        >>> loss.backward()
    """
    image = check_image(WHERE, image)
    logits = check_maps(WHERE, "logits", logits, image.shape[0], image.device)
    n, classes, h, w = logits.shape
    check_option(WHERE, "activation", activation, ("softmax", "sigmoid", None))
    if activation is not None:
        check_classes(WHERE, logits)
    target = check_target(WHERE, target, n, image.device, classes, ignore_index)
    check_option(WHERE, "form", form, ("residual", "energy"))
    check_option(WHERE, "reduction", reduction, ("mean", "sum", "none"))
    check_option(WHERE, "kind", kind, KINDS)
    mark_weight = check_positive(WHERE, "mark_weight", mark_weight)
    eps = check_positive(WHERE, "eps", eps)
    radius = check_radius(WHERE, radius, h, w)
    weight = _weights(logits, class_weight, class_present)

    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    if activation == "softmax":
        x = torch.softmax(logits, 1, dtype=dtype)  # reads half precision as it is
    else:
        x = torch.sigmoid(logits.to(dtype)) if activation == "sigmoid" else logits.to(dtype)
    if n == 0 or logits.numel() == 0:
        return x.sum((1, 2, 3)) if reduction == "none" else x.sum()

    image = resize_image(image.to(x.dtype), (h, w))
    target = resize_marks(target, (h, w), classes, ignore_index)
    weight = weight.to(x.dtype)
    residual = form == "residual"
    if radius == 1 and min(h, w) >= 3:
        with_gradient = x.requires_grad and torch.is_grad_enabled()
        operator = StencilOperator(image, eps, kind == "learning_based")
        loss, _ = _ops.matting_loss(
            *(operator.stencil, operator.row_sums, x, target, weight),
            *(mark_weight, ignore_index, residual, with_gradient),
        )
    else:
        windows = WindowOperator(image, eps, radius, kind == "learning_based")
        loss = _composed(windows, x, target, weight, mark_weight, ignore_index, residual)
    if reads_values(loss) and not bool(torch.isfinite(loss).all()):
        check_finite(WHERE, "logits", logits)
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def _weights(logits: Tensor, class_weight: Tensor | None, class_present: Tensor | None) -> Tensor:
    """w ``(N, C)``."""
    n, classes = logits.shape[:2]
    weight = torch.ones(n, classes, device=logits.device, dtype=torch.float64)
    if class_weight is not None:
        check_class_weight(WHERE, class_weight, classes, logits.device)
        weight = weight * class_weight.detach()
    if class_present is not None:
        check_class_present(WHERE, class_present, n, classes, logits.device)
        weight = weight * class_present.detach()
    return weight


def _composed(
    operator: WindowOperator,
    x: Tensor,
    target: Tensor,
    weight: Tensor,
    mark_weight: float,
    ignore_index: int,
    residual: bool,
) -> Tensor:
    """The same from whole maps, for windows that have no fused kernel."""
    marks = ((target != ignore_index).to(x.dtype) * mark_weight)[:, None]
    classes = torch.arange(x.shape[1], device=x.device)[:, None, None]
    error = x - (target[:, None] == classes).to(x.dtype)
    smooth = operator.product(x)
    weight = weight[:, :, None, None]
    pixels = target.shape[-1] * target.shape[-2]
    if residual:
        return (weight * (smooth + marks * error) ** 2).sum((1, 2, 3)) / (pixels * mark_weight)
    return (weight * (x * smooth + marks * error**2)).sum((1, 2, 3)) / pixels
