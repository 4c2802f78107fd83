"""The methods of ``refine-cams``.

A method takes the image ``(1, D, H, W)``, uint8 or in [0, 1], and its CAMs, float32 ``(1, C, h, w)`` in [0, 1], and
returns CAMs ``(1, C, H, W)`` in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss._resize import resize_image, resize_maps, scaled_size
from closedform_wsss.functional import (
    asam,
    background_score,
    calibrate_cam,
    dense_crf,
    pseudo_labels,
    refine_cam,
    soft_slic,
    solve_matting,
)
from closedform_wsss.functional.refine_cam import CELL_SIZE, asam_steps

# The background as likely as a class where the CAM is 0.38. With 1 instead it wins nearly everywhere.
BACKGROUND_POWER = 2
SOFTNESS, SMALLEST_Q = 0.1, 1e-30


def none(image: Tensor, cam: Tensor) -> Tensor:
    """The CAM at the image's size."""
    size = image.shape[-2:]
    return torch.nn.functional.interpolate(cam, size, mode="bilinear", align_corners=False).clamp(0, 1)


def superpixels(image: Tensor, cam: Tensor, *, level: float | None) -> Tensor:
    """ASAM alone, on cells of 8 pixels at half the image's size."""
    half = _half(image)
    steps = asam_steps(half.shape[2], half.shape[3], CELL_SIZE)
    cam = resize_maps(cam, (half.shape[2], half.shape[3]))  # asam takes a side that is equal by chance for a crop
    out = asam(cam, soft_slic(half, cell_size=CELL_SIZE), num_iters=steps)
    if level is not None:
        out = calibrate_cam(out, half, level=level)
    return none(image, out)


def closed_form(image: Tensor, cam: Tensor) -> Tensor:
    """The closed-form solution at half the size, with confident pixels as marks.

    These are of a class above 0.6 that leads the others by 0.25, or of the background, where all are below 0.1.
    """
    half = _half(image)
    small = torch.nn.functional.interpolate(cam, half.shape[-2:], mode="bilinear", align_corners=False).clamp(0, 1)
    marks = pseudo_labels(small, threshold=0.35, margin=0.25)
    if bool((marks == IGNORE_INDEX).all()):
        return none(image, cam)
    if not bool((marks == IGNORE_INDEX).any()):
        classes = torch.arange(1, cam.shape[1] + 1, device=cam.device)[:, None, None]
        return none(image, (marks[:, None] == classes).to(cam.dtype))
    alpha = solve_matting(marks, half, num_classes=cam.shape[1] + 1, tol=1e-2, ignore_index=IGNORE_INDEX).alpha
    return none(image, alpha[:, 1:])


def crf(image: Tensor, cam: Tensor) -> Tensor:
    """The dense CRF at the image's size: q of each class and of the background, whose score is (1 - largest CAM)^2.

    q is almost 0 or 1, and no threshold tells its values apart: 1 / (1 + (q_0 / q_c)^(1/10)) keeps their order. It is
    0.5 where both are equal.
    """
    foreground = none(image, cam)
    probs = torch.cat([background_score(foreground, power=BACKGROUND_POWER), foreground], 1)
    log_q = dense_crf(probs / probs.sum(1, keepdim=True), image).clamp_min(SMALLEST_Q).log()
    refined = ((log_q[:, 1:] - log_q[:, :1]) * SOFTNESS).sigmoid()
    return refined * (foreground.amax((2, 3), keepdim=True) > 0)


def _half(image: Tensor) -> Tensor:
    size = scaled_size((image.shape[2], image.shape[3]), 1 / 2)
    colors = image.float() / 255 if image.dtype == torch.uint8 else image
    return resize_image(colors, size).clamp(0, 1)


def refined(image: Tensor, cam: Tensor, **options: Any) -> Tensor:
    """:func:`refine_cam` with some of its options."""
    return refine_cam(cam, image, **options)


@dataclass(frozen=True)
class Refiner:
    """A method, and the keyword arguments with maps of other networks that it takes."""

    run: Callable[..., Tensor]
    cues: tuple[str, ...] = ()

    def __call__(self, image: Tensor, cam: Tensor, **cues: Tensor) -> Tensor:
        return self.run(image, cam, **cues)


REFINERS = {
    "full": Refiner(refined, ("saliency", "boundaries")),
    "matting": Refiner(partial(refined, num_iters=0, level=None), ("saliency",)),
    "matting+level": Refiner(partial(refined, num_iters=0), ("saliency",)),
    "asam": Refiner(partial(superpixels, level=None)),
    "asam+level": Refiner(partial(superpixels, level=0.4)),
    "asam+matting": Refiner(partial(refined, level=None), ("saliency", "boundaries")),
    "closed-form": Refiner(closed_form),
    "dense-crf": Refiner(crf),
    "none": Refiner(none),
}
DEFAULT = "full"
