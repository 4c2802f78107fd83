"""The matting filter: the closed-form system as an edge-aware filter of any map."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from closedform_wsss._autocast import without_autocast
from closedform_wsss._checks import (
    check_count,
    check_finite,
    check_image,
    check_maps,
    check_option,
    check_positive,
    check_radius,
    check_target,
)
from closedform_wsss._ops._define import define
from closedform_wsss._resize import resize_image, resize_marks
from closedform_wsss.laplacian import KINDS, Kind, MattingLaplacian
from closedform_wsss.solver import Stopping
from closedform_wsss.solver.cg import by_classes
from closedform_wsss.solver.solution import warn_unless_converged
from closedform_wsss.solver.system import system_solver

WHERE = "matting_filter"


def matting_filter(
    x: Tensor,
    image: Tensor,
    *,
    target: Tensor | None = None,
    mark_weight: float = 10.0,
    fidelity: float = 3e-3,
    kind: Kind = "closed_form",
    eps: float = 1e-6,
    radius: int = 1,
    tol: float = 1e-3,
    max_iter: int = 2000,
    ignore_index: int = 255,
) -> Tensor:
    r"""Filter maps along the edges of an image: class activation maps, predictions, pseudo-labels.

    With the :class:`~closedform_wsss.MattingLaplacian` L of the image,

    .. math:: y_c = (L + \lambda\,\mathrm{Id})^{-1} \lambda\, x_c, \quad \text{the minimum of} \quad
        y_c^\top L\, y_c + \lambda \lVert y_c - x_c \rVert^2 .

    It is the closed-form system of :func:`solve_matting` with a small weight at every pixel in place of a large one at
    the marks: y is x, made locally affine in the colours. Constants stay what they are, the mean of a map is kept, and
    maps that add up to 1 go on doing so. Linear in x, symmetric, and differentiable (to any order): the backward pass
    is the same filter.

    With marks, ``target``, the maps are also held to these: D = 1 on every marked pixel, :math:`s_c` = 1 on those of
    class c,

    .. math:: y_c = (L + \lambda\,\mathrm{Id} + \kappa D)^{-1} (\lambda\, x_c + \kappa D\, s_c),

    which makes a network's predictions on images with marks into better labels than either: the predictions say what
    the marks leave open, the marks and the image's edges correct them.

    Args:
        x: ``(N, C, H, W)`` of any range, differentiable. Half precision is computed in float32.
        image: ``(N, D, H', W')`` in [0, 1] or uint8; follows x's size, by an antialiased bilinear resize. A constant:
            no gradient flows into it. Filtering at a quarter of a photo's size reaches four times as far and takes a
            sixteenth of the time: see :func:`refine_cam`.
        target: ``(N, H'', W'')`` integer marks of the classes [0, C), ``ignore_index`` elsewhere; follows x's size, by
            the most frequent class of a pixel. Default: no marks.
        mark_weight: :math:`\kappa` > 0, how strongly y is held to the marks. Default 10.
        fidelity: :math:`\lambda` > 0, how strongly y is held to x: smaller smooths further. Default 3e-3.
        kind: ``"closed_form"`` (the default) or ``"learning_based"``, whose rows do not quite sum to zero, so that
            constants are kept only nearly.
        eps: Regularisation of the Laplacian, > 0. Default 1e-6.
        radius: Of its windows. Default 1.
        tol: Largest error to stop at, as a share of each map's range. Default 1e-3.
        max_iter: Iterations to stop at, with a :class:`ConvergenceWarning`. Default 2000.
        ignore_index: Label of unmarked pixels, outside [0, C). Default 255.

    Returns:
        ``(N, C, H, W)``; float64 if x is, float32 otherwise. It may leave the range of x a little.

    Raises:
        TypeError: A wrong dtype.
        ValueError: A shape or device does not fit; the image is not in [0, 1]; a label is outside [0, C); NaN; an
            option is out of range.

    Warns:
        ConvergenceWarning: ``max_iter`` was reached first.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import matting_filter
        >>> image = torch.zeros(1, 3, 8, 16)
        >>> image[..., 9:] = 1.0  # black left, white right
        >>> cam = torch.linspace(0, 1, 16).expand(1, 1, 8, 16)
        >>> [round(v, 2) for v in matting_filter(cam, image)[0, 0, 4, ::5].tolist()]
        [0.27, 0.27, 0.8, 0.8]
    """
    image = check_image(WHERE, image)
    x = check_maps(WHERE, "x", x, image.shape[0], image.device)
    fidelity = check_positive(WHERE, "fidelity", fidelity)
    check_option(WHERE, "kind", kind, KINDS)
    eps = check_positive(WHERE, "eps", eps)
    radius = check_radius(WHERE, radius, *x.shape[2:])
    tol = check_positive(WHERE, "tol", tol)
    max_iter = check_count(WHERE, "max_iter", max_iter, 1)
    check_finite(WHERE, "x", x)
    n, classes, h, w = x.shape
    if target is not None:
        target = check_target(WHERE, target, n, image.device, classes, ignore_index)
        mark_weight = check_positive(WHERE, "mark_weight", mark_weight)
    x = x if x.dtype == torch.float64 else x.float()
    if x.numel() == 0:
        return x
    image = resize_image(image.to(x.dtype), (h, w))
    data_weight = torch.full((n, h, w), fidelity, dtype=x.dtype, device=x.device)
    right = fidelity * x
    if target is not None:
        target = resize_marks(target, (h, w), classes, ignore_index)
        held = (target != ignore_index).to(x.dtype) * mark_weight
        marks = torch.arange(classes, device=x.device)[:, None, None] == target[:, None]
        data_weight, right = data_weight + held, right + held[:, None] * marks
    return _Filter.apply(right, image, data_weight, kind, eps, radius, tol, max_iter)


# The filter as one operator, so that torch.compile does not trace its iterations.


@without_autocast
def _filter_run(
    b: Tensor, image: Tensor, data_weight: Tensor, kind: Kind, eps: float, radius: int, tol: float, max_iter: int
) -> Tensor:
    """(L + D)^-1 b for D = ``data_weight`` ``(N, H, W)``."""
    laplacian = MattingLaplacian(image, kind=kind, eps=eps, radius=radius)
    # Scale the maps, so that the tolerance does not depend on their range: to [0, 1] where constants stay unchanged.
    values = b / data_weight[:, None]
    low, high = values.amin((2, 3), keepdim=True), values.amax((2, 3), keepdim=True)
    if kind != "closed_form":
        low, high = torch.zeros_like(low), torch.maximum(high, -low)
    span = torch.where(high > low, high - low, 1)
    values = (values - low) / span
    solver = system_solver(laplacian, data_weight, tol)
    result = by_classes(partial(solver.solve, stopping=Stopping(tol, max_iter)), values, values)
    warn_unless_converged("matting_filter", result, tol, "of the range", "raise max_iter, fidelity or eps")
    return low + span * result.x


def _filter_fake(b: Tensor, image: Tensor, data_weight: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(b, memory_format=torch.contiguous_format)


_filter = define(
    "matting_filter",
    "(Tensor b, Tensor image, Tensor data_weight, str kind, float eps, int radius, float tol, int max_iter) -> Tensor",
    _filter_run,
    _filter_run,
    _filter_fake,
)


class _Filter(torch.autograd.Function):
    """b -> (L + D)^-1 b: symmetric, so its own backward."""

    @staticmethod
    def forward(
        b: Tensor, image: Tensor, data_weight: Tensor, kind: Kind, eps: float, radius: int, tol: float, max_iter: int
    ) -> Tensor:
        y: Tensor = _filter(b, image, data_weight, kind, eps, radius, tol, max_iter)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, image, data_weight, *ctx.options = inputs
        ctx.save_for_backward(image, data_weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _Filter.apply(grad.contiguous(), *ctx.saved_tensors, *ctx.options), *([None] * 7)
