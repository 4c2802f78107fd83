"""Soft superpixels as a module."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from closedform_wsss.functional.soft_slic import soft_slic


class SoftSLIC(nn.Module):
    """:func:`closedform_wsss.functional.soft_slic` with its options kept.

    Args:
        cell_size, num_iters, compactness, temperature, color_space: As there.

    Shape:
        image ``(N, D, H, W)`` -> q ``(N, 9, H, W)``.

    Raises:
        TypeError, ValueError: As there, when called.

    Example:
        >>> import torch
        >>> SoftSLIC(cell_size=8)(torch.rand(1, 3, 32, 40)).shape
        torch.Size([1, 9, 32, 40])
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
        super().__init__()
        self.cell_size = cell_size
        self.num_iters = num_iters
        self.compactness = compactness
        self.temperature = temperature
        self.color_space = color_space

    def forward(self, image: Tensor) -> Tensor:
        return soft_slic(
            image,
            cell_size=self.cell_size,
            num_iters=self.num_iters,
            compactness=self.compactness,
            temperature=self.temperature,
            color_space=self.color_space,
        )

    def extra_repr(self) -> str:
        names = ("cell_size", "num_iters", "compactness", "temperature", "color_space")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
