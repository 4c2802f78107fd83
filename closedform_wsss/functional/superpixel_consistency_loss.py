"""Cross-entropy weighted by how well a label agrees with its superpixel."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._checks import (
    as_compute_dtype,
    check_class_weight,
    check_finite,
    check_logits,
    check_maps,
    check_option,
    check_pixels,
    check_positive,
    check_same_view,
    check_target,
    reads_values,
)
from closedform_wsss._resize import resize_marks
from closedform_wsss.superpixels import Superpixels, check_superpixels, check_weights
from closedform_wsss.superpixels.label_agreement import label_agreement

FN = "superpixel_consistency_loss"
Weighting = Literal["agreement", "majority", "purity"]


def superpixel_consistency_loss(
    logits: Tensor,
    target: Tensor,
    superpixels: Superpixels | Tensor,
    *,
    weighting: Weighting = "agreement",
    gamma: float = 1.0,
    class_weight: Tensor | None = None,
    ignore_index: int = 255,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    r"""Cross-entropy on pseudo-labels, weighted by how well each label agrees with its superpixel.

    The labels of superpixel u have the distribution
    :math:`h_u(c) = \sum_p q(p \to u)\,[y_p = c] \,/ \sum_p q(p \to u)`, over the labelled pixels. With the weights

    .. math::
        w_p = \Big( \sum_u q(p \to u)\, a_u(y_p) \Big)^{\gamma}, \qquad
        a_u(c) = \begin{cases}
            h_u(c) & \text{agreement} \\
            [c = \arg\max h_u] & \text{majority} \\
            \sum_k h_u(k)^2 & \text{purity (Simpson's index)}
        \end{cases}

    the loss is :math:`\sum_p w_p \mathrm{CE}_p / \sum_p w_p` over the batch. The weights are constants: no gradient
    flows into the superpixels. Superpixels across the border of an object, and isolated wrong labels, have small
    weights. Hard superpixels make the host wait for the device, which knows their number; soft ones do not.

    Args:
        logits: ``(N, C, h, w)``, differentiable. They are resized to the superpixels by bilinear interpolation, unlike
            in the other losses: superpixels cannot be resized. Half precision is computed in float32.
        target: ``(N, H', W')`` integer pseudo-labels, ``ignore_index`` where there is none; resized to the superpixels
            by the rule of :func:`resize_marks`.
        superpixels: :class:`~closedform_wsss.Superpixels`, such as of :func:`soft_slic` or :func:`slic`; or integer
            labels ``(N, H, W)``.
        weighting: "agreement" (default): the fraction of the pixel's label. "majority": only labels that win their
            superpixel; k equally frequent ones have :math:`a_u = 1 / k`. "purity": how uniform the superpixel is.
        gamma: :math:`\gamma` > 0; larger trusts less. Default 1.
        class_weight: ``(C,)`` >= 0, multiplied with :math:`w_p`. Default all 1.
        ignore_index: Label of pixels that count neither in h nor in the loss, outside [0, C). Default 255.
        reduction: "mean" (default), the weighted mean above; "sum" or "none", of :math:`w_p \mathrm{CE}_p`.

    Returns:
        A scalar, or ``(N, H, W)`` for "none". Zero with a graph where no pixel is labelled.

    Raises:
        TypeError: A wrong dtype.
        ValueError: A shape or device does not fit; a label is outside [0, C); C is 1; the weights of the superpixels do
            not add up to 1; logits hold NaN; an option is out of range.

    Reference:
        Ma et al.: A weakly supervised semantic segmentation method based on local superpixel transformation. Neural
        Processing Letters 2023. (Its exact weighting is not openly published; these are this library's.)

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import soft_slic, superpixel_consistency_loss
        >>> logits = torch.zeros(2, 5, 32, 32, requires_grad=True)
        >>> target = torch.randint(0, 5, (2, 32, 32))
        >>> loss = superpixel_consistency_loss(logits, target, soft_slic(torch.rand(2, 3, 32, 32)))
        >>> loss.backward()
        >>> round(loss.item(), 4)  # log 5
        1.6094
    """
    logits = check_maps(FN, "logits", logits, None, None)
    check_pixels(FN, "logits", logits)
    check_logits(FN, logits)
    # Unlabelled pixels count in no loss, but NaN there comes back in the gradient. -inf is a class that is left out.
    if reads_values(logits) and not math.isfinite(logits.detach().amax().item()):
        check_finite(FN, "logits", logits)
    n, classes = logits.shape[:2]
    target = check_target(FN, target, n, logits.device, classes, ignore_index, of="logits")
    superpixels = check_superpixels(FN, superpixels, n, logits.device)
    check_options(FN, weighting, gamma, reduction)
    if class_weight is not None:
        check_class_weight(FN, class_weight, classes, logits.device, of="logits")
    if superpixels.assignment.is_floating_point():
        check_weights(FN, superpixels)

    check_same_view(FN, target=target, superpixels=superpixels.assignment, logits=logits)
    size = (superpixels.assignment.shape[-2], superpixels.assignment.shape[-1])
    logits = as_compute_dtype(logits)
    if logits.shape[-2:] != size:
        logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
    target = resize_marks(target, size, classes, ignore_index)
    weight = label_agreement(target, superpixels, classes, weighting, ignore_index, logits.dtype) ** float(gamma)
    labelled = target != ignore_index
    if class_weight is not None:
        weight = weight * class_weight.detach().to(logits.dtype)[torch.where(labelled, target, 0)]
    weight = torch.where(labelled, weight, 0)
    loss = weight * F.cross_entropy(logits, torch.where(labelled, target, -100), ignore_index=-100, reduction="none")
    if reduction == "none":
        value = loss
    elif reduction == "sum":
        value = loss.sum()
    else:
        value = loss.sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
    if reads_values(value) and not bool(torch.isfinite(value).all()):
        check_finite(FN, "logits", logits)
        check_finite(FN, "superpixels.assignment", superpixels.assignment)
    return value


def check_options(fn: str, weighting: Any, gamma: Any, reduction: Any) -> None:
    check_option(fn, "weighting", weighting, ("agreement", "majority", "purity"))
    check_option(fn, "reduction", reduction, ("mean", "sum", "none"))
    check_positive(fn, "gamma", gamma)
