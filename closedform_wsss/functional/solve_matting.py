"""The closed-form solution of marks on an image."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from closedform_wsss.laplacian import Kind, MattingLaplacian, as_laplacian
from closedform_wsss.solver import Callback, Solution, Stopping, solve


def solve_matting(
    marks: Tensor,
    image: Tensor | MattingLaplacian,
    *,
    num_classes: int | None = None,
    kind: Kind | None = None,
    mark_weight: float | Tensor = 100.0,
    eps: float | None = None,
    radius: int | None = None,
    tol: float = 1e-3,
    max_iter: int = 2000,
    initial: Tensor | None = None,
    ignore_index: int = 255,
    unmarked: Literal["error", "skip"] = "error",
    callback: Callback | None = None,
) -> Solution:
    r"""Spread marks over an image: the closed-form matte of every class.

    Solves, for all classes of all images, with the :class:`~closedform_wsss.MattingLaplacian` L,

    .. math:: (L + \lambda D)\, \alpha_c = \lambda D\, s_c,

    D = 1 on the marked pixels, :math:`s_c` = 1 on those marked as c. The mattes of an image add up to 1 (of the
    learning-based Laplacian, nearly). Matrix-free conjugate gradients, preconditioned by one multigrid hierarchy for
    all classes, on the tiles of 16 x 16 pixels with unknown pixels or near to some: the known part of a trimap costs
    nothing. No gradients flow.

    Args:
        marks: ``(N, H, W)``, integers, ``ignore_index`` where unmarked. Or soft values ``(N, C, H, W)``, floating
            point, whose weight at each pixel is ``mark_weight``.
        image: ``(N, D, H, W)`` in [0, 1] or uint8. float64 is solved in float64, all else in float32, which reaches
            errors of about 1e-4. The learning-based Laplacian, and images with regions that clipped pixels enclose
            (over- or under-exposed ones) or of few colours, are always solved in float64. Or a
            :class:`~closedform_wsss.MattingLaplacian` of it.
        num_classes: The number of classes, C. Default the largest mark + 1, or the channels of soft marks.
        kind: ``"closed_form"`` or ``"learning_based"``: that of the :class:`~closedform_wsss.MattingLaplacian`.
            Default "closed_form".
        mark_weight: :math:`\lambda` > 0, or a map of :math:`\lambda D` ``(N, H, W)`` >= 0. With integer marks, only its
            values at marked pixels count. Default 100.
        eps: Its regularisation. Default 1e-7.
        radius: Of its windows. Default 1. Give kind, eps and radius with an image only: an operator has its own.
        tol: Largest error of alpha to stop at, estimated from the changes of alpha. A step of an 8-bit matte is 4e-3.
            Default 1e-3.
        max_iter: Iterations to stop at, with a :class:`ConvergenceWarning`. Default 2000.
        initial: ``(N, C, H, W)`` to start from: a coarser solution, or that of the previous frame.
        ignore_index: Label of unmarked pixels, outside [0, C). Default 255.
        unmarked: What to do about an image without a mark, such as a slice of a volume that shows nothing of interest:
            "error" (default), or "skip": its alpha is 0 for every class, ``skipped`` of the solution names it, and the
            other images have exactly the result that they have without it.
        callback: Called with (iterations, estimated error) at each check; on the CPU separately for every four classes.

    Returns:
        A :class:`Solution`: ``alpha`` ``(N, C, H, W)``, which is not clipped and may leave [0, 1] a little, and
        ``iterations``, ``error``, ``converged``, ``residual`` and ``skipped``.

    Raises:
        TypeError: A wrong dtype.
        ValueError: A shape or device does not fit; an image has no mark and ``unmarked`` is "error"; every pixel of an
            image has an integer mark, so that nothing is left to solve for; a label is outside [0, C); the image is not
            in [0, 1] or holds NaN; an option is out of range.

    Warns:
        ConvergenceWarning: ``max_iter`` was reached first.

    Reference:
        Levin, Lischinski, Weiss: A closed-form solution to natural image matting. TPAMI 2008.

        Chartier et al.: Spectral AMGe. SIAM J. Sci. Comput. 2003 (the preconditioner's coarse functions).

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import solve_matting
        >>> image = torch.zeros(1, 3, 8, 16)
        >>> image[..., 8:] = 1.0  # black left, white right
        >>> marks = torch.full((1, 8, 16), 255)
        >>> marks[0, 4, 2], marks[0, 4, 13] = 0, 1
        >>> solution = solve_matting(marks, image)
        >>> solution.alpha[0, 1, 0].round().int().tolist()
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
    """
    if isinstance(image, Tensor) and isinstance(marks, Tensor) and image.ndim == 3 and marks.ndim == 4:
        raise ValueError(
            f"solve_matting: the marks come first, then the image, got marks of shape {tuple(marks.shape)} and "
            f"image of shape {tuple(image.shape)}: swap them, or pass image[None]"
        )
    return solve(
        as_laplacian("solve_matting", image, kind, eps, radius),
        marks,
        num_classes=num_classes,
        mark_weight=mark_weight,
        initial=initial,
        ignore_index=ignore_index,
        unmarked=unmarked,
        stopping=Stopping.checked("solve_matting", tol, max_iter, callback),
    )
