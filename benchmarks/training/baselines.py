"""Baseline losses for training from marks, in plain PyTorch, written from the papers' formulas.

Each takes probabilities p ``(N, C, H, W)`` and the image ``(N, 3, H, W)`` in [0, 1], and is added to the cross-entropy
on the marks (rows.py has the weights). ``LOSSES`` holds them, and other forms of our own losses, as functions of the
example's batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss.functional import absent_class_loss, classes_present, closed_form_loss, mark_loss
from closedform_wsss.io import IGNORE_INDEX
from training.tree_energy import tree_energy

BASELINES = ("gated_crf", "dense_crf", "normalized_cut", "pairwise_affinity", "entropy")


def gated_crf(
    p: Tensor, image: Tensor, *, radius: int = 5, sigma_xy: float = 6.0, sigma_rgb: float = 0.1, cell: int = 2
) -> Tensor:
    """Obukhov et al., arXiv 1906.04651: a CRF's Potts energy in a window around each pixel, no image gated out.

    1/P sum_i sum_{j in the window} k_ij sum_c p_i(c) (1 - p_j(c)), k_ij = exp(-|x_i - x_j|^2 / 2 sigma_xy^2 - |I_i -
    I_j|^2 / 2 sigma_rgb^2). Each pair is visited once and counted twice. Probabilities and image are averaged over
    cells of ``cell`` pixels first, as the paper's loss also takes an image at the size of smaller predictions; a window
    then reaches twice as far, at a quarter of the time. ``radius`` and ``sigma_xy`` count cells, as in the authors'
    program, which counts pixels of the predictions.
    """
    p, image = F.avg_pool2d(p, cell), F.avg_pool2d(image, cell)
    total = p.new_zeros(())
    for dy in range(radius + 1):
        for dx in range(-radius, radius + 1):
            if dy == 0 and dx <= 0:
                continue
            a, b = _pairs(image, dy, dx)
            kernel = torch.exp(-(dy * dy + dx * dx) / (2 * sigma_xy**2) - (a - b).square().sum(1) / (2 * sigma_rgb**2))
            a, b = _pairs(p, dy, dx)
            total = total + 2 * (kernel * (1 - (a * b).sum(1))).sum()
    return total / (p.shape[0] * p.shape[2] * p.shape[3])


def dense_crf(p: Tensor, image: Tensor, *, sigma_xy: float = 100.0, sigma_rgb: float = 15 / 255) -> Tensor:
    """Tang et al., ECCV 2018: sum_c p_c^T W (1 - p_c) with a Gaussian W of all pairs of pixels, over P rows of W.

    The sigmas are for images about 500 pixels wide and follow the size. Summed exactly, which a quarter of each side
    allows; the paper approximates it at half.
    """
    p, kernel = _dense(p, image, sigma_xy, sigma_rgb)
    cut, degree = _cut(p, kernel)
    return (cut.sum(1) / degree.sum((1, 2))).mean()


def normalized_cut(p: Tensor, image: Tensor, *, sigma_xy: float = 100.0, sigma_rgb: float = 15 / 255) -> Tensor:
    """Tang et al., CVPR 2018: sum_c p_c^T W (1 - p_c) / d^T p_c, d = W 1, with the same W as :func:`dense_crf`."""
    p, kernel = _dense(p, image, sigma_xy, sigma_rgb)
    cut, degree = _cut(p, kernel)
    return (cut / (degree * p).sum(1).clamp_min(1e-6)).sum(1).mean()


def pairwise_affinity(p: Tensor, image: Tensor, *, dilation: int = 2, threshold: float = 0.3) -> Tensor:
    """Tian et al. (BoxInst), CVPR 2021: -log P(same label) of neighbours of alike colour.

    Neighbours are the eight at distance ``dilation``; alike is exp(-|I_i - I_j| / 2) >= threshold, in CIELAB.
    """
    from closedform_wsss.superpixels.lab import rgb_to_lab

    lab = rgb_to_lab(image)
    total, count = p.new_zeros(()), p.new_zeros(())
    for dy, dx in ((0, 1), (1, -1), (1, 0), (1, 1)):
        a, b = _pairs(lab, dy * dilation, dx * dilation)
        alike = (torch.exp(-(a - b).norm(dim=1) / 2) >= threshold).to(p.dtype)
        a, b = _pairs(p, dy * dilation, dx * dilation)
        total = total - (alike * (a * b).sum(1).clamp_min(1e-6).log()).sum()
        count = count + alike.sum()
    return total / count.clamp_min(1)


def entropy(p: Tensor, image: Tensor) -> Tensor:
    """Grandvalet & Bengio, NIPS 2004: the entropy of the predictions, over log C. It does not look at the image."""
    return -torch.special.xlogy(p, p).sum(1).mean() / math.log(p.shape[1])


def mean_teacher(p: Tensor, teacher: Tensor) -> Tensor:
    """Tarvainen & Valpola, NIPS 2017: squared distance to the predictions of the averaged network, summed over classes.

    Their networks see two augmentations of an image; here the teacher sees the mirrored one.
    """
    return (p - teacher).square().sum(1).mean()


def _pairs(maps: Tensor, dy: int, dx: int) -> tuple[Tensor, Tensor]:
    """Views of the pixels i and of i + (dy, dx), dy >= 0, wherever both exist."""
    h, w = maps.shape[-2:]
    left, right = max(0, -dx), max(0, dx)
    return maps[..., : h - dy, left : w - right], maps[..., dy:, right : w - left]


def _dense(p: Tensor, image: Tensor, sigma_xy: float, sigma_rgb: float) -> tuple[Tensor, Tensor]:
    """p ``(N, P, C)`` and the kernel ``(N, P, P)`` at a quarter of each side."""
    size = (max(p.shape[2] // 4, 1), max(p.shape[3] // 4, 1))
    p = F.interpolate(p, size, mode="area").flatten(2).mT
    colour = F.interpolate(image, size, mode="area").flatten(2).mT
    row, column = torch.meshgrid(*(torch.arange(n, device=p.device) for n in size), indexing="ij")
    place = torch.stack([row, column], 2).flatten(0, 1).to(p.dtype)
    scale = sigma_xy * size[1] / 500
    features = torch.cat([colour / sigma_rgb, (place / scale).expand(len(p), -1, -1)], 2)
    # -|f_i - f_j|^2 / 2 as one product, and the exponential in its place: P^2 numbers are the memory of this loss.
    half = -(features * features).sum(2, keepdim=True) / 2
    one = torch.ones_like(half)
    kernel = torch.cat([features, half, one], 2) @ torch.cat([features, one, half], 2).mT
    return p, kernel.clamp_max_(0).exp_()


def _cut(p: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """p_c^T W (1 - p_c) of each class, ``(N, C)``, and the degrees W 1, ``(N, P, 1)``.

    W is symmetric, so that the gradient W 1 - 2 W p needs no second product with W.
    """
    degree, product = kernel.sum(2, keepdim=True), kernel @ p.detach()
    return (p * (degree - 2 * product)).sum(1) + (p.detach() * product).sum(1), degree


def _of_batch(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any], Tensor]:
    return lambda batch: loss(batch.logits.softmax(1), batch.image)


def _absent(batch: Any) -> Tensor:
    return absent_class_loss(batch.logits, classes_present(batch.target, batch.logits.shape[1]))


def _tree_energy(batch: Any) -> Tensor:
    """Of the batches of :class:`~training.observed.ObservedTrainer`."""
    return tree_energy(batch.logits.softmax(1), batch.image, batch.features, batch.target != IGNORE_INDEX)


def _mean_teacher(batch: Any) -> Tensor:
    return mean_teacher(batch.logits.softmax(1), batch.teacher)


def _marks_plain(batch: Any) -> Tensor:
    """The cross-entropy of mark_loss, in which rare classes weigh more, and the loss for absent classes."""
    present = classes_present(batch.target, batch.logits.shape[1])
    return mark_loss(batch.logits, batch.target, batch.image, class_present=present, energy_weight=0, crf_weight=0)


def _marks_crf_1(batch: Any) -> Tensor:
    present = classes_present(batch.target, batch.logits.shape[1])
    return mark_loss(batch.logits, batch.target, batch.image, class_present=present, crf_weight=1)


def _energy_full(batch: Any) -> Tensor:
    return closed_form_loss(batch.logits, None, batch.image)


WHOLE = ("marks_plain", "marks_crf_1")  # they take the place of the cross-entropy on the marks
LOSSES: dict[str, Callable[[Any], Tensor]] = {
    **{name: _of_batch(globals()[name]) for name in BASELINES},
    "tree_energy": _tree_energy,
    "mean_teacher": _mean_teacher,
    "absent": _absent,
    "energy_full": _energy_full,
    "marks_plain": _marks_plain,
    "marks_crf_1": _marks_crf_1,
}
