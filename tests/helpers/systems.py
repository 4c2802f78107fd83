"""Systems (L + D) x = b on whole maps, for the tests of the kernels that solve them."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss import _ops, _reference


def stencil_system(
    size: tuple[int, int],
    classes: int = 3,
    dtype: torch.dtype = torch.float64,
    n: int = 2,
    learning_based: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Stencil, diagonal, weights, b and start. The diagonal is that of D, the weights, and, of the learning-based L, of
    its rows' sums."""
    stencil, row_sums = _ops.matting_stencil(torch.rand(n, 3, *size, dtype=dtype), 1e-4, learning_based)
    weight = torch.where(torch.rand(n, *size) < 0.1, 10.0, 0.03).to(dtype)
    diagonal = weight + row_sums if learning_based else weight
    b, start = torch.randn(n, classes, *size, dtype=dtype), torch.rand(n, classes, *size, dtype=dtype)
    return stencil, diagonal, weight, b, start


def dense_system(stencil: Tensor, diagonal: Tensor, size: tuple[int, int]) -> Tensor:
    """L + D of the first image as a matrix, column by column."""
    pixels = size[0] * size[1]
    columns = torch.eye(pixels, dtype=stencil.dtype).view(1, pixels, *size)
    return _reference.matting_product(stencil[:1], columns, diagonal[:1]).view(pixels, pixels).T
