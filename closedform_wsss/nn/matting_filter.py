"""The matting filter as a module."""

from __future__ import annotations

from torch import Tensor, nn

from closedform_wsss.functional.matting_filter import matting_filter
from closedform_wsss.laplacian import Kind


class MattingFilter(nn.Module):
    """:func:`closedform_wsss.functional.matting_filter` with its options kept.

    Args:
        mark_weight, fidelity, kind, eps, radius, tol, max_iter, ignore_index: As there.

    Shape:
        x ``(N, C, H, W)``, image ``(N, D, H', W')``, optionally target ``(N, H'', W'')`` -> ``(N, C, H, W)``.

    Raises:
        TypeError, ValueError: As there, when called.

    Example:
        >>> import torch
        >>> MattingFilter(fidelity=0.01)(torch.rand(1, 2, 24, 32), torch.rand(1, 3, 48, 64)).shape
        torch.Size([1, 2, 24, 32])
    """

    def __init__(
        self,
        *,
        mark_weight: float = 10.0,
        fidelity: float = 3e-3,
        kind: Kind = "closed_form",
        eps: float = 1e-6,
        radius: int = 1,
        tol: float = 1e-3,
        max_iter: int = 2000,
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        self.mark_weight = mark_weight
        self.fidelity = fidelity
        self.kind: Kind = kind
        self.eps = eps
        self.radius = radius
        self.tol = tol
        self.max_iter = max_iter
        self.ignore_index = ignore_index

    def forward(self, x: Tensor, image: Tensor, target: Tensor | None = None) -> Tensor:
        return matting_filter(
            x,
            image,
            target=target,
            mark_weight=self.mark_weight,
            fidelity=self.fidelity,
            kind=self.kind,
            eps=self.eps,
            radius=self.radius,
            tol=self.tol,
            max_iter=self.max_iter,
            ignore_index=self.ignore_index,
        )

    def extra_repr(self) -> str:
        names = ("mark_weight", "fidelity", "kind", "eps", "radius", "tol", "max_iter", "ignore_index")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
