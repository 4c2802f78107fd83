"""Refine a network's predictions by the marks and the image."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._checks import (
    as_compute_dtype,
    check_class_present,
    check_count,
    check_device,
    check_image,
    check_integer,
    check_maps,
    check_positive,
    check_same_view,
    check_target,
    check_tensor,
    check_two_probabilities,
    check_unit_range,
    reads_values,
    warn_of_absent_marks,
)
from closedform_wsss._resize import resize_probabilities, scaled_size
from closedform_wsss.functional.matting_filter import MAX_ITER, check_options, filter_maps
from closedform_wsss.laplacian import MattingLaplacian, check_laplacian_options

FN = "refine_prediction"
TINY = 1e-12


@torch.no_grad()
def refine_prediction(
    probs: Tensor,
    image: Tensor | MattingLaplacian,
    marks: Tensor | None = None,
    *,
    class_factors: Tensor | None = None,
    class_present: Tensor | None = None,
    scale: float | None = None,
    fidelity: float = 0.03,
    mark_weight: float = 10.0,
    eps: float | None = None,
    tol: float = 0.03,
    num_iters: int | None = None,
    ignore_index: int = 255,
) -> Tensor:
    r"""Probabilities that follow the edges of the image and keep the marks: better labels than a network's predictions.

    The probabilities are multiplied by the class factors r and by :math:`t_c`, 0 for the classes that an image does not
    hold, and normalised; then filtered with the marks kept, clipped at 0 and normalised again:

    .. math:: p'_c = \frac{r_c\, t_c\, p_c}{\sum_k r_k\, t_k\, p_k}, \qquad
        q_c = (L + \lambda\,\mathrm{Id} + \kappa D)^{-1} (\lambda\, p'_c + \kappa D\, s_c) .

    It is :func:`matting_filter` with the settings that suit predictions. At half of the image's size it reaches twice
    as far as at the full size, and takes a quarter of the time.

    Args:
        probs: ``(N, C, H, W)`` in [0, 1] with C >= 2, such as the softmax of a network's logits.
        image: ``(N, D, H', W')`` in [0, 1] or uint8, resized to probs; or a :class:`~closedform_wsss.MattingLaplacian`.
        marks: ``(N, H'', W'')`` integer marks, ``ignore_index`` elsewhere, resized to probs. Default: no marks.
        class_factors: ``(C,)`` >= 0, not all 0, such as of :func:`closedform_wsss.training.class_factors`. A class with
            the factor 0 is nowhere. Default all 1.
        class_present: t, ``(N, C)`` bool, or in [0, 1], such as of :func:`classes_present`. An image without a class
            counts as unknown. Default: all classes.
        scale: Filter at this fraction of the image's size, in (0, 1], and resize the result to the image. Give it with
            an image only. Default: filter at the size of probs.
        fidelity: :math:`\lambda` > 0, how strongly q is held to the probabilities. Default 0.03.
        mark_weight: :math:`\kappa` > 0, how strongly q is held to the marks. Default 10.
        eps: Regularisation of the Laplacian, > 0. Default 1e-7. Give it with an image only.
        tol: Stop at this largest error. Default 0.03.
        num_iters: Take exactly so many steps instead, >= 1, as in :func:`matting_filter`. For the winning classes
            :math:`3.5 / \sqrt\lambda` are enough, and faster. Default: until tol.
        ignore_index: Label of unmarked pixels, outside [0, C). Default 255.

    Returns:
        ``(N, C, H, W)``, or with ``scale`` ``(N, C, H', W')``, in [0, 1], adding up to 1 over the classes; float64 if
        probs or the operator are, float32 otherwise. No gradient flows.

    Raises:
        TypeError: A wrong dtype.
        ValueError: A shape or device does not fit; probs or the image are not in [0, 1]; there is one class only; a
            label is outside [0, C); a class factor is negative, or all are 0; an option is out of range.

    Warns:
        ConvergenceWarning: The filter did not reach ``tol``, or ``num_iters`` is below :math:`1 / \sqrt\lambda`.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import refine_prediction
        >>> image, probs = torch.rand(1, 3, 48, 64), torch.rand(1, 4, 24, 32).softmax(1)
        >>> marks = torch.full((1, 48, 64), 255)
        >>> marks[0, 10, 5:60] = 2
        >>> labels = refine_prediction(probs, image, marks).argmax(1)  # (1, 24, 32)
        >>> bool((labels[0, 5, 3:30] == 2).all())
        True
    """
    laplacian = image if isinstance(image, MattingLaplacian) else None
    if scale is not None:
        if laplacian is not None:
            raise ValueError(f"{FN}: scale must be given with an image, got a MattingLaplacian, which has its own size")
        if check_positive(FN, "scale", scale) > 1:
            raise ValueError(f"{FN}: scale must be in (0, 1], got {scale}")
    own = check_laplacian_options(FN, laplacian, None, eps, None, default_eps=1e-7)
    check_options(FN, mark_weight, fidelity, tol, MAX_ITER)
    if num_iters is not None:
        check_count(FN, "num_iters", num_iters, 1)
    image = image if isinstance(image, MattingLaplacian) else check_image(FN, image)
    n, device = image.shape[0], image.device
    probs = check_maps(FN, "probs", probs, n, device)
    check_two_probabilities(FN, probs)
    check_unit_range(FN, "probs", probs)
    if laplacian is not None:
        laplacian.check_fits(FN, "probs", probs)
    of = probs.shape if scale is None else image.shape
    size = (of[-2], of[-1])
    if marks is not None:
        marks = check_target(FN, marks, n, device, probs.shape[1], ignore_index, name="marks")
    else:
        check_integer(FN, "ignore_index", ignore_index)
    check_same_view(FN, marks=marks, probs=probs, image=image if isinstance(image, Tensor) else None)
    if probs.numel() == 0:
        return as_compute_dtype(probs).new_zeros(*probs.shape[:2], *size)
    p = as_compute_dtype(probs)
    if class_factors is not None:
        p = _multiplied(p, class_factors)
    if class_present is not None:
        check_class_present(FN, class_present, n, p.shape[1], device)
        if marks is not None:
            warn_of_absent_marks(FN, marks, class_present, ignore_index)
        p = restricted(_normalized(p), class_present)
    if scale is not None:
        p = resize_probabilities(_normalized(p), scaled_size(size, scale))
    q = filter_maps(
        FN,
        "raise tol or fidelity" if laplacian is not None else "raise tol, fidelity or eps",
        _normalized(p),
        image,
        target=marks,
        fidelity=fidelity,
        mark_weight=mark_weight,
        kind=None,
        eps=own.eps if laplacian is None else None,
        radius=None,
        tol=tol,
        max_iter=MAX_ITER,
        num_iters=num_iters,
        ignore_index=ignore_index,
    )
    q = q.clamp(0, 1)
    q = torch.where(q.sum(1, keepdim=True) > 0, q, 1.0)  # no class has a probability at or near the pixel
    return resize_probabilities(_normalized(q), size)


def _multiplied(p: Tensor, class_factors: Tensor) -> Tensor:
    """Probabilities times factors of the classes, which are checked."""
    check_tensor(FN, "class_factors", class_factors)
    if class_factors.shape != (p.shape[1],):
        raise ValueError(f"{FN}: class_factors must be (C,) = ({p.shape[1]},), got shape {tuple(class_factors.shape)}")
    check_device(FN, "class_factors", class_factors, p.device, of="image")
    if reads_values(class_factors):
        valid = (class_factors >= 0) & torch.isfinite(class_factors)
        if not bool(valid.all() & class_factors.any()):
            raise ValueError(f"{FN}: class_factors must be >= 0, finite and not all 0, got {class_factors.tolist()}")
    factors = class_factors.to(p.dtype)[:, None, None]
    p = p * factors
    # Where only classes with the factor 0 have a probability, the others become equal.
    return torch.where(p.sum(1, keepdim=True) > 0, p, (factors > 0).to(p.dtype))


def restricted(p: Tensor, class_present: Tensor) -> Tensor:
    """Probabilities of the classes that each image holds; of all where none is given."""
    present = class_present.to(p.dtype)
    present = torch.where(present.any(1, keepdim=True), present, 1.0)[:, :, None, None]
    # Where no class that is present has a probability, they become equal.
    return _normalized((p + TINY) * present)


def _normalized(p: Tensor) -> Tensor:
    total = p.sum(1, keepdim=True)
    return p / torch.where(total > 0, total, 1)
