"""The matting filter: the closed-form system as an edge-aware filter of any map."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss._autocast import without_autocast
from closedform_wsss._checks import (
    check_count,
    check_finite,
    check_image,
    check_integer,
    check_maps,
    check_positive,
    check_same_view,
    check_target,
    compute_dtype,
)
from closedform_wsss._ops._define import define
from closedform_wsss._resize import resize_image, resize_marks
from closedform_wsss._warn import warn_user
from closedform_wsss.laplacian import Kind, LaplacianOptions, MattingLaplacian, check_laplacian_options
from closedform_wsss.laplacian.kinds import LaplacianOperator, laplacian_operator
from closedform_wsss.laplacian.stencil import StencilOperator
from closedform_wsss.laplacian.windows import WindowOperator, windows_per_pixel
from closedform_wsss.solver import ConvergenceWarning, Stopping
from closedform_wsss.solver.cg import by_classes
from closedform_wsss.solver.chebyshev import chebyshev
from closedform_wsss.solver.solution import warn_unless_converged
from closedform_wsss.solver.stencil_solver import MAX_PIXELS, takes_whole_maps
from closedform_wsss.solver.system import system_solver

FN = "matting_filter"
EPS = 1e-6
MAX_ITER = 2000
CURE = "raise max_iter, fidelity or eps"
# Times 1 / sqrt(fidelity): steps that leave an error of a few hundredths, and steps below which it may be a third.
ENOUGH_STEPS, FEWEST_STEPS = 6, 1
is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)  # torch 2.6


def matting_filter(
    x: Tensor,
    image: Tensor | MattingLaplacian,
    *,
    target: Tensor | None = None,
    mark_weight: float = 10.0,
    fidelity: float = 3e-3,
    kind: Kind | None = None,
    eps: float | None = None,
    radius: int | None = None,
    tol: float = 1e-3,
    max_iter: int = MAX_ITER,
    num_iters: int | None = None,
    ignore_index: int = 255,
) -> Tensor:
    r"""Filter maps along the edges of an image: class activation maps, predictions, pseudo-labels.

    With the :class:`~closedform_wsss.MattingLaplacian` L of the image, the result is

    .. math:: y_c = (L + \lambda\,\mathrm{Id})^{-1} \lambda\, x_c, \quad \text{the minimum of} \quad
        y_c^\top L\, y_c + \lambda \lVert y_c - x_c \rVert^2 .

    This is the closed-form system of :func:`solve_matting` with a small weight at every pixel in place of a large one
    at the marks: y is close to x and locally nearly affine in the colours. Constants do not change, the mean of a map
    is kept, and maps that add up to 1 still do. The filter is linear in x, symmetric, and differentiable to any order;
    its backward pass is the same filter.

    With marks, ``target``, the maps are also held to the marks. D = 1 on every marked pixel, and :math:`s_c` = 1 on
    those of class c:

    .. math:: y_c = (L + \lambda\,\mathrm{Id} + \kappa D)^{-1} (\lambda\, x_c + \kappa D\, s_c).

    So a network's predictions on images with marks become better labels than the predictions or the marks alone.

    Args:
        x: ``(N, C, H, W)`` of any range, differentiable. Half precision is computed in float32.
        image: ``(N, D, H', W')`` in [0, 1] or uint8; resized to x by antialiased bilinear interpolation. A constant: no
            gradient flows into it. Or a :class:`~closedform_wsss.MattingLaplacian` of x's size. At a quarter of a
            photograph's size the filter reaches four times as far and takes a sixteenth of the time, see
            :func:`refine_cam`.
        target: ``(N, H'', W'')`` integer marks of the classes [0, C), ``ignore_index`` elsewhere; resized to x by the
            rule of :func:`resize_marks`. Default: no marks.
        mark_weight: :math:`\kappa` > 0, how strongly y is held to the marks. Default 10.
        fidelity: :math:`\lambda` > 0, how strongly y is held to x; smaller smooths further. Default 3e-3.
        kind: ``"closed_form"`` (the default) or ``"learning_based"``. The rows of the latter do not quite sum to zero,
            so constants change a little.
        eps: Regularisation of the Laplacian, > 0. Default 1e-6.
        radius: Windows of 2 radius + 1 pixels. Default 1. Give kind, eps and radius with an image only: an operator has
            its own.
        tol: Stop at this largest error, as a fraction of each map's range. Default 1e-3.
        max_iter: Stop after so many iterations, with a :class:`ConvergenceWarning`. Default 2000.
        num_iters: Take exactly so many steps of Chebyshev's method, >= 1, and do not test for convergence; tol and
            max_iter are then not used. For programs that are exported or captured in a graph. :math:`6 / \sqrt\lambda`
            steps leave an error of a few hundredths of the range. Default: conjugate gradients until tol.
        ignore_index: Label of unmarked pixels, outside [0, C). Default 255.

    Returns:
        ``(N, C, H, W)``; float64 if x or the operator is, float32 otherwise. It may leave the range of x a little.

    Raises:
        TypeError: A wrong dtype.
        ValueError: A shape or device does not fit; the image is not in [0, 1]; a label is outside [0, C); NaN; an
            option is out of range.

    Warns:
        ConvergenceWarning: ``max_iter`` was reached first, or ``num_iters`` is below :math:`1 / \sqrt\lambda`.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import matting_filter
        >>> image = torch.zeros(1, 3, 8, 16)
        >>> image[..., 9:] = 1.0  # black left, white right
        >>> cam = torch.linspace(0, 1, 16).expand(1, 1, 8, 16)
        >>> [round(v, 2) for v in matting_filter(cam, image)[0, 0, 4, ::5].tolist()]
        [0.27, 0.27, 0.8, 0.8]
    """
    return filter_maps(
        FN,
        CURE,
        x,
        image,
        target=target,
        mark_weight=mark_weight,
        fidelity=fidelity,
        kind=kind,
        eps=eps,
        radius=radius,
        tol=tol,
        max_iter=max_iter,
        num_iters=num_iters,
        ignore_index=ignore_index,
    )


def filter_maps(
    fn: str,
    cure: str,
    x: Tensor,
    image: Tensor | MattingLaplacian,
    *,
    target: Tensor | None,
    mark_weight: float,
    fidelity: float,
    kind: Kind | None,
    eps: float | None,
    radius: int | None,
    tol: float,
    max_iter: int,
    num_iters: int | None,
    ignore_index: int,
) -> Tensor:
    """:func:`matting_filter` for the function ``fn``, whose user can do ``cure`` where the solver does not converge."""
    laplacian = image if isinstance(image, MattingLaplacian) else None
    options = check_laplacian_options(fn, laplacian, kind, eps, radius, default_eps=EPS)
    check_options(fn, mark_weight, fidelity, tol, max_iter)
    check_integer(fn, "ignore_index", ignore_index)
    if num_iters is not None:
        check_count(fn, "num_iters", num_iters, 1)
    image = check_image(fn, image) if not isinstance(image, MattingLaplacian) else image.image
    x = check_maps(fn, "x", x, image.shape[0], image.device)
    check_finite(fn, "x", x)
    n, classes, h, w = x.shape
    if target is not None:
        target = check_target(fn, target, n, image.device, classes, ignore_index)
    dtype = compute_dtype(x)
    x = x.to(dtype if laplacian is None else laplacian.check_fits(fn, "x", x))
    check_same_view(fn, target=target, x=x, image=image if laplacian is None else None)
    if x.numel() == 0:
        return x
    if laplacian is None:
        image = resize_image(image.to(x.dtype), (h, w))
    data_weight = torch.full((n, h, w), float(fidelity), dtype=x.dtype, device=x.device)
    right = float(fidelity) * x
    if target is not None:
        target = resize_marks(target, (h, w), classes, ignore_index)
        marked = (target != ignore_index).to(x.dtype) * float(mark_weight)
        marks = torch.arange(classes, device=x.device)[:, None, None] == target[:, None]
        data_weight, right = data_weight + marked, right + marked[:, None] * marks
    fitting = options.fitting(fn, h, w)
    if num_iters is None:
        return filtered(right, image, data_weight, fitting, float(tol), int(max_iter), laplacian, fn=fn, cure=cure)
    if num_iters * fidelity**0.5 < FEWEST_STEPS and not torch.compiler.is_compiling():
        warn_user(
            f"{fn}: {num_iters} steps are far too few for fidelity {fidelity:g}: take about "
            f"{round(ENOUGH_STEPS / fidelity**0.5)}",
            ConvergenceWarning,
        )
    return filtered_in_steps(right, image, data_weight, fitting, float(fidelity), int(num_iters), laplacian)


def filtered_in_steps(
    b: Tensor,
    image: Tensor,
    data_weight: Tensor,
    options: LaplacianOptions,
    fidelity: float,
    num_iters: int,
    laplacian: MattingLaplacian | None = None,
) -> Tensor:
    """So many steps of Chebyshev's method for (L + D) y = b, from b / D, of arguments that the caller has checked.

    L is at most W, the number of windows that hold a pixel, so (W + D)^-1 (L + D) has eigenvalues up to 1, and, since D
    is at least the fidelity, not below fidelity / (W + fidelity): marks do not slow it down.
    """
    if is_exporting():  # other runtimes have no kernels of this package
        learning_based = options.kind == "learning_based"
        operator: LaplacianOperator = WindowOperator(image, options.eps, options.radius, learning_based)
    else:
        operator = laplacian_operator(image, *options) if laplacian is None else laplacian._operator
    inverse, start = 1 / (windows_per_pixel(b, options.radius) + data_weight[:, None]), b / data_weight[:, None]
    low, high = fidelity / ((2 * options.radius + 1) ** 2 + fidelity), 1.0
    # On the CPU large maps are faster so, too: each operator of torch would go through memory.
    max_pixels = sys.maxsize if b.is_cpu else MAX_PIXELS
    if isinstance(operator, StencilOperator) and takes_whole_maps(b, max_pixels):
        diagonal = data_weight if operator.row_sums is None else data_weight + operator.row_sums
        y: Tensor = _ops.matting_chebyshev(operator.stencil, diagonal, inverse[:, 0], b, start, low, high, num_iters)
        return y
    return chebyshev(lambda x: inverse * operator.product(x, data_weight), inverse * b, start, low, high, num_iters)


def filtered(
    b: Tensor,
    image: Tensor,
    data_weight: Tensor,
    options: LaplacianOptions,
    tol: float,
    max_iter: int,
    laplacian: MattingLaplacian | None = None,
    *,
    fn: str,
    cure: str,
) -> Tensor:
    """(L + D)^-1 b for D = ``data_weight`` ``(N, H, W)``, of arguments that the caller, ``fn``, has checked."""
    if laplacian is None and not torch.compiler.is_compiling():
        laplacian = MattingLaplacian.of_checked(image, *options)
    y: Tensor = _Filter.apply(b, image, data_weight, *options, tol, max_iter, laplacian, fn, cure)
    return y


def check_options(fn: str, mark_weight: Any, fidelity: Any, tol: Any, max_iter: Any) -> None:
    check_positive(fn, "mark_weight", mark_weight)
    check_positive(fn, "fidelity", fidelity)
    check_positive(fn, "tol", tol)
    check_count(fn, "max_iter", max_iter, 1)


@without_autocast
def _solve(
    b: Tensor, laplacian: MattingLaplacian, data_weight: Tensor, tol: float, max_iter: int, fn: str, cure: str
) -> Tensor:
    """(L + D)^-1 b for D = ``data_weight`` ``(N, H, W)``."""
    # Scale the maps, so that the tolerance does not depend on their range: to [0, 1] where constants stay unchanged.
    values = b / data_weight[:, None]
    low, high = values.amin((2, 3), keepdim=True), values.amax((2, 3), keepdim=True)
    if laplacian.kind != "closed_form":
        low, high = torch.zeros_like(low), torch.maximum(high, -low)
    span = torch.where(high > low, high - low, 1)
    values = (values - low) / span
    solver = system_solver(laplacian, data_weight, tol)
    stopping = Stopping(tol, max_iter)
    result = by_classes(partial(solver.solve, stopping=stopping), values, values, at_once=solver.classes_at_once)
    warn_unless_converged(fn, result, tol, "of the range", cure)
    return low + span * result.x


# The filter as one operator, so that torch.compile does not trace its iterations.


def _filter_run(
    b: Tensor, image: Tensor, data_weight: Tensor, kind: Kind, eps: float, radius: int, tol: float, max_iter: int
) -> Tensor:
    return _solve(b, MattingLaplacian.of_checked(image, kind, eps, radius), data_weight, tol, max_iter, FN, CURE)


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
        b: Tensor,
        image: Tensor,
        data_weight: Tensor,
        kind: Kind,
        eps: float,
        radius: int,
        tol: float,
        max_iter: int,
        laplacian: MattingLaplacian | None,
        fn: str,
        cure: str,
    ) -> Tensor:
        """laplacian: that of the image, None where a compiled program makes it."""
        if laplacian is not None:
            return _solve(b, laplacian, data_weight, tol, max_iter, fn, cure)
        y: Tensor = _filter(b, image, data_weight, kind, eps, radius, tol, max_iter)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, image, data_weight, *ctx.options = inputs
        ctx.save_for_backward(image, data_weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _Filter.apply(grad.contiguous(), *ctx.saved_tensors, *ctx.options), *([None] * 10)
