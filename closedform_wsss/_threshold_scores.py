"""How well the thresholds of a map divide an image: what :func:`calibrate_cam` chooses by."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._scatter_sums import cumulative_sums, scatter_sums

# CAMs are divided by their maximum, so the outlines of objects lie in this range.
LOWEST, HIGHEST, NUM_LEVELS = 0.1, 0.8, 41
SCORES = ("contrast", "variance", "color", "border", "raggedness")
# Added to the length of every contour, so that a short sharp one does not win.
MIN_PAIRS = 10
# Added to the root of every area, in pixels, and to every entropy, so that a tiny region does not win.
MIN_SIDE, MIN_ENTROPY = 3, 0.05
# Of each of three colours 8 cells, at least this wide in all: rounding, or noise of 8 bits, makes no difference.
COLOR_CELLS, MIN_RANGE = 512, 0.05
MAX_CHANNELS = 9  # 2 cells of each
# Deviations over the thresholds, in the order of SCORES, up to which a score counts as constant. What the colours say
# is a difference of large numbers: on a flat image only rounding is left of it, 1e-7 in float32, on a photograph 1e-4
# or more.
CONSTANT = (1e-5, 1e-12, 1e-5, 1e-12, 1e-12)


def levels_like(cam: Tensor) -> Tensor:
    """The thresholds, ``(NUM_LEVELS,)``."""
    return torch.linspace(LOWEST, HIGHEST, NUM_LEVELS, dtype=cam.dtype, device=cam.device)


def threshold_scores(cam: Tensor, image: Tensor) -> Tensor:
    """The scores of all thresholds, ``(N, C, NUM_LEVELS, 5)`` in the order of ``SCORES``.

    Each has zero mean and unit deviation over the thresholds, or is 0 where it hardly changes. The formulas are those
    of :func:`calibrate_cam`.

    Args:
        cam: ``(N, C, H, W)`` in [0, 1].
        image: ``(N, D, H, W)``.
    """
    n, classes = cam.shape[:2]
    flat = cam.flatten(0, 1).contiguous()  # (N C, H, W); torch warns of others
    # The number of thresholds below a value: at these the pixel lies inside.
    below = torch.bucketize(flat, levels_like(cam))
    inside = _inside(below.flatten(1), torch.ones_like(flat).flatten(1))
    contrast, pairs = _along_contour(below, image, classes)
    scores = [
        contrast / (pairs + MIN_PAIRS),
        _variance(flat.flatten(1), below.flatten(1), inside),
        _color_information(below.flatten(1), inside, image),
        _border(below).to(cam.dtype),
        pairs / (inside.sqrt() + MIN_SIDE),
    ]
    standard = [_standard(score, constant) for score, constant in zip(scores, CONSTANT, strict=True)]
    return torch.stack(standard, 2).unflatten(0, (n, classes))


def _standard(score: Tensor, constant: float) -> Tensor:
    """Zero mean and unit deviation over the thresholds; 0 where the deviation is not above ``constant``."""
    centred = score - score.mean(1, keepdim=True)
    deviation = centred.square().mean(1, keepdim=True).sqrt()
    return torch.where(deviation > constant, centred / deviation.clamp_min(constant), 0)


def _inside(below: Tensor, amount: Tensor, largest: float = 1.0) -> Tensor:
    """The amounts ``(M, P)`` of the pixels that lie inside at each threshold, added up: ``(M, NUM_LEVELS)``."""
    outside = cumulative_sums(scatter_sums(amount, below, NUM_LEVELS + 1, largest))
    return (outside[:, -1:] - outside[:, :NUM_LEVELS]).clamp_min(0)


def _along_contour(below: Tensor, image: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """The differences in the image along the contour, added up, and the contour's length: ``(N C, NUM_LEVELS)``."""
    count = len(below)
    # The thresholds from the lower to the higher number of a pair of neighbours separate the two: add a step up and a
    # step down to a table, and take its cumulative sum.
    steps = image.new_zeros(2, count, NUM_LEVELS + 1)
    largest = 2 * image.shape[1] ** 0.5
    for dim in (1, 2):
        size = below.shape[dim]
        a, b = below.narrow(dim, 0, size - 1), below.narrow(dim, 1, size - 1)
        difference = image.narrow(dim + 1, 1, size - 1) - image.narrow(dim + 1, 0, size - 1)
        # Not vector_norm, which is slow over the channels on the CPU.
        contrast = difference.square().sum(1).sqrt().repeat_interleave(classes, 0)
        ends = torch.cat([torch.minimum(a, b).flatten(1), torch.maximum(a, b).flatten(1)], 1)
        for sums, amount in zip(steps, (contrast.flatten(1), torch.ones_like(contrast).flatten(1)), strict=True):
            sums += scatter_sums(torch.cat([amount, -amount], 1), ends, NUM_LEVELS + 1, largest)
    contrast, pairs = cumulative_sums(steps)[..., :NUM_LEVELS].clamp_min(0)
    return contrast, pairs


def _variance(values: Tensor, below: Tensor, inside: Tensor) -> Tensor:
    """Otsu's variance between the two sides, of values ``(N C, H W)``."""
    total, inner = values.sum(1, keepdim=True), _inside(below, values)
    outside = values.shape[1] - inside
    difference = inner / inside.clamp_min(1) - (total - inner) / outside.clamp_min(1)
    fraction = inside / values.shape[1]
    return fraction * (1 - fraction) * difference**2


def _color_information(below: Tensor, inside: Tensor, image: Tensor) -> Tensor:
    """What a pixel's colour tells about its side: their mutual information over the entropy of the sides."""
    classes, pixels = len(below) // len(image), below.shape[1]
    cell = _color_cells(image).repeat_interleave(classes, 0)
    index = cell * (NUM_LEVELS + 1) + below
    sums = scatter_sums(torch.ones_like(index, dtype=image.dtype), index, COLOR_CELLS * (NUM_LEVELS + 1), 1.0)
    outer = cumulative_sums(sums.view(-1, COLOR_CELLS, NUM_LEVELS + 1))
    total, outer = outer[..., -1:], outer[..., :NUM_LEVELS]
    fraction = inside / pixels
    # Half a pixel more in each cell, divided like the whole image: a cell with few pixels tells little.
    in_cell = (total - outer + 0.5 * fraction[:, None]) / (total + 0.5)
    left = (total / pixels * _binary_entropy(in_cell)).sum(1)
    entropy = _binary_entropy(fraction)
    return (entropy - left) / (entropy + MIN_ENTROPY)


def _color_cells(image: Tensor) -> Tensor:
    """Each pixel's cell in the range of the image's colours, ``(N, H W)`` in [0, COLOR_CELLS)."""
    x = image.flatten(2)[:, :MAX_CHANNELS]
    low, high = x.amin(2, keepdim=True), x.amax(2, keepdim=True)
    side = int(COLOR_CELLS ** (1 / max(x.shape[1], 3)) + 1e-9)
    place = ((x - low) / (high - low).clamp_min(MIN_RANGE) * side).long().clamp(0, side - 1)
    weight = side ** torch.arange(x.shape[1], device=x.device)
    return (place * weight[:, None]).sum(1)


def _binary_entropy(p: Tensor) -> Tensor:
    return torch.special.entr(p) + torch.special.entr((1 - p).clamp_min(0))


def _border(below: Tensor) -> Tensor:
    """The fraction of the pixels on the image's border that lie inside: of ``(N C, H, W)``, ``(N C, NUM_LEVELS)``."""
    border = torch.cat([below[:, 0], below[:, -1], below[:, :, 0], below[:, :, -1]], 1)
    level = torch.arange(NUM_LEVELS, device=below.device)
    return (border[:, None] > level[:, None]).double().mean(2)
