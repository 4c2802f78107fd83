"""How much of each class there is: fractions of pixels, factors that make predictions agree with them, weights."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._checks import (
    as_compute_dtype,
    check_count,
    check_device,
    check_finite,
    check_maps,
    check_probability,
    check_tensor,
    check_two_probabilities,
    check_unit_range,
    compute_dtype,
    reads_values,
)
from closedform_wsss._scatter_sums import scatter_sums

# A class below this fraction counts as if it had it: its weight stays finite.
MIN_FRACTION = 1e-4
TINY = 1e-12


@torch.no_grad()
def winning_fractions(maps: Tensor) -> Tensor:
    r"""The fraction of pixels in which each class has the largest value.

    Args:
        maps: ``(N, C, H, W)``, such as logits, probabilities or filtered predictions; at least one pixel.

    Returns:
        ``(C,)``, adding up to 1; float64 if the maps are, float32 otherwise. Of equal values the first class wins.

    Raises:
        TypeError: maps are not floating point.
        ValueError: maps are not ``(N, C, H, W)``, have no pixel, or hold NaN or infinity.

    Example:
        >>> import torch
        >>> from closedform_wsss.training import winning_fractions
        >>> winning_fractions(torch.tensor([[[[0.9, 0.2, 0.4, 0.1]], [[0.1, 0.8, 0.6, 0.9]]]]))
        tensor([0.2500, 0.7500])
    """
    fn = "winning_fractions"
    maps = check_maps(fn, "maps", maps, None, None)
    _check_some_pixels(fn, "maps", maps)
    check_finite(fn, "maps", maps)
    ones = torch.ones_like(maps[:, 0], dtype=torch.float64).flatten(1)  # float32 counts to 16 million only
    fractions = scatter_sums(ones, maps.max(1).indices.flatten(1), maps.shape[1], 1.0).sum(0) / ones.numel()
    return fractions.to(compute_dtype(maps))


@torch.no_grad()
def class_factors(probs: Tensor, fractions: Tensor, *, num_iters: int = 50) -> Tensor:
    r"""Factors of the classes that give probabilities a wanted mean.

    A network that learns from marks sees too much of the classes that are marked densely. With factors r its
    probabilities :math:`p_c` become

    .. math:: p'_c = \frac{r_c\, p_c}{\sum_k r_k\, p_k},

    and r is chosen so that the mean of :math:`p'_c` over all pixels is the wanted fraction of class c. Each iteration
    multiplies r by the wanted fraction over the current mean.

    Args:
        probs: ``(N, C, H, W)`` in [0, 1], adding up to 1 over C >= 2 classes.
        fractions: ``(C,)`` >= 0 and adding up to 1, such as those of :func:`winning_fractions`.
        num_iters: Iterations, >= 1. Default 50.

    Returns:
        ``(C,)``, the largest factor 1; float64 if probs are, float32 otherwise.

    Raises:
        TypeError: probs are not floating point.
        ValueError: A shape or device does not fit; probs are outside [0, 1]; fractions are negative or do not add up to
            1.

    Example:
        >>> import torch
        >>> from closedform_wsss.training import class_factors
        >>> probs = torch.tensor([0.6, 0.4])[None, :, None, None].expand(1, 2, 4, 4)
        >>> factors = class_factors(probs, torch.tensor([0.25, 0.75]))
        >>> corrected = probs * factors[:, None, None]
        >>> (corrected / corrected.sum(1, keepdim=True))[0, :, 0, 0]
        tensor([0.2500, 0.7500])
    """
    fn = "class_factors"
    probs = check_maps(fn, "probs", probs, None, None)
    check_two_probabilities(fn, probs)
    _check_some_pixels(fn, "probs", probs)
    check_unit_range(fn, "probs", probs)
    num_iters = check_count(fn, "num_iters", num_iters, 1)
    p = as_compute_dtype(probs).movedim(1, -1).flatten(0, 2)
    fractions = _check_fractions(fn, fractions, p.shape[1], p.device).to(p.dtype)
    factors = torch.ones_like(fractions)
    for _ in range(num_iters):
        q = p * factors
        factors = factors * fractions / (q / q.sum(1, keepdim=True).clamp_min(TINY)).mean(0).clamp_min(TINY)
        factors = factors / factors.max()
    return factors


def class_weights(fractions: Tensor, *, power: float = 0.5) -> Tensor:
    r"""Weights of the classes in a cross-entropy, larger for rare ones.

    .. math:: w_c = \frac{f_c^{-\alpha}}{\sum_k f_k^{1 - \alpha}},

    with the fractions f and the power :math:`\alpha`: 0 treats all pixels alike, 1 all classes. The mean weight over
    the pixels is 1. A class with a fraction below 1e-4 gets the weight of 1e-4.

    Args:
        fractions: ``(C,)`` >= 0, adding up to 1.
        power: :math:`\alpha` in [0, 1]. Default 0.5.

    Returns:
        ``(C,)``, for ``torch.nn.CrossEntropyLoss(weight)``; float64 if the fractions are, float32 otherwise.

    Raises:
        TypeError: power is not a number.
        ValueError: The fractions are not ``(C,)``, negative, or do not add up to 1; power is outside [0, 1].

    Example:
        >>> import torch
        >>> from closedform_wsss.training import class_weights
        >>> class_weights(torch.tensor([0.64, 0.36]))
        tensor([0.8929, 1.1905])
    """
    fn = "class_weights"
    power = check_probability(fn, "power", power)
    fractions = _check_fractions(fn, fractions, None, None)
    fractions = as_compute_dtype(fractions).clamp_min(MIN_FRACTION)
    weight = fractions**-power
    return weight / (weight * fractions).sum()


def _check_some_pixels(fn: str, name: str, maps: Tensor) -> None:
    if maps.numel() == 0:
        raise ValueError(f"{fn}: {name} must have at least one pixel, got shape {tuple(maps.shape)}")


def _check_fractions(fn: str, fractions: Tensor, classes: int | None, device: torch.device | None) -> Tensor:
    check_tensor(fn, "fractions", fractions)
    if not fractions.is_floating_point():
        raise TypeError(f"{fn}: fractions must be floating point, got {fractions.dtype}")
    wanted = "(C,)" if classes is None else f"(C,) = ({classes},)"
    if fractions.ndim != 1 or fractions.numel() == 0 or classes not in (None, len(fractions)):
        raise ValueError(f"{fn}: fractions must be {wanted}, got shape {tuple(fractions.shape)}")
    if device is not None:
        check_device(fn, "fractions", fractions, device)
    if reads_values(fractions):
        total = float(fractions.detach().double().sum())
        if not bool((fractions >= 0).all()) or not abs(total - 1) < 1e-2:
            got = [round(v, 4) for v in fractions.tolist()]
            raise ValueError(
                f"{fn}: fractions must be >= 0 and add up to 1, got {got}: divide counts of pixels by their sum"
            )
    return fractions.detach().contiguous()
