"""y = W x on a lattice; the reference implementation of ``csrc/cpu/lattice_filter.cpp``."""

from __future__ import annotations

from torch import Tensor


def lattice_filter(
    x: Tensor,
    indices: Tensor,
    weights: Tensor,
    neighbours: Tensor,
    transposed: bool,
) -> Tensor:
    """W x for x ``(N, P, C)``, or W^T x: splat to the rows of the lattice, blur along each axis, slice."""
    n, p, k = indices.shape
    c, r = x.shape[2], neighbours.shape[2]
    rows = indices.long().flatten(1)
    spread = (weights[..., None] * x[:, :, None]).flatten(1, 2)
    v = x.new_zeros(n, r, c).scatter_add_(1, rows[..., None].expand(-1, -1, c), spread)
    axes = range(neighbours.shape[1])
    for axis in axes[::-1] if transposed else axes:
        before, behind = (
            v.gather(1, neighbours[:, axis, :, side].long()[..., None].expand(-1, -1, c)) for side in (0, 1)
        )
        v = v / 2 + (before + behind) / 4
    around = v.gather(1, rows[..., None].expand(-1, -1, c)).view(n, p, k, c)
    return (weights[..., None] * around).sum(2)
