"""The operators of the solver's coarse levels, in blocks (csrc/common/block_layout.h). They write into memory of the
caller. None has a gradient."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss import _reference
from closedform_wsss._ops._define import define, launch

# --- block_product: y = A x -------------------------------------------------------------------------------------------


def _block_product(matrix: Tensor, offsets: Tensor, starts: Tensor, neighbours: Tensor, x: Tensor, y: Tensor) -> None:
    launch("block_product", x, matrix, offsets, starts, neighbours, x, y, len(neighbours), x.shape[1])


block_product = define(
    "block_product",
    "(Tensor matrix, Tensor offsets, Tensor starts, Tensor neighbours, Tensor x, Tensor(a!) y) -> ()",
    _block_product,
    _reference.block_product,
    lambda *_: None,
)


# --- block_relax: a sweep of Gauss-Seidel over A z = r ----------------------------------------------------------------


def _block_relax(
    matrix: Tensor,
    offsets: Tensor,
    starts: Tensor,
    neighbours: Tensor,
    order: Tensor,
    ends: Tensor,
    r: Tensor,
    z: Tensor,
    backward: bool,
) -> None:
    launch("block_relax", z, matrix, offsets, starts, neighbours, order, ends, r, z, z.shape[1], backward)


block_relax = define(
    "block_relax",
    "(Tensor matrix, Tensor offsets, Tensor starts, Tensor neighbours, Tensor order, Tensor ends, Tensor r,"
    " Tensor(a!) z, bool backward) -> ()",
    _block_relax,
    _reference.block_relax,
    lambda *_: None,
)
