"""The colours of the foreground, of an image and its matte."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._checks import (
    check_computable,
    check_count,
    check_device,
    check_finite,
    check_image,
    check_not_negative,
    check_positive,
    reads_values,
)

FN = "estimate_foreground"
# Mattes of the solver leave [0, 1] a little; further away it is another unit, such as 0 to 255.
_LOWEST, _HIGHEST = -1.0, 2.0
# The pixels on a side of the parts that a CPU works on. Two layers of them, F and B, have fewer than 32768 numbers:
# torch starts no threads for so few. To start them for some hundred thousand short steps costs more than they gain.
_SIDE, _SMALLEST_TILE = 127, 64
_LOWEST_EIGENVALUE = 0.02


@torch.no_grad()
def estimate_foreground(
    image: Tensor,
    alpha: Tensor,
    *,
    smoothness: float = 5e-3,
    gradient_weight: float = 0.1,
    num_iters: int = 10,
) -> Tensor:
    r"""The foreground's own colours F, where the image I is a mixture of F and a background B.

    At a soft edge, the colours of an image are mixtures, :math:`I = \alpha F + (1 - \alpha) B`. To place the foreground
    on another background, F is needed, or the old background shines through. F and B minimise, for each channel,

    .. math:: \sum_i \left(\alpha_i F_i + (1 - \alpha_i) B_i - I_i\right)^2 + \sum_{i \sim j}
        \left(\epsilon + \omega\,|\alpha_i - \alpha_j|\right) \left((F_i - F_j)^2 + (B_i - B_j)^2\right)

    over pixels i and pairs of neighbours. Jacobi steps with Chebyshev's weights start from the solution at half of the
    size, and that from its own half, down to one pixel. Then F and B are moved the shortest way to colours whose
    mixture is the image: F is the image where alpha is 1. Where alpha is 0, F continues the colours around.

    Args:
        image: I, ``(N, D, H, W)`` in [0, 1] or uint8.
        alpha: The matte of the foreground, ``(N, H, W)`` or ``(N, 1, H, W)``, in [0, 1] or uint8. It is clipped to
            [0, 1], which mattes of :func:`solve_matting` leave a little.
        smoothness: :math:`\epsilon` > 0. Larger values give F and B with less detail. Default 5e-3.
        gradient_weight: :math:`\omega` >= 0: more smoothness where alpha changes. Default 0.1.
        num_iters: Iterations at each size. Default 10.

    Returns:
        F, ``(N, D, H, W)`` in [0, 1]; float64 if the image is, float32 otherwise. The background B is
        ``estimate_foreground(image, 1 - alpha)``, or of ``255 - alpha`` in uint8. No gradient flows.

    Raises:
        TypeError: A wrong dtype.
        ValueError: A shape or device does not fit; the image is not in [0, 1]; alpha has NaN or is far outside [0, 1];
            an option is out of range.

    Reference:
        Germer, Uelwer, Conrad, Harmeling: Fast multi-level foreground estimation. ICPR 2020 (the energy, and solving it
        from coarse to fine).

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import estimate_foreground
        >>> alpha = torch.linspace(0, 1, 16).expand(1, 8, 16)
        >>> red, green = torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0])
        >>> image = alpha[:, None] * red[:, None, None] + (1 - alpha[:, None]) * green[:, None, None]
        >>> foreground = estimate_foreground(image, alpha)
        >>> image[0, :, 4, 8].tolist() != red.tolist()  # a mixture
        True
        >>> bool((foreground[0, :, 4, 8] - red).abs().max() < 0.1)
        True
    """
    image = check_image(FN, image)
    alpha = _check_alpha(image, alpha)
    smoothness = check_positive(FN, "smoothness", smoothness)
    gradient_weight = check_not_negative(FN, "gradient_weight", gradient_weight)
    num_iters = check_count(FN, "num_iters", num_iters, 1)
    if image.numel() == 0:
        return image
    options = (smoothness, gradient_weight, num_iters)
    if image.device.type != "cpu":
        return _foreground(image, alpha, *options)
    result = torch.empty_like(image)
    for n in range(image.shape[0]):
        for c in range(image.shape[1]):
            part = slice(n, n + 1), slice(c, c + 1)
            result[part] = _foreground(image[part], alpha[n : n + 1], *options)
    return result


def _foreground(image: Tensor, alpha: Tensor, smoothness: float, gradient_weight: float, num_iters: int) -> Tensor:
    """F of checked arguments."""
    foreground, background = _layers(image, alpha, smoothness, gradient_weight, num_iters)
    # The shortest way to colours whose mixture is the image.
    missing = image - alpha * foreground - (1 - alpha) * background
    return foreground.addcmul_(alpha / (alpha.square() + (1 - alpha).square()), missing).clamp_(0, 1)


def _check_alpha(image: Tensor, alpha: Tensor) -> Tensor:
    """``(N, 1, H, W)`` in [0, 1], in the image's dtype."""
    if not isinstance(alpha, Tensor):
        raise TypeError(f"{FN}: alpha must be a tensor (N, H, W), got {type(alpha).__name__}")
    check_computable(FN, "alpha", alpha)
    n, _, h, w = image.shape
    if alpha.shape not in ((n, h, w), (n, 1, h, w)):
        cure = ": pass alpha[None] for one image" if alpha.shape == (h, w) else ""
        if alpha.ndim == 4 and alpha.shape[0] == n and alpha.shape[2:] == (h, w):
            cure = ": pass the matte of one class, alpha[:, 1] for that of class 1"
        raise ValueError(
            f"{FN}: alpha must be (N, H, W) = ({n}, {h}, {w}), the size of the image, got shape "
            f"{tuple(alpha.shape)}{cure}"
        )
    check_device(FN, "alpha", alpha, image.device, of="image")
    alpha = alpha.reshape(n, 1, h, w)
    if alpha.dtype == torch.uint8:
        return alpha.to(image.dtype) / 255
    if not alpha.is_floating_point():
        raise TypeError(f"{FN}: alpha must be floating point in [0, 1] or uint8, got {alpha.dtype}")
    check_finite(FN, "alpha", alpha)
    if reads_values(alpha):
        low, high = (value.item() for value in torch.aminmax(alpha))
        if low < _LOWEST or high > _HIGHEST:
            cure = "divide by 255, or pass uint8" if low >= 0 and high <= 255 else "for logits pass their softmax"
            raise ValueError(f"{FN}: alpha must be in [0, 1], got values in [{low:.4g}, {high:.4g}]: {cure}")
    return alpha.to(image.dtype).clamp(0, 1)


def _pyramid(x: Tensor) -> list[Tensor]:
    """x ``(N, D, H, W)`` and its averages over half as many pixels on each side, down to one pixel."""
    levels = [x]
    while max(x.shape[2:]) > 1:
        h, w = x.shape[2:]
        x = F.adaptive_avg_pool2d(x, ((h + 1) // 2, (w + 1) // 2))
        levels.append(x)
    return levels


def _layers(image: Tensor, alpha: Tensor, smoothness: float, gradient_weight: float, num_iters: int) -> Tensor:
    """F and B, ``(2, N, D, H, W)``, of alpha ``(N, 1, H, W)``."""
    images, alphas = _pyramid(image), _pyramid(alpha)
    # At one pixel the mean colours; those of the whole image where there is no foreground or no background.
    weight = torch.stack([alpha, 1 - alpha]) + 1e-4
    x = (weight * image).sum((3, 4), keepdim=True) / weight.sum((3, 4), keepdim=True)
    for small, a in zip(reversed(images[:-1]), reversed(alphas[:-1]), strict=True):
        n, _, h, w = small.shape
        x = F.interpolate(x.flatten(0, 1), (h, w), mode="bilinear", align_corners=False).unflatten(0, (2, n))
        x = _by_tiles(small, a, x, smoothness, gradient_weight, num_iters)
    return x


def _by_tiles(
    image: Tensor, alpha: Tensor, x: Tensor, smoothness: float, gradient_weight: float, num_iters: int
) -> Tensor:
    """``_relax`` of parts that fit into the cache. A pixel depends on those up to ``num_iters`` pixels away."""
    h, w = image.shape[2:]
    if image.device.type != "cpu" or max(h, w) <= _SIDE:
        return _relax(image, alpha, x, smoothness, gradient_weight, num_iters)
    tile = max(_SIDE - 2 * num_iters, _SMALLEST_TILE)
    result = torch.empty_like(x)
    for top in range(0, h, tile):
        for left in range(0, w, tile):
            y, z = max(top - num_iters, 0), max(left - num_iters, 0)
            part = (..., slice(y, top + tile + num_iters), slice(z, left + tile + num_iters))
            relaxed = _relax(image[part], alpha[part], x[part], smoothness, gradient_weight, num_iters)
            result[..., top : top + tile, left : left + tile] = relaxed[
                ..., top - y : top - y + tile, left - z : left - z + tile
            ]
    return result


def _relax(
    image: Tensor, alpha: Tensor, x: Tensor, smoothness: float, gradient_weight: float, num_iters: int
) -> Tensor:
    """Chebyshev's semi-iteration of Jacobi steps from x ``(2, N, D, h, w)``, which stays unchanged."""
    mixture = torch.stack([alpha, 1 - alpha])
    right = smoothness + gradient_weight * alpha.diff(dim=3).abs()
    down = smoothness + gradient_weight * alpha.diff(dim=2).abs()
    degree = _neighbours(torch.ones_like(alpha), right, down)
    scale = 1 / (degree + mixture.square().sum(0))
    degree = 1 / degree
    x = x.contiguous().clone()
    change = torch.zeros_like(x)
    # The eigenvalues of the steps are in (0, 2]. The components with the lowest ones are solved at the smaller sizes.
    middle, half = (2 + _LOWEST_EIGENVALUE) / 2, (2 - _LOWEST_EIGENVALUE) / 2
    before = half / middle
    for step in range(num_iters):
        # The pair (F, B) of each pixel that is best for these neighbours.
        best = _neighbours(x, right, down).mul_(degree)
        missing = (image - mixture[0] * best[0]).addcmul_(mixture[1], best[1], value=-1)
        best.addcmul_(mixture, missing.mul_(scale))
        rho = 1 / (2 * middle / half - before) if step else before
        factor = 2 * rho / half if step else 1 / middle
        change.mul_(rho * before).add_(best.sub_(x), alpha=factor)
        x.add_(change)
        before = rho
    return x.clamp_(0, 1)


def _neighbours(x: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """The weighted sum of the four neighbours in x ``(..., h, w)``."""
    total = torch.zeros_like(x)
    total[..., :-1].addcmul_(right, x[..., 1:])
    total[..., 1:].addcmul_(right, x[..., :-1])
    total[..., :-1, :].addcmul_(down, x[..., 1:, :])
    total[..., 1:, :].addcmul_(down, x[..., :-1, :])
    return total
