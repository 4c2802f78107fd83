"""Soft superpixels as a module."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from closedform_wsss.functional.soft_slic import check_options, soft_slic
from closedform_wsss.nn._functional_module import FunctionalModule
from closedform_wsss.superpixels import Superpixels


class SoftSLIC(FunctionalModule):
    """Soft superpixels by k-means: :func:`closedform_wsss.functional.soft_slic`.

    Args:
        cell_size: Side of a cell in pixels, >= 1. Default 16.
        num_iters: Updates of the centres, >= 0. Default 5.
        compactness: > 0; larger makes squarer superpixels. Default 10.
        temperature: > 0; smaller makes harder superpixels. Default 20.
        color_space: "lab" (default): convert RGB to CIELAB first. None: use the channels as they are.

    Shape:
        image ``(N, D, H, W)`` -> soft :class:`~closedform_wsss.Superpixels` of ``(N, 9, H, W)``.

    Raises:
        TypeError, ValueError: When it is made: an option is out of range. When it is called: what
            :func:`~closedform_wsss.functional.soft_slic` raises.

    Example:
        >>> import torch
        >>> from closedform_wsss.nn import SoftSLIC
        >>> superpixels = SoftSLIC(cell_size=8)(torch.rand(1, 3, 32, 40))
        >>> superpixels.assignment.shape, superpixels.cell_size
        (torch.Size([1, 9, 32, 40]), 8)
    """

    def __init__(
        self,
        *,
        cell_size: int = 16,
        num_iters: int = 5,
        compactness: float = 10.0,
        temperature: float = 20.0,
        color_space: Literal["lab"] | None = "lab",
    ) -> None:
        check_options("SoftSLIC", cell_size, num_iters, compactness, temperature, color_space)
        super().__init__(
            cell_size=cell_size,
            num_iters=num_iters,
            compactness=compactness,
            temperature=temperature,
            color_space=color_space,
        )

    def forward(self, image: Tensor) -> Superpixels:
        return soft_slic(image, **self.options)
