"""Calibrate class activation maps: one threshold that suits all of them."""

from __future__ import annotations

import math
import numbers
from typing import Any

import torch
from torch import Tensor

from closedform_wsss._checks import as_compute_dtype, check_image, check_maps, check_unit_range
from closedform_wsss._resize import resize_image
from closedform_wsss._scatter_sums import scatter_sums

FN = "calibrate_cam"
# The thresholds that are scored. CAMs are divided by their maximum, so the borders of objects lie in this range.
LOWEST, HIGHEST, NUM_LEVELS = 0.2, 0.7, 41
# Added to the length of every contour, so that a short sharp one does not win.
MIN_PAIRS = 10
BORDER_WEIGHT = 0.5
SHARPNESS = 2.0


def calibrate_cam(cam: Tensor, image: Tensor, *, level: float = 0.4) -> Tensor:
    r"""Calibrate each class activation map so that its best threshold is the same for all.

    The best threshold of a CAM differs from image to image. This function estimates it for each map from the image,
    and changes the values of the map so that this threshold becomes ``level``. It scores 41 thresholds t from 0.2 to
    0.7 by

    .. math::
        \kappa(t) &= \frac{1}{|E_t| + 10} \sum_{(p, q) \in E_t} \lVert I_p - I_q \rVert
            && \text{contrast along the contour } E_t \text{, the neighbours that } t \text{ separates} \\
        \sigma(t) &= \omega (1 - \omega) (\mu_1 - \mu_0)^2
            && \text{Otsu's variance between the two sides} \\
        \beta(t) &= \text{fraction of the pixels on the image's border that lie inside.}

    Each score is standardised over the thresholds, and :math:`z = z_\kappa + z_\sigma - \frac{1}{2} z_\beta`. The
    estimate :math:`t^*` is the mean threshold with the softmax of 2 z as weights. Then

    .. math:: m' = m^\gamma, \qquad \gamma = \log \text{level} / \log t^*,

    which keeps 0, 1 and the order of values, and moves :math:`t^*` to ``level``. Gradients flow through m, not through
    :math:`t^*`.

    Args:
        cam: ``(N, C, H, W)`` in [0, 1], differentiable. Half precision is computed in float32. Filter smooth CAMs
            first, since their contours follow no edge: :func:`refine_cam` does both.
        image: ``(N, D, H', W')`` in [0, 1] or uint8; resized to the CAM by antialiased bilinear interpolation.
        level: The threshold to use afterwards, in (0, 1). Default 0.4.

    Returns:
        ``(N, C, H, W)`` in [0, 1]; float64 if cam is, float32 otherwise.

    Raises:
        TypeError: A wrong dtype.
        ValueError: A shape or device does not fit; the image or cam is not in [0, 1]; ``level`` is out of range.

    Reference:
        Otsu: A threshold selection method from gray-level histograms. IEEE Trans. SMC 1979 (:math:`\sigma`). The rest
        is this library's.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import calibrate_cam
        >>> image = torch.zeros(1, 3, 32, 32)
        >>> image[..., 8:24, 8:24] = 1.0  # a white square
        >>> cam = 0.1 + 0.5 * image[:, :1]  # that nowhere gets beyond 0.6
        >>> bool(((calibrate_cam(cam, image) > 0.4) == (image[:, :1] > 0)).all())
        True
    """
    image = check_image(FN, image)
    cam = check_maps(FN, "cam", cam, image.shape[0], image.device)
    check_level(FN, level)
    check_unit_range(FN, "cam", cam)
    cam = as_compute_dtype(cam).clamp(0, 1)
    if cam.numel() == 0:
        return cam
    return calibrated(cam, resize_image(image.to(cam.dtype), (cam.shape[2], cam.shape[3])), float(level))


def calibrated(cam: Tensor, image: Tensor, level: float) -> Tensor:
    """The same of arguments that the caller has checked, of one size."""
    gamma = math.log(level) / best_level(cam.detach(), image).log()
    # The derivative of a power below 1 is infinite at 0, so zeros are left out.
    positive = cam > 0
    return torch.where(positive, torch.where(positive, cam, 1) ** gamma[:, :, None, None], 0)


def check_level(fn: str, level: Any) -> None:
    """A number in (0, 1)."""
    if isinstance(level, bool) or not isinstance(level, numbers.Real) or not 0 < float(level) < 1:
        raise ValueError(f"{fn}: level must be a number in (0, 1), got {level!r}")


def best_level(cam: Tensor, image: Tensor) -> Tensor:
    """t* ``(N, C)`` of maps ``(N, C, H, W)`` on an image of the same size."""
    n, c = cam.shape[:2]
    levels = torch.linspace(LOWEST, HIGHEST, NUM_LEVELS, dtype=cam.dtype, device=cam.device)
    flat = cam.flatten(0, 1).contiguous()  # (N C, H, W); torch warns of others
    # The number of levels below a value: at these thresholds the pixel lies inside.
    below = torch.bucketize(flat, levels)
    score = _standard(_contrast(below, image, c)) + _standard(_between(flat.flatten(1), below.flatten(1)))
    score = score - BORDER_WEIGHT * _standard(_inside(_border(below)).to(cam.dtype))
    return (torch.softmax(SHARPNESS * score, 1) * levels).sum(1).view(n, c)


def _standard(score: Tensor) -> Tensor:
    """Zero mean and unit deviation over the levels; 0 where all levels are equal."""
    centred = score - score.mean(1, keepdim=True)
    deviation = centred.square().mean(1, keepdim=True).sqrt()
    return torch.where(deviation > 1e-12, centred / deviation.clamp_min(1e-12), 0)


def _contrast(below: Tensor, image: Tensor, classes: int) -> Tensor:
    """kappa ``(N C, NUM_LEVELS)`` from the numbers of levels below the values, ``(N C, H, W)``."""
    count = len(below)
    # The thresholds from the lower to the higher number of a pair of neighbours separate the two: add a step up and a
    # step down to a table, and take its cumulative sum.
    steps = image.new_zeros(2, count, NUM_LEVELS + 1)
    largest = 2 * image.shape[1] ** 0.5
    for dim in (1, 2):
        size = below.shape[dim]
        a, b = below.narrow(dim, 0, size - 1), below.narrow(dim, 1, size - 1)
        difference = image.narrow(dim + 1, 1, size - 1) - image.narrow(dim + 1, 0, size - 1)
        contrast = torch.linalg.vector_norm(difference, dim=1).repeat_interleave(classes, 0)
        ends = torch.cat([torch.minimum(a, b).flatten(1), torch.maximum(a, b).flatten(1)], 1)
        for table, amount in zip(steps, (contrast.flatten(1), torch.ones_like(contrast).flatten(1)), strict=True):
            table += scatter_sums(torch.cat([amount, -amount], 1), ends, NUM_LEVELS + 1, largest)
    sums, pairs = steps.cumsum(2)[..., :NUM_LEVELS]
    return sums / (pairs + MIN_PAIRS)


def _between(values: Tensor, below: Tensor) -> Tensor:
    """sigma ``(N C, NUM_LEVELS)`` of values ``(N C, H W)``."""
    count, total = (scatter_sums(amount, below, NUM_LEVELS + 1, 1.0) for amount in (torch.ones_like(values), values))
    outside, outside_sum = count.cumsum(1)[:, :NUM_LEVELS], total.cumsum(1)[:, :NUM_LEVELS]
    inside = values.shape[1] - outside
    difference = (total.sum(1, keepdim=True) - outside_sum) / inside.clamp_min(1) - outside_sum / outside.clamp_min(1)
    fraction = inside / values.shape[1]
    return fraction * (1 - fraction) * difference**2


def _border(below: Tensor) -> Tensor:
    """The pixels on the image's border: ``(N C, H, W)`` -> ``(N C, B)``."""
    return torch.cat([below[:, 0], below[:, -1], below[:, :, 0], below[:, :, -1]], 1)


def _inside(below: Tensor) -> Tensor:
    """The fraction of pixels ``(N C, B)`` inside at each threshold, ``(N C, NUM_LEVELS)``."""
    level = torch.arange(NUM_LEVELS, device=below.device)
    return (below[:, None] > level[:, None]).double().mean(2)
