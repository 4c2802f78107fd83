"""A matting Laplacian of 3 x 3 windows as a 25-tap stencil: the fast path."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss._common.stencil_layout import TAPS, stencil_planes


class StencilOperator:
    """L of an image ``(N, D, H, W)``, H and W at least 3."""

    def __init__(self, image: Tensor, eps: float, learning_based: bool) -> None:
        self.width = image.shape[-1]
        self.stencil, row_sums = _ops.matting_stencil(image, eps, learning_based)
        # L 1 ``(N, H, W)``, or None where that is zero.
        self.row_sums: Tensor | None = row_sums if learning_based else None

    def product(self, x: Tensor, data_weight: Tensor | None = None) -> Tensor:
        """L x + data_weight x for x ``(N, C, H, W)``, data_weight ``(N, H, W)``."""
        diagonal = self.row_sums
        if diagonal is not None and data_weight is not None:
            diagonal = diagonal + data_weight
        y: Tensor = _ops.matting_product(self.stencil, x, data_weight if diagonal is None else diagonal)
        return y

    def diagonal(self) -> Tensor:
        """``(N, 1, H, W)``: the sum of each row minus its off-diagonal entries."""
        planes = stencil_planes(self.stencil, self.width).double()
        h, w = planes.shape[-2:]
        total = planes.sum(1)
        for k, (dy, dx) in enumerate(TAPS):
            own = planes[:, k, : h - dy, max(-dx, 0) : w - max(dx, 0)]
            total[:, dy:, max(dx, 0) : w + min(dx, 0)] += own
        if self.row_sums is not None:
            total = total - self.row_sums
        return -total[:, None].to(self.stencil.dtype)

    def entries(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, columns and values (float64) of image n."""
        planes = stencil_planes(self.stencil[n : n + 1], self.width)[0].double()
        _, h, w = planes.shape
        index = torch.arange(h * w, device=planes.device).view(h, w)
        rows, columns, values = [], [], []
        for k, (dy, dx) in enumerate(TAPS):
            inside = (slice(0, h - dy), slice(max(-dx, 0), w - max(dx, 0)))
            rows.append(index[inside].reshape(-1))
            columns.append(rows[-1] + dy * w + dx)
            values.append(planes[k][inside].reshape(-1))
        i, j, v = torch.cat(rows), torch.cat(columns), torch.cat(values)
        diagonal = torch.zeros(h * w, dtype=torch.float64, device=planes.device)
        diagonal.index_add_(0, i, -v).index_add_(0, j, -v)
        if self.row_sums is not None:
            diagonal += self.row_sums[n].flatten()
        own = index.reshape(-1)
        return torch.cat([i, j, own]), torch.cat([j, i, own]), torch.cat([v, v, diagonal])
