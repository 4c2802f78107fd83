"""Matting Laplacians of any window size, by box sums: for windows of radius 2 and more, and images below 3 pixels.

In window k a ridge regression fits x by b_k + a_k . I (formulas: csrc/common/matting_window.h), and
    (L x)_i = sum over windows k that contain i of  x_i - (a_k . I_i + b_k).
The cost of a product is nearly independent of the radius. The closed form has the regression of the guided filter (He
et al., ECCV 2010),
    a_k = (S_k + eps/n)^-1 cov_k(I, x),   b_k = mean_k(x) - a_k . mu_k.
The learning-based one also penalises b_k. Its cost is |(1 - H) x|^2; with M = X^T X + E and w = M^-1 X^T x,
    (1 - H)^2 x = x - X (w + M^-1 E w).
Plain PyTorch in float64 on any device: the covariances are differences of large numbers, too inexact in float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._common.matting_window import backward_substitute, dot, factor_ldl, forward_substitute


def _sum_of_shifts(maps: Tensor, size: int) -> Tensor:
    """Sums of ``size`` neighbouring rows, from sums of half as many."""
    if size == 1:
        return maps
    rows, half = maps.shape[-2] - size + 1, size // 2
    sums = _sum_of_shifts(maps, half)
    total = sums[..., :rows, :] + sums[..., half : half + rows, :]
    return total + maps[..., size - 1 :, :] if size % 2 else total


def windows_per_pixel(like: Tensor, radius: int) -> Tensor:
    """The number of windows that contain a pixel, ``(1, 1, H, W)``, for maps ``(N, C, H, W)``."""

    def along(size: int) -> Tensor:
        window = min(2 * radius + 1, size)
        i = torch.arange(size, device=like.device)
        return i.clamp_max(size - window) - (i - window + 1).clamp_min(0) + 1

    return (along(like.shape[-2])[:, None] * along(like.shape[-1])).to(like.dtype)[None, None]


class WindowOperator:
    """L of an image ``(N, D, H, W)``. Where the image is smaller than a window, the window is cut to its size."""

    def __init__(self, image: Tensor, eps: float, radius: int, learning_based: bool) -> None:
        self.dtype = image.dtype
        image = image.double()
        _, d, h, w = image.shape
        self.window = (min(2 * radius + 1, h), min(2 * radius + 1, w))
        self.size = self.window[0] * self.window[1]
        self.eps = eps / self.size
        self.learning_based = learning_based
        self.count = windows_per_pixel(image, radius)
        # Centred colours lose fewer digits in the covariances.
        shift = image.mean((2, 3), keepdim=True)
        self.image = image - shift
        self.mean = self._box_mean(self.image)
        # The windows' means of the colours as given.
        self.colour = [mu[:, None] for mu in (self.mean + shift).unbind(1)]
        channels = self.image.unbind(1)
        means = self.mean.unbind(1)
        covariance = [
            [self._box_mean((channels[a] * channels[b])[:, None])[:, 0] - means[a] * means[b] for b in range(a + 1)]
            for a in range(d)
        ]
        for a in range(d):
            covariance[a][a] = covariance[a][a] + self.eps
            for b in range(a + 1 if learning_based else 0):  # the Schur complement of the penalised constant
                term = self.eps / (1 + self.eps) * self.colour[a] * self.colour[b]
                covariance[a][b] = covariance[a][b] + term[:, 0]
        lower, pivots = factor_ldl(covariance)
        # Factors (N, 1, H', W') broadcast over classes.
        self.lower = [[v[:, None] for v in row] for row in lower]
        self.pivots = [v[:, None] for v in pivots]

    def _box_mean(self, maps: Tensor) -> Tensor:
        """Pixels ``(N, K, H, W)`` -> windows ``(N, K, H - h + 1, W - w + 1)``."""
        h, w = self.window
        # On the CPU torch's pooling takes four times as long, and longer with every row of a window. ONNX Runtime, for
        # which a program may be exported, has none in float64.
        if maps.device.type == "cpu" or torch.compiler.is_compiling():
            return _sum_of_shifts(_sum_of_shifts(maps, h).mT, w).mT / self.size
        return F.avg_pool2d(F.avg_pool2d(maps, (h, 1), 1), (1, w), 1)

    def _box_sum_transposed(self, maps: Tensor) -> Tensor:
        """Windows -> pixels: the sum over the windows that contain a pixel."""
        h, w = self.window
        return self.size * self._box_mean(F.pad(maps, (w - 1, w - 1, h - 1, h - 1)))

    def _solve(self, covariances: list[Tensor]) -> list[Tensor]:
        u = forward_substitute(self.lower, covariances)
        return backward_substitute(self.lower, [v / d for v, d in zip(u, self.pivots, strict=True)])

    def _regress(self, mean: Tensor, covariances: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """M^-1 [mean, covariances] with a penalised constant: the constant (for centred colours) and the slopes."""
        e = self.eps
        slopes = self._solve([v + e / (1 + e) * mu * mean for v, mu in zip(covariances, self.colour, strict=True)])
        return (mean + e * dot(self.colour, slopes)) / (1 + e), slopes

    def _fit(self, mean: Tensor, covariances: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """b and a ``(N, C, H', W')`` of the fit b + a . (I - mu) that L subtracts from x, from the mean of x and its
        covariances with the colours."""
        if not self.learning_based:
            return mean, self._solve(covariances)
        constant, slopes = self._regress(mean, covariances)
        offset = self.eps * (constant - dot(self.colour, slopes))
        penalties = [self.eps * a - mu * offset for a, mu in zip(slopes, self.colour, strict=True)]
        more, more_slopes = self._regress(offset, penalties)
        return constant + more, [a + b for a, b in zip(slopes, more_slopes, strict=True)]

    def product(self, x: Tensor, data_weight: Tensor | None = None) -> Tensor:
        """L x + data_weight x for x ``(N, C, H, W)``, data_weight ``(N, H, W)``."""
        if x.numel() == 0:
            return x.to(self.dtype)
        y = x.double()
        if not self.learning_based:
            y = y - y[:, :, :1, :1]  # constants vanish exactly
        channels, means = self.image.split(1, 1), self.mean.split(1, 1)
        mean = self._box_mean(y)
        constant, slopes = self._fit(
            mean, [self._box_mean(y * v) - mean * mu for v, mu in zip(channels, means, strict=True)]
        )
        y = self.count * y - self._box_sum_transposed(constant - dot(slopes, means))
        for a, channel in zip(slopes, channels, strict=True):
            y = y - self._box_sum_transposed(a) * channel
        y = y.to(self.dtype)
        return y if data_weight is None else y + data_weight[:, None] * x

    def _centred(self, y: int, x: int) -> list[Tensor]:
        """I - mu ``(N, 1, H', W')`` of the pixel at (y, x) in every window."""
        h, w = self.mean.shape[-2:]
        return list((self.image[:, :, y : y + h, x : x + w] - self.mean).split(1, 1))

    def _column(self, centred: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The fit to x = 1 at one pixel of every window, 0 elsewhere: a column of the windows' blocks."""
        return self._fit(torch.ones_like(self.mean[:, :1]) / self.size, [v / self.size for v in centred])

    def _offsets(self) -> list[tuple[int, int]]:
        return [(y, x) for y in range(self.window[0]) for x in range(self.window[1])]

    def diagonal(self) -> Tensor:
        """``(N, 1, H, W)``."""
        h, w = self.mean.shape[-2:]
        total = torch.zeros_like(self.image[:, :1])
        for y, x in self._offsets():
            centred = self._centred(y, x)
            constant, slopes = self._column(centred)
            total[:, :, y : y + h, x : x + w] += 1 - constant - dot(slopes, centred)
        return total.to(self.dtype)

    def entries(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, columns and values (float64) of image n; duplicate pairs, from several windows, must be summed."""
        h, w = self.image.shape[-2:]
        hk, wk = self.mean.shape[-2:]
        index = torch.arange(h * w, device=self.image.device).view(h, w)
        offsets = self._offsets()
        pixels = [index[y : y + hk, x : x + wk] for y, x in offsets]
        centred = [self._centred(y, x) for y, x in offsets]
        rows, columns, values = [], [], []
        for p, of_p in enumerate(centred):
            constant, slopes = self._column(of_p)
            for q, of_q in enumerate(centred):
                rows.append(pixels[q].reshape(-1))
                columns.append(pixels[p].reshape(-1))
                values.append((float(p == q) - constant - dot(slopes, of_q))[n].reshape(-1))
        return torch.cat(rows), torch.cat(columns), torch.cat(values)
