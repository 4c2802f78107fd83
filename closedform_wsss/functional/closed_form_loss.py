"""The closed-form matting loss."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss._checks import (
    check_class_present,
    check_class_weight,
    check_finite,
    check_image,
    check_integer,
    check_logits,
    check_maps,
    check_not_negative,
    check_option,
    check_positive,
    check_same_view,
    check_target,
    check_two_classes,
    compute_dtype,
    reads_values,
    warn_of_absent_marks,
)
from closedform_wsss._common.activation import Activation, maps_of
from closedform_wsss._mark_spacing import at_chosen_sides, fitting_sides, sides_from_marks
from closedform_wsss._resize import Averages, averaged, resize_image, resize_marks
from closedform_wsss.laplacian import Kind, LaplacianOptions, MattingLaplacian, check_laplacian_options
from closedform_wsss.laplacian.kinds import LaplacianOperator, laplacian_operator
from closedform_wsss.laplacian.stencil import StencilOperator

FN = "closed_form_loss"
EPS = 1e-4


def closed_form_loss(
    logits: Tensor,
    target: Tensor | None,
    image: Tensor | MattingLaplacian,
    *,
    form: Literal["energy", "residual"] = "energy",
    kind: Kind | None = None,
    mark_weight: float = 100.0,
    eps: float | None = None,
    radius: int | None = None,
    scale: float | None = None,
    class_weight: Tensor | None = None,
    class_present: Tensor | None = None,
    activation: Literal["softmax", "sigmoid"] | None = "softmax",
    ignore_index: int = 255,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    r"""Closed-form matting loss: a network learns from sparse marks and the edges of the image.

    Add it to the cross-entropy on the marks. The defaults are for that; :meth:`ClosedFormLoss.paper()
    <closedform_wsss.nn.ClosedFormLoss.paper>` has the paper's. With the map :math:`a_c` of class c, its target
    :math:`s_c` (1 on its own marks, 0 on those of other classes), D = 1 on every marked pixel, the weight
    :math:`\lambda` of the marks, the :class:`~closedform_wsss.MattingLaplacian` L and P pixels, the loss of an image is

    .. math::
        \text{energy:} \quad & \frac{1}{P} \sum_c w_c \left[ a_c^\top L a_c
            + \lambda\, (a_c - s_c)^\top D\, (a_c - s_c) \right] \\
        \text{residual:} \quad & \frac{1}{\lambda P} \sum_c w_c
            \lVert (L + \lambda D)\, a_c - \lambda D\, s_c \rVert^2 .

    Both have their minimum where the maps are the closed-form matte of the marks; the residual is zero there. A wrong
    marked pixel costs the same in both. Their value depends neither on the resolution nor on the number of classes. The
    paper's own value, the mean of the squared residual over classes and pixels, is the residual form times
    ``mark_weight / C``.

    One sweep over the logits computes the value and its gradient. Half precision is computed in float32.

    Args:
        logits: ``(N, C, H, W)``, differentiable (twice). A binary network with one logit z, sigmoid(z) the foreground,
            passes ``torch.cat([torch.zeros_like(z), z], 1)``.
        target: ``(N, H', W')`` integer marks; ``ignore_index`` where unmarked. None: D = 0, another loss reads the
            marks.
        image: ``(N, D, H'', W'')`` in [0, 1] or uint8, before mean/std normalisation. Image and target are resized to
            the logits' size: the image by antialiased bilinear interpolation, the target so that each pixel takes the
            most frequent class of its marks. Or a :class:`~closedform_wsss.MattingLaplacian` of the size of the logits
            times ``scale`` (default 1), rounded up.
        form: "energy" (default, Levin's cost) or "residual" (the paper's).
        kind: "closed_form" (default) or "learning_based": the kind of :class:`~closedform_wsss.MattingLaplacian`.
        mark_weight: :math:`\lambda` > 0, the weight of the marks. Default 100. The energy form allows 0: the marks
            only choose the scale.
        eps: Regularisation of the Laplacian, > 0. Default 1e-4. Smaller keeps finer structures, 1e-7 in the paper.
        radius: Windows of 2 radius + 1 pixels. Default 1. Give kind, eps and radius with an image only: an operator has
            its own.
        scale: 1, 1/2, 1/3, 1/4 ...: average maps and image over squares of ``1 / scale`` pixels first, and vote on the
            target as :func:`resize_marks` does. Windows then reach ``1 / scale`` times as far, and the cost falls with
            the square. None (default) chooses 1, 1/2, 1/4 or 1/8 for each image: the smallest at which most marked
            squares are more than 5 squares away from the marks of other classes. Marks of small objects lie close
            together, and large squares would join the objects. Without marks, and with an operator, None is 1; a
            window always fits into the averaged image.
        class_weight: ``(C,)`` weights :math:`w_c` >= 0. Default all 1.
        class_present: ``(N, C)`` bool, or 0 to 1: classes absent from an image are left out of its loss. Default all.
        activation: "softmax" (default), "sigmoid" (independent classes; without a target also a single one, as no mark
            could say where it is not), or None where ``logits`` are the maps
            themselves: probabilities, or mattes, which may leave [0, 1].
        ignore_index: Label of unmarked pixels, outside [0, C). Default 255.
        reduction: "mean" over images (default), "sum", or "none" for one value an image.

    Returns:
        A scalar, or ``(N,)`` for "none"; zero with a graph for an empty batch. float64 if the logits or the operator
        are, float32 otherwise.

    Raises:
        TypeError: logits are not floating point, target is not integer, image is neither floating point nor uint8;
            logits are float64 and the operator is float32.
        ValueError: A shape, device or batch size does not fit; the image is not in [0, 1]; a label is outside [0, C);
            there is one channel only, with a softmax, or with a sigmoid and marks; logits or image hold NaN; an option
            is out of range. (Values are read on the CPU only, see :func:`~closedform_wsss.set_value_checks`.)

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
    laplacian = image if isinstance(image, MattingLaplacian) else None
    options = check_laplacian_options(FN, laplacian, kind, eps, radius, default_eps=EPS)
    check_options(FN, form=form, mark_weight=mark_weight, scale=scale, activation=activation, reduction=reduction)
    image = check_image(FN, image) if not isinstance(image, MattingLaplacian) else image.image
    logits = check_maps(FN, "logits", logits, image.shape[0], image.device)
    n, classes, h, w = logits.shape
    marked = target is not None
    if activation == "softmax":
        check_logits(FN, logits)
    elif activation == "sigmoid" and marked:
        check_two_classes(FN, logits)
    if target is None:
        check_integer(FN, "ignore_index", ignore_index)
        target = torch.full((n, h, w), ignore_index, device=logits.device)
    else:
        target = check_target(FN, target, n, image.device, classes, ignore_index)
    dtype = compute_dtype(logits)
    if laplacian is not None:
        side = 1 if scale is None else round(1 / scale)
        dtype = laplacian.check_fits(FN, "logits", logits, (-(-h // side), -(-w // side)))
    check_same_view(FN, target=target, logits=logits, image=image if laplacian is None else None)
    target = resize_marks(target, (h, w), classes, ignore_index)
    weight = _weights(logits, class_weight, class_present, dtype)
    if class_present is not None:  # whose marks would count nothing
        warn_of_absent_marks(FN, target, class_present, ignore_index)
    if n == 0 or logits.numel() == 0:
        empty = logits.to(dtype)
        return empty.sum((1, 2, 3)) if reduction == "none" else empty.sum()

    if laplacian is None:
        image = resize_image(image.to(dtype), (h, w))
    own = image if laplacian is None else laplacian
    squares: int | Tensor = 1 if scale is None else round(1 / scale)
    if scale is None and marked and laplacian is None:
        squares = sides_from_marks(target, classes, ignore_index, sides=fitting_sides((h, w), options.radius))
    options_of_loss = (float(mark_weight), ignore_index, form == "residual", activation)
    loss = loss_of_images(logits, target, own, weight, options, squares, *options_of_loss)
    if reads_values(loss) and not bool(torch.isfinite(loss).all()):
        check_finite(FN, "logits", logits)
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def loss_of_images(
    logits: Tensor,
    target: Tensor,
    image: Tensor | MattingLaplacian,
    weight: Tensor,
    options: LaplacianOptions,
    squares: int | Tensor,
    mark_weight: float,
    ignore_index: int,
    residual: bool,
    activation: Activation,
    averages: Averages | None = None,
) -> Tensor:
    """The loss of each image, ``(N,)``, of arguments that the caller has checked and that have the size of the logits.

    weight ``(N, C)``; side of the squares, for all images or for each, ``(N,)``; ``averages`` of the activated logits,
    of a caller who has them. Where the logits count at full size, the kernel activates them itself, which is faster.
    """
    labels = (logits.shape[1], ignore_index)

    def at(side: int) -> Tensor:
        nonlocal averages
        x, own_image, own_target, own_activation = logits, image, target, activation
        if side > 1:
            if averages is None:
                averages = Averages(maps_of(logits, activation, weight.dtype))
            x, own_activation = averages(side), None
            own_target = _voted(target, side, *labels)
            if isinstance(image, Tensor):
                own_image = averaged(image, side)
        own = options.fitting(FN, *x.shape[2:])
        operator = laplacian_operator(own_image, *own) if isinstance(own_image, Tensor) else own_image._operator
        return _each_image(operator, x, own_target, weight, mark_weight, ignore_index, residual, own_activation)

    if isinstance(squares, int):
        return at(squares)
    return at_chosen_sides(at, fitting_sides(logits.shape[2:], options.radius), squares)


def _each_image(
    operator: LaplacianOperator,
    x: Tensor,
    target: Tensor,
    weight: Tensor,
    mark_weight: float,
    ignore_index: int,
    residual: bool,
    activation: Activation,
) -> Tensor:
    """The loss of each image, ``(N,)``, in the dtype of ``weight``."""
    dtype = weight.dtype
    if not isinstance(operator, StencilOperator):
        maps = maps_of(x, activation, dtype)
        return _composed(operator, maps, target, weight, mark_weight, ignore_index, residual)
    if not (dtype == torch.float32 and x.dtype in (torch.float16, torch.bfloat16)):  # those are read as they are
        x = x.to(dtype)
    with_gradient = x.requires_grad and torch.is_grad_enabled()
    loss, _ = _ops.matting_loss(
        *(operator.stencil, operator.row_sums, x, target, weight),
        *(mark_weight, ignore_index, residual, activation, with_gradient),
    )
    return loss


def _voted(target: Tensor, side: int, classes: int, ignore_index: int) -> Tensor:
    """The most frequent class of the marks in the squares of :func:`averaged`."""
    h, w = target.shape[1:]
    rows, columns = -(-h // side), -(-w // side)
    target = F.pad(target, (0, columns * side - w, 0, rows * side - h), value=ignore_index)
    return resize_marks(target, (rows, columns), classes, ignore_index)


def check_options(fn: str, *, form: Any, mark_weight: Any, scale: Any, activation: Any, reduction: Any) -> None:
    """What needs no tensor to be checked: the module does so when it is made."""
    check_option(fn, "form", form, ("energy", "residual"))
    check_option(fn, "activation", activation, ("softmax", "sigmoid", None))
    check_option(fn, "reduction", reduction, ("mean", "sum", "none"))
    (check_not_negative if form == "energy" else check_positive)(fn, "mark_weight", mark_weight)
    if scale is None:
        return
    side = 1 / check_positive(fn, "scale", scale)
    if scale > 1 or abs(side - round(side)) > 1e-6 * side:
        raise ValueError(f"{fn}: scale must be 1, 1/2, 1/3, 1/4 ..., got {scale}")


def _weights(logits: Tensor, class_weight: Tensor | None, class_present: Tensor | None, dtype: torch.dtype) -> Tensor:
    """w ``(N, C)``."""
    n, classes = logits.shape[:2]
    weight = torch.ones(n, classes, device=logits.device, dtype=dtype)
    if class_weight is not None:
        check_class_weight(FN, class_weight, classes, logits.device)
        weight = weight * class_weight.detach().to(dtype)
    if class_present is not None:
        check_class_present(FN, class_present, n, classes, logits.device)
        weight = weight * class_present.detach().to(dtype)
    return weight


def _composed(
    operator: LaplacianOperator,
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
