"""The dense CRF as a module."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss.functional.dense_crf import check_options, dense_crf
from closedform_wsss.nn._functional_module import FunctionalModule


class DenseCRF(FunctionalModule):
    r"""A dense conditional random field: :func:`closedform_wsss.functional.dense_crf`, which has the formulas.

    Args:
        num_iters: Steps of mean field; 0 only normalises. Default 10.
        smoothness_weight: Of the kernel of positions, >= 0. Default 3.
        smoothness_sigma: Its standard deviation in pixels, >= 0.001. Default 3.
        appearance_weight: Of the kernel of positions and colours, >= 0. Default 10.
        position_sigma: Its standard deviation in pixels, >= 0.001. Default 80.
        color_sigma: Its standard deviation for colours in [0, 1], from 0.0001 to 1. Default 13 / 255.

    Shape:
        probs ``(N, C, H, W)``, image ``(N, D, H', W')`` -> ``(N, C, H, W)``.

    Raises:
        TypeError, ValueError: When it is made: an option is out of range. When it is called: what
            :func:`~closedform_wsss.functional.dense_crf` raises.

    Example:
        >>> import torch
        >>> from closedform_wsss.nn import DenseCRF
        >>> DenseCRF(num_iters=5)(torch.rand(1, 2, 24, 32).softmax(1), torch.rand(1, 3, 48, 64)).shape
        torch.Size([1, 2, 24, 32])
    """

    def __init__(
        self,
        *,
        num_iters: int = 10,
        smoothness_weight: float = 3.0,
        smoothness_sigma: float = 3.0,
        appearance_weight: float = 10.0,
        position_sigma: float = 80.0,
        color_sigma: float = 13 / 255,
    ) -> None:
        options = {
            "num_iters": num_iters,
            "smoothness_weight": smoothness_weight,
            "smoothness_sigma": smoothness_sigma,
            "appearance_weight": appearance_weight,
            "position_sigma": position_sigma,
            "color_sigma": color_sigma,
        }
        check_options("DenseCRF", **options)
        super().__init__(**options)

    def forward(self, probs: Tensor, image: Tensor) -> Tensor:
        return dense_crf(probs, image, **self.options)
