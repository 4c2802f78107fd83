"""ASAM: propagation over the affinity of adjacent superpixels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss._checks import (
    as_compute_dtype,
    check_class_present,
    check_count,
    check_finite,
    check_maps,
    check_pixels,
    check_positive,
    check_probability,
    check_same_view,
)
from closedform_wsss._common.superpixel_grid import EMPTY
from closedform_wsss._resize import resize_maps
from closedform_wsss.functional.superpixel_pool import mean_of
from closedform_wsss.superpixels import Superpixels, check_pooled, check_soft_superpixels

_CENTER = 12  # of the 5 x 5


def asam_affinity(superpixels: Superpixels) -> Tensor:
    r"""The affinity of adjacent superpixels: the fraction of its pixels that each shares with the 5 x 5 around it.

    .. math:: A_{ki} = \frac{\sum_p q(p \to i)\, q(p \to j)}{\sum_p q(p \to i)},

    where j is the k-th superpixel of the 5 x 5 around i, row by row. The weights of a pixel add up to 1, so the rows of
    A add up to 1; each row is divided by its own sum, which keeps that exact in rounding. The row of a superpixel
    without pixels is that of the identity.

    Args:
        superpixels: Soft :class:`~closedform_wsss.Superpixels`, whose assignment q is differentiable. Half precision is
            computed in float32.

    Returns:
        ``(N, 25, h, w)``, a column for each of the h x w superpixels; 0 for those outside the grid. float64 if q
        is, float32 otherwise.

    Raises:
        TypeError: The superpixels are hard.
        ValueError: q is not (N, 9, H, W) or does not add up to 1 over the superpixels inside the grid.

    Reference:
        Ma et al.: A weakly supervised semantic segmentation method based on local superpixel transformation. Neural
        Processing Letters 2023.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import asam_affinity, soft_slic
        >>> affinity = asam_affinity(soft_slic(torch.rand(1, 3, 48, 64)))
        >>> affinity.shape, bool(torch.allclose(affinity.sum(1), torch.ones(1, 3, 4)))
        (torch.Size([1, 25, 3, 4]), True)
    """
    q, cell_size = check_soft_superpixels("asam_affinity", superpixels)
    shared = _ops.asam_affinity(as_compute_dtype(q), cell_size)
    check_finite("asam_affinity", "superpixels.assignment", shared)
    return _normalized(shared)


def _normalized(shared: Tensor) -> Tensor:
    total = shared.sum(1, keepdim=True)
    alone = torch.zeros_like(shared)
    alone[:, _CENTER] = 1
    return torch.where(total < EMPTY, alone, shared / torch.where(total < EMPTY, 1, total))


def asam(
    cam: Tensor,
    superpixels: Superpixels,
    *,
    num_iters: int = 20,
    restart: float = 0.0,
    tol: float | None = None,
    class_present: Tensor | None = None,
) -> Tensor:
    r"""Propagate maps over adjacent superpixels.

    The map is averaged over each superpixel. Then each superpixel exchanges values with the 5 x 5 around it,
    ``num_iters`` times, and the values go back to the pixels. With the affinity A of :func:`asam_affinity` and the
    restart r,

    .. math:: s^{(t + 1)} = (1 - r)\, A s^{(t)} + r\, s^{(0)}.

    r = 0 is the paper's propagation, which converges to a constant. With r > 0 it converges to
    :math:`r\,(I - (1 - r) A)^{-1} s^{(0)}`. Differentiable in cam and q, the assignment.

    Args:
        cam: ``(N, C, h', w')``, any size; resized to the superpixels by bilinear interpolation. Half precision
            is computed in float32.
        superpixels: Soft :class:`~closedform_wsss.Superpixels` of ``(N, 9, H, W)``, such as of :func:`soft_slic`.
        num_iters: Steps of propagation. Default 20.
        restart: r in [0, 1], the weight of the input in each step. Default 0.
        tol: Stop when no value changes by more than this in a step, > 0. CUDA then waits in each step. Default None:
            all steps.
        class_present: ``(N, C)`` bool or 0 to 1, image-level labels: maps of absent classes become 0. Default all.

    Returns:
        ``(N, C, H, W)``; within the range of cam, and constant where it is. float64 if cam is, float32 otherwise.

    Raises:
        TypeError: A wrong dtype.
        ValueError: A shape or device does not fit; q does not add up to 1; NaN in cam; an option is out of range.

    Reference:
        Ma et al.: A weakly supervised semantic segmentation method based on local superpixel transformation. Neural
        Processing Letters 2023.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import asam, soft_slic
        >>> image, cam = torch.rand(1, 3, 64, 96), torch.rand(1, 2, 8, 12)
        >>> asam(cam, soft_slic(image), num_iters=10, restart=0.1).shape
        torch.Size([1, 2, 64, 96])
    """
    fn = "asam"
    q, cell_size = check_soft_superpixels(fn, superpixels)
    cam = check_maps(fn, "cam", cam, q.shape[0], q.device, of="superpixels")
    check_pixels(fn, "cam", cam)
    check_same_view(fn, cam=cam, superpixels=q)
    check_options(fn, num_iters, restart, tol)
    cam = as_compute_dtype(cam)
    if class_present is not None:
        check_class_present(fn, class_present, cam.shape[0], cam.shape[1], cam.device, of="cam")
        cam = cam * class_present.to(cam.dtype)[:, :, None, None]
    return propagated(cam, q.to(cam.dtype), cell_size, int(num_iters), float(restart), tol)


def propagated(
    cam: Tensor,
    q: Tensor,
    cell_size: int,
    num_iters: int,
    restart: float = 0.0,
    tol: float | None = None,
    pixel_weight: Tensor | None = None,
) -> Tensor:
    """ASAM of arguments that the caller has checked, but for NaN.

    ``pixel_weight``, ``(N, 1, H, W)`` >= 0, says how much each pixel counts in the affinity.
    """
    cam = resize_maps(cam, (q.shape[2], q.shape[3]))
    shares = q if pixel_weight is None else q * pixel_weight.sqrt()  # two of which are multiplied
    affinity = _normalized(_ops.asam_affinity(shares, cell_size))
    weight = _ops.superpixel_pool(torch.ones_like(q[:, :1]), q, cell_size)
    start = mean_of(_ops.superpixel_pool(cam, q, cell_size), weight)
    check_pooled("asam", "cam", start, q)
    if tol is None:
        s = _propagate(affinity, start, num_iters, restart)
    else:
        s = start
        for _ in range(num_iters):
            before, s = s, _propagate(affinity, s, 1, 0.0)
            s = torch.lerp(s, start, restart) if restart else s
            if s.numel() and bool((s - before).abs().max() <= tol):
                break
    x: Tensor = _ops.superpixel_unpool(s, q, cell_size)
    return x


def _propagate(affinity: Tensor, s: Tensor, num_steps: int, restart: float) -> Tensor:
    keep = torch.is_grad_enabled() and (affinity.requires_grad or s.requires_grad)
    y: Tensor = _ops.asam_steps(affinity, s, num_steps, 1 - restart, restart, False, keep)[0]
    return y


def check_options(fn: str, num_iters: Any, restart: Any, tol: Any) -> None:
    check_count(fn, "num_iters", num_iters, 0)
    check_probability(fn, "restart", restart)
    if tol is not None:
        check_positive(fn, "tol", tol)
