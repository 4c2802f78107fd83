"""The matting filter as a module."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss._checks import check_count, check_integer
from closedform_wsss.functional.matting_filter import EPS, check_options, matting_filter
from closedform_wsss.laplacian import Kind, MattingLaplacian, check_laplacian_options
from closedform_wsss.nn._functional_module import FunctionalModule


class MattingFilter(FunctionalModule):
    r"""An edge-aware filter of maps: :func:`closedform_wsss.functional.matting_filter`.

    Args:
        mark_weight: :math:`\kappa` > 0, how strongly the result is held to the marks. Default 10.
        fidelity: :math:`\lambda` > 0, how strongly the result is held to the input; smaller smooths further. Default
            3e-3.
        kind: "closed_form" (default) or "learning_based".
        eps: Regularisation of the Laplacian, > 0. Default 1e-6.
        radius: Windows of 2 radius + 1 pixels. Default 1.
        tol: Stop at this largest error, as a fraction of each map's range. Default 1e-3.
        max_iter: Stop after so many iterations. Default 2000.
        num_iters: Take exactly so many steps, without a test for convergence, so that the module can be exported.
            Default: until tol.
        ignore_index: Label of unmarked pixels. Default 255.

    Shape:
        x ``(N, C, H, W)``, image ``(N, D, H', W')`` or a :class:`~closedform_wsss.MattingLaplacian`, target
        ``(N, H'', W'')`` or None -> ``(N, C, H, W)``.

    Raises:
        TypeError, ValueError: When it is made: an option is out of range. When it is called: what
            :func:`~closedform_wsss.functional.matting_filter` raises.

    Example:
        >>> import torch
        >>> from closedform_wsss.nn import MattingFilter
        >>> MattingFilter(fidelity=0.01)(torch.rand(1, 2, 24, 32), torch.rand(1, 3, 48, 64)).shape
        torch.Size([1, 2, 24, 32])
    """

    def __init__(
        self,
        *,
        mark_weight: float = 10.0,
        fidelity: float = 3e-3,
        kind: Kind | None = None,
        eps: float | None = None,
        radius: int | None = None,
        tol: float = 1e-3,
        max_iter: int = 2000,
        num_iters: int | None = None,
        ignore_index: int = 255,
    ) -> None:
        check_options("MattingFilter", mark_weight, fidelity, tol, max_iter)
        check_laplacian_options("MattingFilter", None, kind, eps, radius, default_eps=EPS)
        if num_iters is not None:
            check_count("MattingFilter", "num_iters", num_iters, 1)
        check_integer("MattingFilter", "ignore_index", ignore_index)
        super().__init__(
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

    def forward(self, x: Tensor, image: Tensor | MattingLaplacian, target: Tensor | None = None) -> Tensor:
        return matting_filter(x, image, target=target, **self.options)
