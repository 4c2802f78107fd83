"""The matting filter as a module."""

from __future__ import annotations

from torch import Tensor, nn

from closedform_wsss.functional.matting_filter import matting_filter
from closedform_wsss.laplacian import Kind


class MattingFilter(nn.Module):
    """:func:`closedform_wsss.functional.matting_filter` with its options kept.

    Args:
        strength, eps, radius, tol, max_iter: As there.

    Shape:
        x ``(N, C, H, W)``, image ``(N, D, H', W')`` -> ``(N, C, H, W)``.

    Raises:
        TypeError, ValueError: As there, when called.

    Example:
        >>> import torch
        >>> MattingFilter(strength=0.01)(torch.rand(1, 2, 24, 32), torch.rand(1, 3, 48, 64)).shape
        torch.Size([1, 2, 24, 32])
    """

    def __init__(
        self,
        *,
        strength: float = 3e-3,
        laplacian: Kind = "closed_form",
        eps: float = 1e-6,
        radius: int = 1,
        tol: float = 1e-3,
        max_iter: int = 2000,
    ) -> None:
        super().__init__()
        self.strength = strength
        self.laplacian: Kind = laplacian
        self.eps = eps
        self.radius = radius
        self.tol = tol
        self.max_iter = max_iter

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        return matting_filter(
            x,
            image,
            strength=self.strength,
            laplacian=self.laplacian,
            eps=self.eps,
            radius=self.radius,
            tol=self.tol,
            max_iter=self.max_iter,
        )

    def extra_repr(self) -> str:
        names = ("strength", "laplacian", "eps", "radius", "tol", "max_iter")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
