"""Refine class activation maps by the image."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._checks import (
    as_compute_dtype,
    check_count,
    check_image,
    check_maps,
    check_pixels,
    check_positive,
    check_same_view,
    check_unit_range,
    reads_values,
)
from closedform_wsss._common.superpixel_grid import grid_size
from closedform_wsss._resize import resize_image, resize_maps, scaled_size
from closedform_wsss.functional.asam import propagated
from closedform_wsss.functional.calibrate_cam import calibrated, check_level
from closedform_wsss.functional.matting_filter import ENOUGH_STEPS, MAX_ITER, filtered, filtered_in_steps
from closedform_wsss.functional.soft_slic import soft_assignment
from closedform_wsss.laplacian import LaplacianOptions
from closedform_wsss.solver.map_solver import WELL_CONDITIONED
from closedform_wsss.superpixels.lab import rgb_to_lab

FN = "refine_cam"
CELL_SIZE = 8
SUPERPIXELS_A_STEP = 9
LAPLACIAN = LaplacianOptions("closed_form", eps=1e-6, radius=1)
SALIENCY_ODDS = 2.0
SALIENCY_LIGHTNESS = 50.0  # in the superpixels, of 100 from black to white
BOUNDARY_POWER = 6
TOL = 3e-2  # the error found is a sixth of it


def refine_cam(
    cam: Tensor,
    image: Tensor,
    *,
    saliency: Tensor | None = None,
    boundaries: Tensor | None = None,
    num_iters: int | None = None,
    fidelity: float = 3e-3,
    level: float | None = 0.4,
) -> Tensor:
    r"""Refine class activation maps by the image, in three steps and without training.

    1. Superpixels: :func:`soft_slic` with cells of 8 pixels at half the image's size, and :func:`asam` over them.
    2. Edges: :func:`matting_filter` at a quarter of the size, with eps 1e-6 and :math:`6 / \sqrt\lambda` steps (until a
       tolerance of 0.03 for a fidelity below 1e-3).
    3. Threshold: :func:`calibrate_cam`, so that one threshold suits all maps.

    Then the maps are resized to the image. What each step gains on three data sets:
    :doc:`/benchmarks`.

    Maps s and b of another network help, where there are any:

    * Saliency is one more channel of the image in steps 1 and 2 (worth 50 of the lightness L*, or the way from black to
      white), and between them it changes the odds of each map's value m:

      .. math:: \frac{m'}{1 - m'} = \frac{m}{1 - m}\, e^{2 (2 s - 1)} .

    * Boundaries lower the affinity of step 1: a pixel counts :math:`(1 - b)^6` times in what superpixels share.

    Args:
        cam: ``(N, C, h, w)``, any size, in [0, 1] (divided by its maximum), differentiable.
        image: ``(N, 3, H, W)`` or ``(N, 1, H, W)`` in [0, 1] or uint8; a constant.
        saliency: ``(N, 1, h', w')``, any size, in [0, 1] or uint8: how likely each pixel is part of an object of any
            class; a constant. Default None.
        boundaries: ``(N, 1, h', w')``, any size, in [0, 1] or uint8: how likely an object ends at each pixel, as HED
            gives it; a constant. Needs ``num_iters`` > 0. Default None.
        num_iters: Steps of ASAM; 0 leaves it out. Default None: a ninth of the number of superpixels, which is 85 for
            500 x 375 pixels. Steps spread values like a diffusion, whose reach grows with the root of their number:
            so an image is smoothed alike at any size.
        fidelity: Of the matting filter, > 0; smaller smooths further. Default 3e-3.
        level: The threshold to use afterwards, in (0, 1). None leaves the third step out. Default 0.4.

    Returns:
        ``(N, C, H, W)`` in [0, 1]; float64 if cam is, float32 otherwise.

    Raises:
        TypeError: A wrong dtype.
        ValueError: A shape or device does not fit; image, cam, saliency or boundaries are not in [0, 1], or in uint8
            only 0 and 1; the image has neither 1 nor 3 channels; an option is out of range.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import pseudo_labels, refine_cam
        >>> image, cam = torch.rand(1, 3, 96, 128), torch.rand(1, 2, 6, 8)
        >>> refined = refine_cam(cam, image)
        >>> pseudo_labels(refined, threshold=0.4).shape
        torch.Size([1, 96, 128])
    """
    image = check_image(FN, image)
    cam = check_maps(FN, "cam", cam, image.shape[0], image.device)
    if image.shape[1] not in (1, 3):
        raise ValueError(f"{FN}: image must have 1 or 3 channels, got shape {tuple(image.shape)}")
    check_unit_range(FN, "cam", cam)
    check_same_view(FN, cam=cam, image=image)
    check_options(FN, num_iters, fidelity, level)
    saliency, boundaries = (
        None if map is None else _checked_map(name, map, image)
        for name, map in (("saliency", saliency), ("boundaries", boundaries))
    )
    if boundaries is not None and num_iters == 0:
        raise ValueError(f"{FN}: boundaries must be None with num_iters=0: they change the affinity of ASAM")
    cam = as_compute_dtype(cam)
    size = (image.shape[2], image.shape[3])
    if cam.numel() == 0:
        return resize_maps(cam, size)
    image = image.to(cam.dtype)
    quarter = resize_image(image, scaled_size(size, 1 / 4)).clamp(0, 1)
    x = cam
    if num_iters != 0:
        half = resize_image(image, scaled_size(size, 1 / 2)).clamp(0, 1)
        colors = _with_channel(rgb_to_lab(half), saliency, SALIENCY_LIGHTNESS)
        openness = None if boundaries is None else (1 - _resized(boundaries, half)) ** BOUNDARY_POWER
        steps = asam_steps(colors.shape[2], colors.shape[3], CELL_SIZE) if num_iters is None else int(num_iters)
        q = soft_assignment(colors, CELL_SIZE)
        x = propagated(x, q, CELL_SIZE, steps, pixel_weight=openness)
    x = F.interpolate(x, quarter.shape[-2:], mode="bilinear", align_corners=False)
    if saliency is not None:
        x = _with_odds(x.clamp(0, 1), _resized(saliency, quarter))
    x = _smoothed(x, _with_channel(quarter, saliency, 1.0), float(fidelity)).clamp(0, 1)
    if level is not None:
        x = calibrated(x, quarter, float(level))
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def asam_steps(height: int, width: int, cell_size: int) -> int:
    """Steps of ASAM for an image: values spread like a diffusion, so in proportion to the area."""
    return max(math.prod(grid_size(height, width, cell_size)) // SUPERPIXELS_A_STEP, 1)


def _checked_map(name: str, map: Tensor, image: Tensor) -> Tensor:
    """``(N, 1, h, w)`` in [0, 1], on the image's device."""
    if isinstance(map, Tensor) and not map.is_floating_point():
        if map.dtype != torch.uint8:
            raise TypeError(f"{FN}: {name} must be floating point in [0, 1] or uint8, got {map.dtype}")
        if reads_values(map) and int(map.max()) == 1:
            raise ValueError(
                f"{FN}: {name} in uint8 must be from 0 (none) to 255 (certain), got values of 0 and 1, which are both "
                "black: convert it to floating point"
            )
        map = map.float() / 255
    map = check_maps(FN, name, map, image.shape[0], image.device)
    check_pixels(FN, name, map)
    if map.shape[1] != 1:
        raise ValueError(f"{FN}: {name} must be (N, 1, h, w), one map for all classes, got shape {tuple(map.shape)}")
    map = map.detach()
    check_unit_range(FN, name, map)
    check_same_view(FN, **{name: map, "image": image})
    return map.clamp(0, 1)


def _resized(map: Tensor, image: Tensor) -> Tensor:
    return resize_image(map.to(image.dtype), (image.shape[2], image.shape[3])).clamp(0, 1)


def _with_channel(image: Tensor, saliency: Tensor | None, scale: float) -> Tensor:
    return image if saliency is None else torch.cat([image, scale * _resized(saliency, image)], 1)


def _with_odds(x: Tensor, saliency: Tensor) -> Tensor:
    """x / (1 - x) times exp(a (2 s - 1)); 0 and 1 stay as they are."""
    return x / (x + (1 - x) * torch.exp(SALIENCY_ODDS * (1 - 2 * saliency)))


def _smoothed(x: Tensor, image: Tensor, fidelity: float) -> Tensor:
    """The matting filter, as exact as masks need it."""
    weight = torch.full_like(image[:, 0], fidelity)
    if fidelity >= WELL_CONDITIONED:
        return filtered_in_steps(fidelity * x, image, weight, LAPLACIAN, fidelity, round(ENOUGH_STEPS / fidelity**0.5))
    return filtered(fidelity * x, image, weight, LAPLACIAN, TOL, MAX_ITER, fn=FN, cure="raise fidelity")


def check_options(fn: str, num_iters: Any, fidelity: Any, level: Any) -> None:
    if num_iters is not None:
        check_count(fn, "num_iters", num_iters, 0)
    check_positive(fn, "fidelity", fidelity)
    if level is not None:
        check_level(fn, level)
