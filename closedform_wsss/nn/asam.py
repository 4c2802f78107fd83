"""ASAM as a module."""

from __future__ import annotations

from torch import Tensor, nn

from closedform_wsss.functional.asam import asam


class ASAM(nn.Module):
    """:func:`closedform_wsss.functional.asam` with its options kept.

    Args:
        cell_size, num_iters, restart, tol: As there.

    Shape:
        cam ``(N, C, h', w')``, q ``(N, 9, H, W)``, class_present ``(N, C)`` or None -> ``(N, C, H, W)``.

    Raises:
        TypeError, ValueError: As there, when called.

    Example:
        >>> import torch
        >>> from closedform_wsss.nn import SoftSLIC
        >>> image, cam = torch.rand(1, 3, 64, 64), torch.rand(1, 2, 8, 8)
        >>> ASAM(cell_size=8)(cam, SoftSLIC(cell_size=8)(image)).shape
        torch.Size([1, 2, 64, 64])
    """

    def __init__(
        self, *, cell_size: int = 16, num_iters: int = 20, restart: float = 0.0, tol: float | None = None
    ) -> None:
        super().__init__()
        self.cell_size = cell_size
        self.num_iters = num_iters
        self.restart = restart
        self.tol = tol

    def forward(self, cam: Tensor, q: Tensor, class_present: Tensor | None = None) -> Tensor:
        return asam(
            cam,
            q,
            cell_size=self.cell_size,
            num_iters=self.num_iters,
            restart=self.restart,
            tol=self.tol,
            class_present=class_present,
        )

    def extra_repr(self) -> str:
        return f"cell_size={self.cell_size}, num_iters={self.num_iters}, restart={self.restart}, tol={self.tol}"
