"""Soft superpixels by k-means."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss._checks import (
    as_compute_dtype,
    check_count,
    check_finite,
    check_image,
    check_option,
    check_positive,
    check_tensor,
)
from closedform_wsss._common.superpixel_grid import cell_sums
from closedform_wsss.superpixels import Superpixels
from closedform_wsss.superpixels.lab import rgb_to_lab

FN = "soft_slic"


def soft_slic(
    image: Tensor,
    *,
    cell_size: int = 16,
    num_iters: int = 5,
    compactness: float = 10.0,
    temperature: float = 20.0,
    color_space: Literal["lab"] | None = "lab",
) -> Superpixels:
    r"""Soft superpixels by k-means in colour and position.

    Each pixel is assigned to the superpixels of the 3 x 3 cells around its own. With the colour :math:`I_p`, the
    position :math:`x_p` in pixels, cells of side S, compactness m and temperature T,

    .. math::
        d(p, i) = \lVert I_p - c_i \rVert^2 + \frac{m^2}{S^2} \lVert x_p - y_i \rVert^2, \qquad
        q(p \to i) = \frac{e^{-d(p, i) / T}}{\sum_j e^{-d(p, j) / T}};

    The centres :math:`c_i, y_i` start as the means of the cells. ``num_iters`` times they become the means of colour
    and position with the weights q. Differentiable in the image (twice), so a network may come before it. The backward
    pass computes q again for each iteration and does not store it.

    Args:
        image: ``(N, 3, H, W)`` RGB or ``(N, 1, H, W)`` grey in [0, 1] or uint8; with ``color_space=None`` any number of
            features in any range. Half precision is computed in float32.
        cell_size: S, in pixels. Default 16.
        num_iters: Updates of the centres. Default 5.
        compactness: m > 0; larger makes squarer superpixels. In units of the colour: CIELAB has 100 from black to
            white. Default 10.
        temperature: T > 0; smaller makes harder superpixels. In squared units of the colour. Default 20.
        color_space: "lab" (default): convert to CIELAB (D65), or a grey image to its lightness. None: use the channels
            as they are.

    Returns:
        Soft :class:`~closedform_wsss.Superpixels`. Their assignment is q ``(N, 9, H, W)``, row by row over the 3 x 3
        cells around a pixel's own; 0 for cells outside the grid, and the rest adds up to 1. float64 if the image is,
        float32 otherwise.

    Raises:
        TypeError: The image is neither floating point nor uint8; an option has a wrong type.
        ValueError: The image is not 4-dimensional, holds NaN, is not in [0, 1], or has neither 1 nor 3 channels (with
            "lab"); an option is out of range.

    Reference:
        Achanta et al.: SLIC superpixels compared to state-of-the-art superpixel methods. TPAMI 2012. -- Jampani et al.:
        Superpixel sampling networks. ECCV 2018 (soft assignment).

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import soft_slic
        >>> q = soft_slic(torch.rand(2, 3, 40, 60), cell_size=8).assignment
        >>> q.shape, bool(torch.allclose(q.sum(1), torch.ones(2, 40, 60)))
        (torch.Size([2, 9, 40, 60]), True)
    """
    check_options(FN, cell_size, num_iters, compactness, temperature, color_space)
    colours = _colours(image, color_space)
    q = soft_assignment(colours, int(cell_size), int(num_iters), float(compactness), float(temperature))
    return Superpixels(q, int(cell_size))


def soft_assignment(
    colours: Tensor, cell_size: int, num_iters: int = 5, compactness: float = 10.0, temperature: float = 20.0
) -> Tensor:
    """q ``(N, 9, H, W)`` of colours ``(N, D, H, W)``, of arguments that the caller has checked."""
    n, _, h, w = colours.shape
    scale = compactness / (cell_size * temperature**0.5)
    y = torch.arange(h, device=colours.device, dtype=colours.dtype) * scale
    x = torch.arange(w, device=colours.device, dtype=colours.dtype) * scale
    position = torch.stack([y[:, None].expand(h, w), x.expand(h, w)]).expand(n, 2, h, w)
    features = torch.cat([colours / temperature**0.5, position], 1)
    centers = cell_sums(features, cell_size) / cell_sums(torch.ones_like(features[:1, :1]), cell_size)
    for _ in range(num_iters):
        centers = _ops.superpixel_update(features, centers, cell_size)
    q: Tensor = _ops.superpixel_assign(features, centers, cell_size)
    return q


def check_options(
    fn: str, cell_size: Any, num_iters: Any, compactness: Any, temperature: Any, color_space: Any
) -> None:
    check_count(fn, "cell_size", cell_size, 1)
    check_count(fn, "num_iters", num_iters, 0)
    check_positive(fn, "compactness", compactness)
    check_positive(fn, "temperature", temperature)
    check_option(fn, "color_space", color_space, ("lab", None))


def _colours(image: Tensor, color_space: str | None) -> Tensor:
    check_tensor(FN, "image", image)
    if color_space is None:
        if image.ndim != 4 or 0 in image.shape[1:]:
            raise ValueError(f"{FN}: image must be (N, D, H, W), got shape {tuple(image.shape)}")
        if not image.is_floating_point():
            raise TypeError(f"{FN}: image must be floating point with color_space=None, got {image.dtype}")
        check_finite(FN, "image", image)
        return as_compute_dtype(image).contiguous()
    checked = check_image(FN, image)
    if checked.shape[1] not in (1, 3):
        raise ValueError(
            f"{FN}: image must have 1 or 3 channels for color_space 'lab', got shape {tuple(image.shape)}: "
            "pass color_space=None for other features"
        )
    # check_image cuts the graph; here gradients flow.
    return rgb_to_lab(image.to(checked.dtype).contiguous() if image.is_floating_point() else checked)
