"""The closed-form solution of marks on an image."""

from __future__ import annotations

from typing import Literal, overload

from torch import Tensor

from closedform_wsss._checks import check_image, check_option, check_positive, check_radius
from closedform_wsss.laplacian import KINDS, Kind, MattingLaplacian
from closedform_wsss.solver.problem import WHERE
from closedform_wsss.solver.solve import Callback, SolveInfo, solve


@overload
def solve_matting(
    image: Tensor | MattingLaplacian,
    target: Tensor,
    *,
    num_classes: int | None = None,
    laplacian: Kind = "closed_form",
    confidence: float | Tensor = 100.0,
    eps: float = 1e-7,
    radius: int = 1,
    tol: float = 1e-3,
    max_iter: int = 2000,
    initial: Tensor | None = None,
    ignore_index: int = 255,
    callback: Callback | None = None,
    return_info: Literal[False] = False,
) -> Tensor: ...


@overload
def solve_matting(
    image: Tensor | MattingLaplacian,
    target: Tensor,
    *,
    num_classes: int | None = None,
    laplacian: Kind = "closed_form",
    confidence: float | Tensor = 100.0,
    eps: float = 1e-7,
    radius: int = 1,
    tol: float = 1e-3,
    max_iter: int = 2000,
    initial: Tensor | None = None,
    ignore_index: int = 255,
    callback: Callback | None = None,
    return_info: Literal[True],
) -> tuple[Tensor, SolveInfo]: ...


def solve_matting(
    image: Tensor | MattingLaplacian,
    target: Tensor,
    *,
    num_classes: int | None = None,
    laplacian: Kind = "closed_form",
    confidence: float | Tensor = 100.0,
    eps: float = 1e-7,
    radius: int = 1,
    tol: float = 1e-3,
    max_iter: int = 2000,
    initial: Tensor | None = None,
    ignore_index: int = 255,
    callback: Callback | None = None,
    return_info: bool = False,
) -> Tensor | tuple[Tensor, SolveInfo]:
    r"""Spread marks over an image: the closed-form matte of every class.

    Solves, for all classes of all images, with the :class:`~closedform_wsss.MattingLaplacian` L,

    .. math:: (L + \lambda D)\, \alpha_c = \lambda D\, s_c,

    D = 1 on the marked pixels, :math:`s_c` = 1 on those marked as c. The mattes of an image add up to 1 (of the
    learning-based Laplacian, nearly). Conjugate gradients, matrix-free, preconditioned by multigrid that all classes of
    an image share, on the tiles of 16 x 16 pixels that hold something unknown: what a trimap says for certain costs
    nothing. No gradients flow.

    Args:
        image: ``(N, D, H, W)`` in [0, 1] or uint8. float64 is solved in float64, all else in float32, which reaches
            errors of about 1e-4 (the learning-based Laplacian is always solved in float64). Or a
            :class:`~closedform_wsss.MattingLaplacian` of it, which has its own kind, eps and radius.
        target: Marks ``(N, H, W)``, integers, ``ignore_index`` where unmarked; every image needs one. Or soft values
            ``(N, C, H, W)``, floating point, that hold as much as ``confidence`` says.
        num_classes: The number of classes, C. Default the largest mark + 1, or the channels of a soft target.
        confidence: :math:`\lambda` > 0, or a map of :math:`\lambda D` ``(N, H, W)`` >= 0 (marks count where marked
            only). Default 100.
        laplacian: ``"closed_form"`` or ``"learning_based"``: the kind of :class:`~closedform_wsss.MattingLaplacian`.
        eps, radius: Of the Laplacian.
        tol: Largest error of alpha to stop at, as estimated from how alpha itself still moves. A step of an
            8-bit matte is 4e-3. Default 1e-3.
        max_iter: Iterations to stop at, with a :class:`ConvergenceWarning`. Default 2000.
        initial: ``(N, C, H, W)`` to start from: a coarser solution, or that of the frame before.
        ignore_index: Label of unmarked pixels, outside [0, C). Default 255.
        callback: Called with (iterations, estimated error) now and then; on the CPU anew for every four classes.
        return_info: Return ``(alpha, SolveInfo)``. Default False.

    Returns:
        alpha ``(N, C, H, W)``: not clipped, it may leave [0, 1] a little.

    Raises:
        TypeError: A wrong dtype.
        ValueError: A shape or device does not fit; an image has no mark; a label is outside [0, C); the image is not in
            [0, 1] or holds NaN; an option is out of range.

    Warns:
        ConvergenceWarning: ``max_iter`` was reached first.

    Reference:
        Levin, Lischinski, Weiss: A closed-form solution to natural image matting. TPAMI 2008.

        Chartier et al.: Spectral AMGe. SIAM J. Sci. Comput. 2003 (the preconditioner's coarse functions).

    Example:
        >>> import torch
        >>> image = torch.zeros(1, 3, 8, 16)
        >>> image[..., 8:] = 1.0  # black left, white right
        >>> marks = torch.full((1, 8, 16), 255)
        >>> marks[0, 4, 2], marks[0, 4, 13] = 0, 1
        >>> alpha = solve_matting(image, marks)
        >>> alpha[0, 1, 0].round().int().tolist()
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
    """
    if not isinstance(image, MattingLaplacian):
        check_option(WHERE, "laplacian", laplacian, KINDS)
        # As MattingLaplacian does, but in this function's name.
        image = check_image(WHERE, image)
        eps = check_positive(WHERE, "eps", eps)
        radius = check_radius(WHERE, radius, *image.shape[2:])
        image = MattingLaplacian(image, kind=laplacian, eps=eps, radius=radius)
    return solve(
        image,
        target,
        num_classes=num_classes,
        confidence=confidence,
        tol=tol,
        max_iter=max_iter,
        initial=initial,
        ignore_index=ignore_index,
        callback=callback,
        return_info=return_info,
    )
