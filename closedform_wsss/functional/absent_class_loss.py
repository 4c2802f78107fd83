"""A loss that uses image-level labels at every pixel."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from closedform_wsss._checks import (
    check_class_present,
    check_finite,
    check_logits,
    check_maps,
    check_option,
    compute_dtype,
    reads_values,
)

FN = "absent_class_loss"


def absent_class_loss(
    logits: Tensor, class_present: Tensor, *, reduction: Literal["mean", "sum", "none"] = "mean"
) -> Tensor:
    r"""Teaches which classes an image does not hold: at each of its pixels, one of its own classes must be right.

    With the softmax :math:`a_c` of the logits and :math:`t_c = 1` for the classes that the image holds, 0 for the
    others, the loss of an image of P pixels is

    .. math:: -\frac{1}{P} \sum_i \log \sum_c t_c\, a_c(i) .

    Marks imply the classes of an image if the annotator marked each of them: :func:`classes_present` reads them.

    Args:
        logits: ``(N, C, H, W)``, C >= 2, differentiable.
        class_present: t, ``(N, C)`` bool, or in [0, 1]; tags mostly leave out the background, which is a class here. An
            image without a class counts as unknown: its loss is 0.
        reduction: "mean" over images (default), "sum", or "none" for one value an image.

    Returns:
        A scalar, or ``(N,)`` for "none"; zero with a graph for an empty batch. float64 if the logits are, float32
        otherwise.

    Raises:
        TypeError: logits are not floating point, or class_present is no tensor.
        ValueError: A shape or device does not fit; class_present is not in [0, 1]; logits hold NaN or
            infinity; reduction is unknown.

    Reference:
        Jin, Ghahramani: Learning with multiple labels. NIPS 2002. (Here all pixels have the same candidate labels.)

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import absent_class_loss
        >>> logits = torch.zeros(1, 4, 8, 8, requires_grad=True)
        >>> absent_class_loss(logits, torch.tensor([[True, True, False, False]]))
        tensor(0.6931, grad_fn=<MeanBackward0>)
    """
    check_option(FN, "reduction", reduction, ("mean", "sum", "none"))
    logits = check_maps(FN, "logits", logits, None, None)
    check_logits(FN, logits)
    n, classes = logits.shape[:2]
    check_class_present(FN, class_present, n, classes, logits.device, of="logits")
    check_finite(FN, "logits", logits)
    x = logits.to(compute_dtype(logits))
    if x.numel() == 0:
        return x.sum((1, 2, 3)) if reduction == "none" else x.sum()
    log_a = x.log_softmax(1)
    loss = loss_of_probabilities(log_a, log_a.exp(), class_present)
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def loss_of_probabilities(log_a: Tensor, a: Tensor, class_present: Tensor) -> Tensor:
    """The loss of each image, ``(N,)``."""
    present = class_present.detach().to(log_a.dtype)
    present = torch.where(present.any(1, keepdim=True), present, 1.0)[:, :, None, None]
    # Logarithms are always right. Sums of probabilities are three times as fast on the CPU, but lose digits where they
    # are tiny: that can be looked up there, and nothing waits for it. (A matrix product may have half precision.)
    if a.device.type == "cpu" and reads_values(a):
        total = (a * present).sum(1)
        numbers = torch.finfo(a.dtype)
        if bool(total.min() >= numbers.tiny / numbers.eps):
            return -total.log().mean((1, 2))
    return -(log_a + present.log()).logsumexp(1).mean((1, 2))
