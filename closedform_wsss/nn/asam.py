"""ASAM as a module."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss.functional.asam import asam, check_options
from closedform_wsss.nn._functional_module import FunctionalModule
from closedform_wsss.superpixels import Superpixels


class ASAM(FunctionalModule):
    """Propagation over adjacent superpixels: :func:`closedform_wsss.functional.asam`.

    Args:
        num_iters: Steps of propagation, >= 0. Default 20.
        restart: Weight of the input in each step, in [0, 1]. Default 0.
        tol: Stop as soon as no value changes by more than this in a step, > 0. Default None: all steps.

    Shape:
        cam ``(N, C, h', w')``, superpixels of ``(N, 9, H, W)``, class_present ``(N, C)`` or None -> ``(N, C, H, W)``.

    Raises:
        TypeError, ValueError: When it is made: an option is out of range. When it is called: what
            :func:`~closedform_wsss.functional.asam` raises.

    Example:
        >>> import torch
        >>> from closedform_wsss.nn import ASAM, SoftSLIC
        >>> image, cam = torch.rand(1, 3, 64, 64), torch.rand(1, 2, 8, 8)
        >>> ASAM(num_iters=40)(cam, SoftSLIC(cell_size=8)(image)).shape
        torch.Size([1, 2, 64, 64])
    """

    def __init__(self, *, num_iters: int = 20, restart: float = 0.0, tol: float | None = None) -> None:
        check_options("ASAM", num_iters, restart, tol)
        super().__init__(num_iters=num_iters, restart=restart, tol=tol)

    def forward(self, cam: Tensor, superpixels: Superpixels, class_present: Tensor | None = None) -> Tensor:
        return asam(cam, superpixels, class_present=class_present, **self.options)
