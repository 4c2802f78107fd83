"""Calibrate class activation maps: one threshold that suits all of them."""

from __future__ import annotations

import math
import numbers
from typing import Any

import torch
from torch import Tensor

from closedform_wsss._checks import as_compute_dtype, check_image, check_maps, check_same_view, check_unit_range
from closedform_wsss._checks.options import described
from closedform_wsss._resize import resize_image
from closedform_wsss._threshold_scores import levels_like, threshold_scores
from closedform_wsss.superpixels.lab import rgb_to_lab

FN = "calibrate_cam"
# How much the scores count, in the order of SCORES, and where thresholds lie: mean and deviation. Chosen on 500 images
# of VOC, 30 of VOC mini and 150 of ECSSD by benchmarks/cams/calibration.py, which also reports each set with the choice
# of the others.
WEIGHTS = (2.0, 1.5, 1.5, -2.5, -1.0)
PRIOR_MEAN, PRIOR_DEVIATION = 0.33, 0.1


def calibrate_cam(cam: Tensor, image: Tensor, *, level: float = 0.4) -> Tensor:
    r"""Calibrate each class activation map so that its best threshold is the same for all.

    The best threshold of a CAM differs from image to image. This function estimates it for each map from the image,
    and changes the values of the map so that this threshold becomes ``level``. It scores 41 thresholds t from 0.1 to
    0.8, each of which divides the P pixels into :math:`\omega(t) P` inside and the others:

    .. math::
        \kappa(t) &= \frac{1}{|E_t| + 10} \sum_{(p, q) \in E_t} \lVert I_p - I_q \rVert
            && \text{contrast along the contour } E_t \text{, the neighbours that } t \text{ separates} \\
        \sigma(t) &= \omega (1 - \omega) (\mu_1 - \mu_0)^2
            && \text{Otsu's variance between the two sides} \\
        \nu(t) &= \frac{H(s) - H(s \mid I)}{H(s) + 0.05}
            && \text{what the colour tells about the side } s \text{ of a pixel, of its entropy} \\
        \beta(t) &= \text{fraction inside}
            && \text{of the pixels on the image's border} \\
        \chi(t) &= |E_t| / (\sqrt{\omega P} + 3)
            && \text{raggedness.}

    The colours I are CIELAB divided by 128, in 8 x 8 x 8 cells of their range for :math:`\nu`. Each score is
    standardised over the thresholds; one that does not depend on them, such as the contrast on a flat image, is left
    out. The estimate is the mean of the thresholds with the weights :math:`w_t`, in which a normal density is the
    prior:

    .. math::
        w_t \propto \mathcal{N}(t;\, 0.33,\, 0.1^2)\, e^{2 \kappa + 1.5 \sigma + 1.5 \nu - 2.5 \beta - \chi}, \qquad
        t^* = \sum_t w_t\, t .

    Then

    .. math:: m' = m^\gamma, \qquad \gamma = \log \text{level} / \log t^*,

    which keeps 0, 1 and the order of values, and moves :math:`t^*` to ``level``. Gradients flow through m, not through
    :math:`t^*`.

    Args:
        cam: ``(N, C, H, W)`` in [0, 1], differentiable. Half precision is computed in float32. Filter smooth CAMs
            first, since their contours follow no edge: :func:`refine_cam` does both.
        image: ``(N, D, H', W')`` in [0, 1] or uint8; resized to the CAM by antialiased bilinear interpolation. One
            channel is grey, three are RGB; others are taken as they are.
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
    check_same_view(FN, cam=cam, image=image)
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
    if isinstance(level, bool) or not isinstance(level, numbers.Real):
        raise TypeError(f"{fn}: level must be a number in (0, 1), got {described(level)}")
    if not 0 < float(level) < 1:
        raise ValueError(f"{fn}: level must be a number in (0, 1), got {level!r}")


def best_level(cam: Tensor, image: Tensor) -> Tensor:
    """t* ``(N, C)`` of maps ``(N, C, H, W)`` on an image of the same size."""
    levels = levels_like(cam)
    # No matrix product: autocast would do it in half precision.
    score = (threshold_scores(cam, scored_image(image)) * cam.new_tensor(WEIGHTS)).sum(3)
    log_prior = -0.5 * ((levels - PRIOR_MEAN) / PRIOR_DEVIATION) ** 2
    return (torch.softmax(log_prior + score, 2) * levels).sum(2)


def scored_image(image: Tensor) -> Tensor:
    """The colours by which thresholds are scored: of ``(N, D, H, W)``, with D 1 or 3 CIELAB."""
    return rgb_to_lab(image) / 128 if image.shape[1] in (1, 3) else image
