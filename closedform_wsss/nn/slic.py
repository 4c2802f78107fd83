"""Hard superpixels as a module."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss.functional.slic import check_options, slic
from closedform_wsss.nn._functional_module import FunctionalModule
from closedform_wsss.superpixels import Superpixels


class SLIC(FunctionalModule):
    """Hard superpixels by scikit-image's SLIC: :func:`closedform_wsss.functional.slic`.

    Args:
        cell_size: Square root of the pixels of a superpixel, >= 1. Default 16.
        compactness: > 0; larger makes squarer superpixels. Default 10.
        num_iters: Steps of k-means, >= 1. Default 10.

    Shape:
        image ``(N, D, H, W)`` -> hard :class:`~closedform_wsss.Superpixels` of ``(N, H, W)``.

    Raises:
        TypeError, ValueError: When it is made: an option is out of range. When it is called: what
            :func:`~closedform_wsss.functional.slic` raises.

    Example:
        >>> import torch
        >>> from closedform_wsss.nn import SLIC
        >>> SLIC(cell_size=8)(torch.rand(1, 3, 32, 40)).assignment.shape
        torch.Size([1, 32, 40])
    """

    def __init__(self, *, cell_size: float = 16, compactness: float = 10.0, num_iters: int = 10) -> None:
        check_options("SLIC", cell_size, compactness, num_iters)
        super().__init__(cell_size=cell_size, compactness=compactness, num_iters=num_iters)

    def forward(self, image: Tensor) -> Superpixels:
        return slic(image, **self.options)
