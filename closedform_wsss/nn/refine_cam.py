"""The refinement of class activation maps as a module."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss.functional.refine_cam import check_options, refine_cam
from closedform_wsss.nn._functional_module import FunctionalModule


class RefineCAM(FunctionalModule):
    """Class activation maps that follow the image: :func:`closedform_wsss.functional.refine_cam`.

    Args:
        num_iters: Steps of ASAM, >= 0; 0 leaves it out. Default None: a ninth of the number of superpixels.
        fidelity: Of the matting filter, > 0; smaller smooths further. Default 3e-3.
        level: The threshold to use afterwards, in (0, 1). None: no calibration. Default 0.4.

    Shape:
        cam ``(N, C, h, w)`` in [0, 1], image ``(N, D, H, W)`` with D 1 or 3, and optionally by name saliency and
        boundaries ``(N, 1, h', w')`` in [0, 1] -> ``(N, C, H, W)`` in [0, 1].

    Raises:
        TypeError, ValueError: When it is made: an option is out of range. When it is called: what
            :func:`~closedform_wsss.functional.refine_cam` raises.

    Example:
        >>> import torch
        >>> from closedform_wsss.nn import RefineCAM
        >>> RefineCAM()(torch.rand(1, 2, 6, 8), torch.rand(1, 3, 96, 128)).shape
        torch.Size([1, 2, 96, 128])
    """

    def __init__(self, *, num_iters: int | None = None, fidelity: float = 3e-3, level: float | None = 0.4) -> None:
        check_options("RefineCAM", num_iters, fidelity, level)
        super().__init__(num_iters=num_iters, fidelity=fidelity, level=level)

    def forward(
        self, cam: Tensor, image: Tensor, *, saliency: Tensor | None = None, boundaries: Tensor | None = None
    ) -> Tensor:
        return refine_cam(cam, image, saliency=saliency, boundaries=boundaries, **self.options)
