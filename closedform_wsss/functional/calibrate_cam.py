"""Bring the best contour of each map to one common level."""

from __future__ import annotations

import math
import numbers
from typing import Any

import torch
from torch import Tensor

from closedform_wsss._checks import check_image, check_maps, check_unit_range
from closedform_wsss._resize import resize_image
from closedform_wsss._scatter_sums import scatter_sums

FN = "calibrate_cam"
# Levels that are tried; CAMs are divided by their maximum, so objects' borders lie in between.
LOWEST, HIGHEST, STEPS = 0.2, 0.7, 41
# Pairs that every contour is given for free, so that a few sharp ones do not win.
MIN_PAIRS = 10
BORDER_WEIGHT = 0.5
SHARPNESS = 2.0


def calibrate_cam(cam: Tensor, image: Tensor, *, level: float = 0.4) -> Tensor:
    r"""Bend each class activation map so that its own best contour lies at one common level.

    One threshold for a whole data set is the weak point of CAMs: the best one differs from image to image. Here each
    map is cut at many levels t from 0.2 to 0.7, and each cut is judged by the image:

    .. math::
        \kappa(t) &= \frac{1}{|E_t| + 10} \sum_{(p, q) \in E_t} \lVert I_p - I_q \rVert
            && \text{contrast along the contour } E_t \text{, the neighbours that } t \text{ separates} \\
        \sigma(t) &= \omega (1 - \omega) (\mu_1 - \mu_0)^2
            && \text{Otsu's variance between the two sides} \\
        \beta(t) &= \text{share of the image's border that lies inside.}

    With each standardised over the levels, :math:`z = z_\kappa + z_\sigma - \frac{1}{2} z_\beta`, and the softmax of
    2 z as weights, the mean level :math:`t^*` goes to ``level``:

    .. math:: m' = m^\gamma, \qquad \gamma = \log \text{level} / \log t^*,

    which keeps 0, 1 and the order of values. Gradients flow through m, not through :math:`t^*`.

    Args:
        cam: ``(N, C, H, W)`` in [0, 1], differentiable. Half precision is computed in float32. Smooth CAMs
            have contours that follow nothing: filter first (:func:`asam`, :func:`matting_filter`), see
            :func:`refine_cam`.
        image: ``(N, D, H', W')`` in [0, 1] or uint8; follows cam's size, by an antialiased bilinear resize.
        level: In (0, 1), where the contour goes: the threshold to use afterwards. Default 0.4.

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
    cam = (cam if cam.dtype == torch.float64 else cam.float()).clamp(0, 1)
    if cam.numel() == 0:
        return cam
    image = resize_image(image.to(cam.dtype), (cam.shape[2], cam.shape[3]))
    gamma = math.log(level) / best_level(cam.detach(), image).log()
    # The derivative of a power below 1 is infinite at 0, so zeros go round it.
    positive = cam > 0
    return torch.where(positive, torch.where(positive, cam, 1) ** gamma[:, :, None, None], 0)


def check_level(fn: str, level: Any) -> None:
    """A number in (0, 1)."""
    if isinstance(level, bool) or not isinstance(level, numbers.Real) or not 0 < float(level) < 1:
        raise ValueError(f"{fn}: level must be a number in (0, 1), got {level!r}")


def best_level(cam: Tensor, image: Tensor) -> Tensor:
    """t* ``(N, C)`` of maps ``(N, C, H, W)`` on an image of the same size."""
    n, c = cam.shape[:2]
    levels = torch.linspace(LOWEST, HIGHEST, STEPS, dtype=cam.dtype, device=cam.device)
    flat = cam.flatten(0, 1).contiguous()  # (N C, H, W); torch warns of others
    # The number of levels below a value: it lies inside the cuts at these.
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
    """kappa ``(N C, STEPS)`` from the numbers of levels below the values, ``(N C, H, W)``."""
    count = len(below)
    # A pair of neighbours is cut by the levels from the lower one's number on, up to the higher one's: a step up and a
    # step down in a table that is then summed up.
    steps = image.new_zeros(2, count, STEPS + 1)
    largest = 2 * image.shape[1] ** 0.5
    for dim in (1, 2):
        size = below.shape[dim]
        a, b = below.narrow(dim, 0, size - 1), below.narrow(dim, 1, size - 1)
        difference = image.narrow(dim + 1, 1, size - 1) - image.narrow(dim + 1, 0, size - 1)
        colour = torch.linalg.vector_norm(difference, dim=1).repeat_interleave(classes, 0)
        ends = torch.cat([torch.minimum(a, b).flatten(1), torch.maximum(a, b).flatten(1)], 1)
        for table, amount in zip(steps, (colour.flatten(1), torch.ones_like(colour).flatten(1)), strict=True):
            table += scatter_sums(torch.cat([amount, -amount], 1), ends, STEPS + 1, largest)
    sums, pairs = steps.cumsum(2)[..., :STEPS]
    return sums / (pairs + MIN_PAIRS)


def _between(values: Tensor, below: Tensor) -> Tensor:
    """sigma ``(N C, STEPS)`` of values ``(N C, H W)``."""
    count, total = (scatter_sums(amount, below, STEPS + 1, 1.0) for amount in (torch.ones_like(values), values))
    outside, outside_sum = count.cumsum(1)[:, :STEPS], total.cumsum(1)[:, :STEPS]
    inside = values.shape[1] - outside
    difference = (total.sum(1, keepdim=True) - outside_sum) / inside.clamp_min(1) - outside_sum / outside.clamp_min(1)
    share = inside / values.shape[1]
    return share * (1 - share) * difference**2


def _border(below: Tensor) -> Tensor:
    """Of the pixels on the image's border: ``(N C, H, W)`` -> ``(N C, B)``."""
    return torch.cat([below[:, 0], below[:, -1], below[:, :, 0], below[:, :, -1]], 1)


def _inside(below: Tensor) -> Tensor:
    """The share of pixels ``(N C, B)`` that lie inside the cut at each level, ``(N C, STEPS)``."""
    level = torch.arange(STEPS, device=below.device)
    return (below[:, None] > level[:, None]).double().mean(2)
