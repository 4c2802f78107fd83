"""What the marks, their classes and the image say, in one loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._checks import (
    check_class_present,
    check_finite,
    check_image,
    check_logits,
    check_maps,
    check_not_negative,
    check_same_view,
    check_target,
    compute_dtype,
    warn_of_absent_marks,
)
from closedform_wsss._mark_spacing import fitting_sides, sides_from_marks
from closedform_wsss._resize import Averages, averaged, resize_image, resize_marks
from closedform_wsss.functional.absent_class_loss import loss_of_probabilities
from closedform_wsss.functional.closed_form_loss import EPS, loss_of_images
from closedform_wsss.functional.dense_crf_loss import loss_of_maps
from closedform_wsss.laplacian import LaplacianOptions
from closedform_wsss.lattice import check_channels

FN = "mark_loss"
# Weights of the classes: their number of marks to the power of -1/2. With 0, classes with few marks are not learned in
# time; with 1, a single mark counts as much as all of another class.
BALANCE = 0.5
# The dense CRF: squares of this side, a part of the longer side of the image, and the colours of Tang et al.
CRF_SIDE, POSITION_SIGMA, COLOR_SIGMA = 4, 0.2, 15 / 255
# With marks in a smaller part of these squares, or marks so far apart that the energy has squares of a larger side, the
# dense CRF counts less.
MARKED, CLOSE_SIDE = 0.01, 4
LAPLACIAN = LaplacianOptions("closed_form", EPS, radius=1)  # the defaults of closed_form_loss


def mark_loss(
    logits: Tensor,
    target: Tensor,
    image: Tensor,
    *,
    class_present: Tensor | None = None,
    energy_weight: float = 3.0,
    crf_weight: float = 0.6,
    ignore_index: int = 255,
) -> Tensor:
    r"""The loss to learn from marks with: cross-entropy, absent classes, the closed-form energy and a dense CRF.

    .. math:: L = L_{ce} + L_{absent} + \omega\, E + \eta\, m\, r\, C

    with the cross-entropy on the marked pixels, :func:`absent_class_loss` where ``class_present`` is given, and the
    energy :math:`E = \sum_c a_c^\top L a_c / P` of :func:`closed_form_loss`, whose scale follows from the marks. In the
    cross-entropy a class with :math:`n_c` marks in the batch has the weight :math:`n_c^{-1/2}`:

    .. math:: L_{ce} = -\frac{\sum_i w_{y_i} \log a_{y_i}(i)}{\sum_i w_{y_i}}, \qquad w_c = n_c^{-1/2} .

    The energy propagates the marks to pixels of similar colour around them, but leaves many of these pixels undecided.
    The dense CRF :math:`C = \sum_c a_c^\top \tilde K\, (1 - a_c) / P` of :func:`dense_crf_loss` decides, and reaches
    pixels of similar colour that are farther away. Maps and image are first averaged over squares of 4 pixels. The
    position sigma is a fifth of the longer side, and the colour sigma is 15 / 255. Without the energy, the dense CRF
    relies too much on colours. It is smallest where one class has the whole image, and marks must hold against it:

    * :math:`m = \min(1, (100\, f)^2)`, where f is the fraction of these squares that hold a mark: 1 with scribbles, and
      small with two or three dots.
    * :math:`r = \min(1, 4 / s)`, where s is the side of the squares of the energy, 1, 2, 4 or 8 pixels: 1/2 where
      the marks of different classes lie far apart, and 1 elsewhere.

    Args:
        logits: ``(N, C, H, W)``, C >= 2, differentiable.
        target: ``(N, H', W')`` integer marks; ``ignore_index`` where unmarked.
        image: ``(N, D, H'', W'')`` in [0, 1] or uint8, before mean/std normalisation; D <= 13 with a dense CRF. Image
            and target follow the size of the logits.
        class_present: ``(N, C)`` bool, or in [0, 1]: the classes of each image, the background too.
            :func:`classes_present` reads them from marks if every class of an image is marked. Read them before a
            random crop, which may lose the marks of a class that it still shows. Default: not known, no
            :func:`absent_class_loss`.
        energy_weight: :math:`\omega` >= 0. Default 3.
        crf_weight: :math:`\eta` >= 0. Default 0.6.
        ignore_index: Label of unmarked pixels, outside [0, C). Default 255.

    Returns:
        A scalar; zero with a graph for an empty batch. A batch without marks has no cross-entropy.

    Raises:
        TypeError, ValueError: As :func:`closed_form_loss`.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import classes_present, mark_loss
        >>> logits = torch.zeros(2, 5, 32, 32, requires_grad=True)
        >>> target = torch.full((2, 32, 32), 255)
        >>> target[:, 4, 4:20], target[:, 25, 4:20] = 0, 3  # two scribbles
        >>> present = classes_present(target, 5)  # if all classes of an image are marked, and nothing was cropped
        >>> mark_loss(logits, target, torch.rand(2, 3, 32, 32), class_present=present).backward()
    """
    check_not_negative(FN, "energy_weight", energy_weight)
    check_not_negative(FN, "crf_weight", crf_weight)
    image = check_image(FN, image)
    if crf_weight:
        check_channels(FN, image, ", or crf_weight=0")
    n, device = image.shape[0], image.device
    logits = check_maps(FN, "logits", logits, n, device)
    check_logits(FN, logits)
    classes = logits.shape[1]
    target = check_target(FN, target, n, device, classes, ignore_index)
    check_finite(FN, "logits", logits)
    check_same_view(FN, target=target, image=image, logits=logits)
    if class_present is not None:
        check_class_present(FN, class_present, n, classes, device)
        warn_of_absent_marks(FN, target, class_present, ignore_index)
    x = logits.to(compute_dtype(logits))
    if x.numel() == 0:
        return x.sum()
    target = resize_marks(target, (x.shape[2], x.shape[3]), classes, ignore_index)
    log_a = x.log_softmax(1)
    a = log_a.exp()
    loss = _cross_entropy(log_a, target, ignore_index)
    if class_present is not None:
        loss = loss + loss_of_probabilities(log_a, a, class_present).mean()
    if not (energy_weight or crf_weight):  # the rest is for these
        return loss
    image = resize_image(image.to(x.dtype), (x.shape[2], x.shape[3]))
    averages = Averages(a)
    sides = fitting_sides(x.shape[2:], LAPLACIAN.radius)
    squares = sides_from_marks(target, classes, ignore_index, sides=sides)
    if energy_weight:
        # The cross-entropy has taught the marks: here they only choose the scale. It has made the softmax, too.
        energy = loss_of_images(
            *(x, target, image, x.new_ones(n, classes), LAPLACIAN, squares),
            mark_weight=0.0, ignore_index=ignore_index, residual=False, activation="softmax",
            averages=averages,
        )  # fmt: skip
        loss = loss + energy_weight * energy.mean()
    if crf_weight:
        loss = loss + crf_weight * crf_of_marks(averages, image, target, squares, ignore_index).mean()
    return loss


def crf_of_marks(averages: Averages, image: Tensor, target: Tensor, squares: Tensor, ignore_index: int) -> Tensor:
    """The dense CRF of each image, ``(N,)``, as far as its marks hold against it.

    From the averages of maps, an image and marks of the maps' size, and the side of the energy's squares. The dense CRF
    is smallest where one class has the whole image. A few dots then keep no more than the squares that they are in.
    """
    small = averaged(image, CRF_SIDE)
    crf = loss_of_maps(averages(CRF_SIDE), small, POSITION_SIGMA * max(small.shape[2:]), COLOR_SIGMA)
    marked = F.max_pool2d((target != ignore_index)[:, None].to(crf.dtype), CRF_SIDE, ceil_mode=True)
    enough = (marked.mean((1, 2, 3)) / MARKED).clamp_max(1).square()
    close = (CLOSE_SIDE / squares.to(crf.dtype)).clamp_max(1)
    return enough * close * crf


def _cross_entropy(log_a: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """Mean over the marked pixels, weighted by their classes; zero with a graph where nothing is marked."""
    marked = (target != ignore_index).flatten()
    label = torch.where(marked, target.flatten(), 0)
    count = label.new_zeros(log_a.shape[1]).scatter_add_(0, label, marked.long())  # float32 counts to 16 million only
    count = count.to(log_a.dtype)
    weight = count.clamp_min(1) ** -BALANCE
    total = (weight * count).sum().clamp_min(torch.finfo(log_a.dtype).tiny)
    # Added up apart: on a GPU nll_loss does it in any order.
    return F.nll_loss(log_a, target, weight, ignore_index=ignore_index, reduction="none").sum() / total
