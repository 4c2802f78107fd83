"""sRGB to CIELAB, differentiable."""

from __future__ import annotations

import torch
from torch import Tensor

# Linear sRGB to XYZ (IEC 61966-2-1), each row divided by the white point D65 (2 degrees).
_TO_XYZ = (
    (0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883),
)


def rgb_to_lab(image: Tensor) -> Tensor:
    """``(N, 3, H, W)`` or ``(N, 1, H, W)`` (grey) in [0, 1] -> L in [0, 100], a and b ``(N, 3, H, W)``, or L alone."""
    image = image.clamp(0, 1)
    linear = torch.where(image > 0.04045, ((image + 0.055) / 1.055).clamp_min(1e-9) ** 2.4, image / 12.92)
    if image.shape[1] == 1:
        return 116 * _cube_root(linear) - 16
    red, green, blue = linear.unbind(1)
    # No matrix product: autocast would do it in half precision.
    x, y, z = [_cube_root(r * red + g * green + b * blue) for r, g, b in _TO_XYZ]
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def _cube_root(t: Tensor) -> Tensor:
    """CIE's cube root, linear near 0."""
    return torch.where(t > 0.008856, t.clamp_min(0.008856) ** (1 / 3), 7.787 * t + 16 / 116)
