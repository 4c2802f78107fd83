"""The methods of ``refine-cams``.

A method takes the image, uint8 ``(1, 3, H, W)``, and its CAMs, float32 ``(1, C, h, w)`` in [0, 1], and returns CAMs
``(1, C, H, W)``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def none(image: Tensor, cam: Tensor) -> Tensor:
    """The CAM at the image's size."""
    size = image.shape[-2:]
    return torch.nn.functional.interpolate(cam, size, mode="bilinear", align_corners=False).clamp(0, 1)


REFINERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"none": none}
DEFAULT = "none"
