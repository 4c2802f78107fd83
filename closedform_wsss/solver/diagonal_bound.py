"""A diagonal matrix B with x^T L x <= x^T B x: how far a damped Jacobi step may go.

The number of windows that contain a pixel is such a bound, for the matrix of a window has no eigenvalue above 1. It is
far too large where a pixel alone has another colour than its neighbours: the indicator of that pixel is affine in
colour in each window, so L_ii is nearly zero there, but for eps. Damped by the number of windows, Jacobi would
leave such a pixel as it is, and no coarse basis function is as small as a pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._common.stencil_layout import TAPS, stencil_planes
from closedform_wsss.laplacian.stencil import StencilOperator

# A pixel is loose if L_ii is below this share of its windows. It is 5/9 on average.
LOOSE = 0.1
SMALLEST = 1e-12  # of L_ii: divisors


def diagonal_bound(operator: StencilOperator, windows: Tensor) -> Tensor:
    """B, like ``windows``, the number of windows of each pixel: ``(N, 1, H, W)``.

    With r_ij = |L_ij| / sqrt(L_ii L_jj), 2 |L_ij x_i x_j| <= r_ij (L_ii x_i^2 + L_jj x_j^2). So with S the loose pixels

        B_ii = L_ii (1 + sum_j r_ij)                      for i in S,
        B_jj = windows_j + L_jj sum_{i in S} r_ij         for the others.
    """
    diagonal = operator.diagonal()
    _, _, h, w = diagonal.shape
    loose = (diagonal < LOOSE * windows)[:, 0]
    n, y, x = loose.nonzero(as_tuple=True)
    planes, root = stencil_planes(operator.stencil, operator.width), diagonal[:, 0].clamp_min(SMALLEST).sqrt()
    own = root[n, y, x]
    bound = windows.expand_as(diagonal).clone()
    of_loose = own.clone()
    for k, (dy, dx) in enumerate(TAPS):
        for sign in (1, -1):
            row, column = y + sign * dy, x + sign * dx
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            row, column = row.clamp(0, h - 1), column.clamp(0, w - 1)
            entry = planes[n, k, y, x] if sign == 1 else planes[n, k, row, column]
            entry = torch.where(inside, entry.abs(), 0)
            other = root[n, row, column]
            of_loose += entry / other
            # Two loose pixels share what couples them, and B is set anew for both below.
            bound[:, 0].index_put_((n, row, column), entry * other / own, accumulate=True)
    bound[:, 0].index_put_((n, y, x), own * of_loose)
    return bound
