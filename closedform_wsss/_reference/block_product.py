"""y = A x in blocks: the reference of ``csrc/cpu/block_product.cpp``."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss._common.block_layout import assemble


def block_product(matrix: Tensor, offsets: Tensor, starts: Tensor, neighbours: Tensor, x: Tensor, y: Tensor) -> None:
    """Write A x, x ``(F, C)``, into y ``(F, C)``."""
    y.copy_(assemble(matrix, offsets, starts, neighbours) @ x)
