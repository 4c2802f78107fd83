"""ASAM: propagation over the affinity of adjacent superpixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss._checks import (
    check_cell_size,
    check_class_present,
    check_count,
    check_finite,
    check_maps,
    check_pixels,
    check_positive,
    check_probability,
)
from closedform_wsss._common.superpixel_grid import EMPTY
from closedform_wsss.functional.superpixel_pool import mean_of
from closedform_wsss.superpixels.association import check_association, check_weights

_CENTER = 12  # of the 5 x 5


def asam_affinity(q: Tensor, *, cell_size: int = 16) -> Tensor:
    r"""How much each superpixel shares its pixels with the 5 x 5 around it.

    .. math:: A_{ki} = \frac{\sum_p q(p \to i)\, q(p \to j)}{\sum_p q(p \to i)},

    j the k-th superpixel of the 5 x 5 around i, row-major; the weights of a pixel add up to 1, so rows add up to 1
    (each is divided by its own sum, which keeps that exact in rounding). A superpixel without pixels keeps its value.

    Args:
        q: Soft association ``(N, 9, H, W)``, differentiable; see :func:`superpixel_pool`. Half precision is computed in
            float32.
        cell_size: Side of a cell in pixels. Default 16.

    Returns:
        ``(N, 25, h, w)``, h = ceil(H / cell_size), w likewise; 0 for superpixels outside the grid. float64 if q is,
        float32 otherwise.

    Raises:
        TypeError: q is not floating point.
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
    q = check_association("asam_affinity", "q", q)
    cell_size = check_cell_size("asam_affinity", cell_size)
    check_weights("asam_affinity", "q", q, cell_size)
    return _normalized(_ops.asam_affinity(q if q.dtype == torch.float64 else q.float(), cell_size))


def _normalized(shared: Tensor) -> Tensor:
    total = shared.sum(1, keepdim=True)
    alone = torch.zeros_like(shared)
    alone[:, _CENTER] = 1
    return torch.where(total < EMPTY, alone, shared / torch.where(total < EMPTY, 1, total))


def asam(
    cam: Tensor,
    q: Tensor,
    *,
    cell_size: int = 16,
    num_iters: int = 20,
    restart: float = 0.0,
    tol: float | None = None,
    class_present: Tensor | None = None,
) -> Tensor:
    r"""Smooth maps over adjacent superpixels.

    Pixels are averaged into superpixels, these exchange their values with the 5 x 5 around them ``num_iters`` times,
    and go back to pixels. With the affinity A of :func:`asam_affinity` and restart r,

    .. math:: s^{(t + 1)} = (1 - r)\, A s^{(t)} + r\, s^{(0)}.

    Without restart this is the paper's propagation, which ends in one value everywhere; with it, it converges to
    :math:`r\,(I - (1 - r) A)^{-1} s^{(0)}`. Differentiable in cam and q.

    Args:
        cam: ``(N, C, h', w')``, any size: brought to q's size by bilinear interpolation. Half precision is computed in
            float32.
        q: Soft association ``(N, 9, H, W)``; see :func:`superpixel_pool` and :func:`soft_slic`.
        cell_size: Side of q's cells in pixels. Default 16.
        num_iters: Steps of propagation. Default 20.
        restart: r in [0, 1], the share of the input in each step. Default 0.
        tol: Stop as soon as no value changes by more than this in a step (CUDA waits for it in each step). Default
            None: all steps.
        class_present: ``(N, C)`` bool or 0 to 1, from the image's tags: maps of absent classes become 0. Default all.

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
    where = "asam"
    q = check_association(where, "q", q)
    cell_size = check_cell_size(where, cell_size)
    cam = check_maps(where, "cam", cam, q.shape[0], q.device)
    check_pixels(where, "cam", cam)
    num_iters = check_count(where, "num_iters", num_iters, 0)
    restart = check_probability(where, "restart", restart)
    if tol is not None:
        tol = check_positive(where, "tol", tol)
    check_weights(where, "q", q, cell_size)
    cam = cam if cam.dtype == torch.float64 else cam.float()
    if class_present is not None:
        check_class_present(where, class_present, cam.shape[0], cam.shape[1], cam.device)
        cam = cam * class_present.to(cam.dtype)[:, :, None, None]
    q = q.to(cam.dtype)
    if cam.shape[-2:] != q.shape[-2:]:
        cam = F.interpolate(cam, q.shape[-2:], mode="bilinear", align_corners=False)
    affinity = _normalized(_ops.asam_affinity(q, cell_size))
    weight = _ops.superpixel_pool(torch.ones_like(q[:, :1]), q, cell_size)
    start = mean_of(_ops.superpixel_pool(cam, q, cell_size), weight)
    check_finite(where, "cam", start)  # NaN comes through
    s = start
    for _ in range(num_iters):
        before, s = s, _ops.asam_step(affinity, s, False)
        if restart:
            s = torch.lerp(s, start, restart)
        if tol is not None and s.numel() and bool((s - before).abs().max() <= tol):
            break
    return _ops.superpixel_unpool(s, q, cell_size)
