"""A dense conditional random field: mean field with Gaussian edge potentials."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from closedform_wsss import _ops
from closedform_wsss._build import num_threads
from closedform_wsss._checks import (
    as_compute_dtype,
    check_count,
    check_image,
    check_maps,
    check_not_negative,
    check_same_view,
    check_two_probabilities,
    check_unit_range,
)
from closedform_wsss._ops._define import define
from closedform_wsss._resize import resize_image
from closedform_wsss.lattice import (
    Lattice,
    check_channels,
    check_sigmas,
    image_lattice,
    joined,
    position_lattice,
    symmetric,
)

FN = "dense_crf"
CLIP = 1e-5  # smallest probability: the energy of a class is at most -log(1e-5) = 11.5


def dense_crf(
    probs: Tensor,
    image: Tensor,
    *,
    num_iters: int = 10,
    smoothness_weight: float = 3.0,
    smoothness_sigma: float = 3.0,
    appearance_weight: float = 10.0,
    position_sigma: float = 80.0,
    color_sigma: float = 13 / 255,
) -> Tensor:
    r"""Refine class probabilities by a dense conditional random field.

    Every pair of pixels is connected. The energy of a labelling :math:`\ell` is

    .. math:: E(\ell) = \sum_i -\log p_i(\ell_i) + \sum_{i<j} [\ell_i \ne \ell_j]\,
        \bigl( w_s\, \tilde k_s(i, j) + w_a\, \tilde k_a(i, j) \bigr),

    with a kernel of the position u alone, which removes small regions, and one of position and colour I:

    .. math:: k_s = \exp\left( -\frac{\lVert u_i - u_j \rVert^2}{2 \sigma_s^2} \right), \qquad
        k_a = \exp\left( -\frac{\lVert u_i - u_j \rVert^2}{2 \sigma_u^2}
            - \frac{\lVert I_i - I_j \rVert^2}{2 \sigma_I^2} \right).

    Both are normalised symmetrically: :math:`\tilde K = D^{-1/2} K D^{-1/2}` with the row sums D of K. Mean field
    starts at :math:`q = p` and repeats :math:`q \leftarrow \mathrm{softmax}(\log p + w_s \tilde K_s\, q + w_a \tilde
    K_a\, q)`. The sums over all pixels are computed on the permutohedral lattice, an approximation: linear in the
    number of pixels. The lattice is made once for each image.

    The defaults, and the result up to rounding, are those of pydensecrf in its usual call for weakly supervised
    segmentation; see :doc:`/migrating`.

    Args:
        probs: p, ``(N, C, H, W)`` in [0, 1] with C >= 2. They need not add up to 1. Values below 1e-5 count as 1e-5.
            Half precision is computed in float32. A constant: no gradient flows into it.
        image: ``(N, D, H', W')`` in [0, 1] or uint8, D <= 13; resized to probs by antialiased bilinear interpolation.
        num_iters: Steps of mean field; 0 only normalises. Default 10.
        smoothness_weight: :math:`w_s` >= 0; 0 leaves the kernel out. pydensecrf: ``compat``. Default 3.
        smoothness_sigma: :math:`\sigma_s` in pixels, >= 0.001. pydensecrf: ``sxy``. Default 3.
        appearance_weight: :math:`w_a` >= 0; 0 leaves the kernel out. pydensecrf: ``compat``. Default 10.
        position_sigma: :math:`\sigma_u` in pixels, >= 0.001. pydensecrf: ``sxy``. Default 80.
        color_sigma: :math:`\sigma_I` for colours in [0, 1], from 0.0001 to 1. pydensecrf: ``srgb / 255``.
            Default 13 / 255.

    Returns:
        q, ``(N, C, H, W)``, which adds up to 1 at each pixel; float64 if probs is, float32 otherwise.

    Raises:
        TypeError: A wrong dtype.
        ValueError: A shape or device does not fit; probs or image are not in [0, 1], or NaN; there is one class only;
            an option is out of range.

    Reference:
        Krähenbühl, Koltun: Efficient inference in fully connected CRFs with Gaussian edge potentials. NIPS 2011. --
        Adams, Baek, Davis: Fast high-dimensional filtering using the permutohedral lattice. Computer Graphics Forum
        2010.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import dense_crf
        >>> image = torch.zeros(1, 3, 8, 16)
        >>> image[..., 9:] = 1.0  # black left, white right
        >>> foreground = torch.linspace(0.1, 0.9, 16).expand(1, 1, 8, 16)
        >>> q = dense_crf(torch.cat([1 - foreground, foreground], 1), image)
        >>> q[0, 1, 4].round().int().tolist()
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]
    """
    check_options(FN, num_iters, smoothness_weight, smoothness_sigma, appearance_weight, position_sigma, color_sigma)
    image = check_image(FN, image)
    check_channels(FN, image)
    probs = check_maps(FN, "probs", probs, image.shape[0], image.device)
    check_two_probabilities(FN, probs)
    check_unit_range(FN, "probs", probs)
    check_same_view(FN, probs=probs, image=image)
    probs = as_compute_dtype(probs.detach())
    if probs.numel() == 0:
        return probs
    image = resize_image(image.to(probs.dtype), (probs.shape[2], probs.shape[3]))
    numbers = (smoothness_weight, smoothness_sigma, appearance_weight, position_sigma, color_sigma)
    q: Tensor = _crf(probs, image, int(num_iters), *(float(number) for number in numbers))
    return q


def check_options(
    fn: str,
    num_iters: Any,
    smoothness_weight: Any,
    smoothness_sigma: Any,
    appearance_weight: Any,
    position_sigma: Any,
    color_sigma: Any,
) -> None:
    check_count(fn, "num_iters", num_iters, 0)
    check_not_negative(fn, "smoothness_weight", smoothness_weight)
    check_sigmas(fn, {"smoothness_sigma": smoothness_sigma}, {})
    check_not_negative(fn, "appearance_weight", appearance_weight)
    check_sigmas(fn, {"position_sigma": position_sigma}, {"color_sigma": color_sigma})


# Mean field as one operator, so that torch.compile does not trace it.


def _run(
    probs: Tensor,
    image: Tensor,
    num_iters: int,
    smoothness_weight: float,
    smoothness_sigma: float,
    appearance_weight: float,
    position_sigma: float,
    color_sigma: float,
) -> Tensor:
    n, _, h, w = probs.shape
    smoothness = None
    if smoothness_weight and num_iters:
        smoothness = symmetric(position_lattice(image, smoothness_sigma), smoothness_weight)
    # A few images at a time: a lattice takes more memory than its image.
    step = 2 * num_threads()
    parts = []
    for start in range(0, n, step):
        unary = probs[start : start + step].clamp(min=CLIP).log_().flatten(2)
        lattice = smoothness
        if appearance_weight and num_iters:
            appearance = image_lattice(image[start : start + step], position_sigma, color_sigma)
            appearance = symmetric(appearance, appearance_weight)
            lattice = appearance if smoothness is None else joined(smoothness, appearance)
        if lattice is None:
            q = torch.softmax(unary, 1)
        else:
            lattice = Lattice(*(array.expand(len(unary), *array.shape[1:]) for array in lattice))
            q = _ops.lattice_mean_field(unary, *lattice, num_iters)
        parts.append(q.unflatten(2, (h, w)))
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _fake(probs: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(probs, memory_format=torch.contiguous_format)


_crf = define(
    "dense_crf",
    "(Tensor probs, Tensor image, int num_iters, float smoothness_weight, float smoothness_sigma,"
    " float appearance_weight, float position_sigma, float color_sigma) -> Tensor",
    _run,
    _run,
    _fake,
)
