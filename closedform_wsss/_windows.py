"""The matting Laplacian of any window size, without a stencil: windows of radius 2 and more, and images below 3 pixels.

In window k the closed-form matte is the ridge regression of x on the colours (Levin et al., PAMI 2008; He et al., ECCV
2010 call it a guided filter), a_k = (S_k + eps/n)^-1 cov_k(I, x), b_k = mean_k(x) - a_k . mu_k, and
    (L x)_i = sum over windows k that contain i of  x_i - (a_k . I_i + b_k),
with box sums only: the cost of a product hardly grows with the radius. Plain PyTorch in float64 on any device: here
covariances are differences of large numbers, which float32 does not carry.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._reference.matting_window import backward_substitute, factor_ldl, forward_substitute


class WindowOperator:
    """L of an image ``(N, D, H, W)``. A window is as large as the image where the image is smaller than a window."""

    def __init__(self, image: Tensor, eps: float, radius: int) -> None:
        self.dtype = image.dtype
        image = image.double()
        _, d, h, w = image.shape
        self.window = (min(2 * radius + 1, h), min(2 * radius + 1, w))
        self.size = self.window[0] * self.window[1]
        # Only differences of colours matter; small numbers lose fewer digits in the covariances.
        self.image = image - image.mean((2, 3), keepdim=True)
        self.mean = self._box_mean(self.image)
        channels = self.image.unbind(1)
        means = self.mean.unbind(1)
        covariance = [
            [self._box_mean((channels[a] * channels[b])[:, None])[:, 0] - means[a] * means[b] for b in range(a + 1)]
            for a in range(d)
        ]
        for a in range(d):
            covariance[a][a] = covariance[a][a] + eps / self.size
        self.lower, self.pivots = factor_ldl(covariance)

    def _box_mean(self, maps: Tensor) -> Tensor:
        """Pixels ``(N, K, H, W)`` -> windows ``(N, K, H - h + 1, W - w + 1)``."""
        h, w = self.window
        return F.avg_pool2d(F.avg_pool2d(maps, (h, 1), 1), (1, w), 1)

    def _box_sum_transposed(self, maps: Tensor) -> Tensor:
        """Windows -> pixels: the sum over the windows that contain a pixel."""
        h, w = self.window
        return self.size * self._box_mean(F.pad(maps, (w - 1, w - 1, h - 1, h - 1)))

    def _solve(self, covariances: list[Tensor]) -> list[Tensor]:
        u = forward_substitute(self.lower, covariances)
        return backward_substitute(self.lower, [v / d for v, d in zip(u, self.pivots, strict=True)])

    def product(self, x: Tensor, confidence: Tensor | None) -> Tensor:
        """L x + confidence x for x ``(N, C, H, W)``, confidence ``(N, H, W)``."""
        if x.numel() == 0:
            return x.to(self.dtype)
        y = x.double()
        y = y - y[:, :, :1, :1]  # constants vanish exactly
        channels = self.image.unbind(1)
        mean = self._box_mean(y)
        covariances = []
        for channel, mu in zip(channels, self.mean.unbind(1), strict=True):
            covariances.append((self._box_mean(y * channel[:, None]) - mean * mu[:, None]).transpose(0, 1))
        # Class first, so that the factors (N, H', W') broadcast over it.
        slopes = [a.transpose(0, 1) for a in self._solve(covariances)]
        offset = mean - sum(a * mu[:, None] for a, mu in zip(slopes, self.mean.unbind(1), strict=True))
        count = self._box_sum_transposed(torch.ones_like(self.mean[:, :1]))
        y = count * y - self._box_sum_transposed(offset)
        for a, channel in zip(slopes, channels, strict=True):
            y = y - self._box_sum_transposed(a) * channel[:, None]
        y = y.to(self.dtype)
        return y if confidence is None else y + confidence[:, None] * x

    def _whitened(self, y: int, x: int) -> list[Tensor]:
        """u = L^-1 (I_i - mu_k) of the pixel at (y, x) in every window."""
        h, w = self.mean.shape[-2:]
        centred = self.image[:, :, y : y + h, x : x + w] - self.mean
        return forward_substitute(self.lower, list(centred.unbind(1)))

    def _offsets(self) -> list[tuple[int, int]]:
        return [(y, x) for y in range(self.window[0]) for x in range(self.window[1])]

    def diagonal(self) -> Tensor:
        """``(N, 1, H, W)``: sum over the windows of 1 - 1/n - u^T diag(d)^-1 u / n."""
        h, w = self.mean.shape[-2:]
        total = torch.zeros_like(self.image[:, 0])
        for y, x in self._offsets():
            square = sum(u * u / d for u, d in zip(self._whitened(y, x), self.pivots, strict=True))
            total[:, y : y + h, x : x + w] += 1 - (1 + square) / self.size
        return total[:, None].to(self.dtype)

    def entries(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, columns and values (float64) of image n; entries of several windows on one pair are to be added."""
        h, w = self.image.shape[-2:]
        offsets = self._offsets()
        u = torch.stack([torch.stack([v[n] for v in self._whitened(y, x)], -1) for y, x in offsets], -2)
        pivots = torch.stack([d[n] for d in self.pivots], -1)
        blocks = -(1 + (u / pivots[..., None, :]) @ u.transpose(-1, -2)) / self.size
        blocks = blocks + torch.eye(self.size, dtype=blocks.dtype, device=blocks.device)
        index = torch.arange(h * w, device=u.device).view(h, w)
        hk, wk = self.mean.shape[-2:]
        pixels = torch.stack([index[y : y + hk, x : x + wk] for y, x in offsets], -1)
        rows = pixels[..., :, None].expand_as(blocks)
        columns = pixels[..., None, :].expand_as(blocks)
        return rows.reshape(-1), columns.reshape(-1), blocks.reshape(-1)
