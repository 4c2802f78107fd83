"""What else refines CAMs: the baselines of ``refine-cams`` here.

As there, a method takes the image, uint8 ``(1, 3, H, W)``, and its CAMs, float32 ``(1, C, h, w)`` in [0, 1], and
returns CAMs ``(1, C, H, W)``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss.functional import asam, background_score, soft_slic

try:
    _crf = importlib.import_module("pydensecrf.densecrf")
except ImportError:
    DENSE_CRF = None
else:
    _package = importlib.metadata.packages_distributions()["pydensecrf"][0]  # it has forks
    DENSE_CRF = f"{_package} {importlib.metadata.version(_package)}"

Refiner = Callable[[Tensor, Tensor], Tensor]

_DILATIONS = (1, 2, 4, 8, 12, 24)
_RING = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
_SMALLEST_PROBABILITY = 1e-30


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, any size."""
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def raw(image: Tensor, cam: Tensor) -> Tensor:
    """The CAM at the image's size."""
    return resize(cam, (image.shape[-2], image.shape[-1]))


def paper_asam(image: Tensor, cam: Tensor, *, num_iters: int) -> Tensor:
    """ASAM as its paper uses it: full size, cells of 16 pixels, no restart (Ma et al., 2023)."""
    return asam(cam, soft_slic(image, cell_size=16), num_iters=num_iters)


def neighbours(maps: Tensor) -> list[Tensor]:
    """``(C, H, W)`` seen from each pixel's 48 neighbours: 3 x 3 at each dilation, the border repeated."""
    height, width = maps.shape[-2:]
    reach = max(_DILATIONS)
    padded = F.pad(maps[None], (reach,) * 4, mode="replicate")[0]
    corners = [(reach + d * y, reach + d * x) for d in _DILATIONS for y, x in _RING]
    return [padded[:, top : top + height, left : left + width] for top, left in corners]


def pamr(image: Tensor, cam: Tensor, *, num_iters: int = 10) -> Tensor:
    r"""Pixel-adaptive mask refinement: each pixel becomes a mean of its 48 neighbours, a few times.

    With intensities x in [0, 1], :math:`\sigma_i` their standard deviation over i and its neighbours, and k averaged
    over the colours,

    .. math::
        k_{ij} = -\frac{|x_i - x_j|}{\sigma_i^2}, \qquad \alpha_{ij} = \frac{e^{k_{ij}}}{\sum_l e^{k_{il}}}, \qquad
        m_i \leftarrow \sum_j \alpha_{ij} m_j.

    Reference:
        Araslanov, Roth: Single-stage semantic segmentation from image labels. CVPR 2020.
    """
    x = image[0].float() / 255
    around = torch.stack(neighbours(x))  # (48, 3, H, W)
    variance = torch.cat([around, x[None]]).var(0, correction=0)
    affinity = (-(around - x).abs() / (variance + 1e-8)).mean(1).softmax(0)
    maps = raw(image, cam)[0]
    for _ in range(num_iters):
        refined = torch.zeros_like(maps)
        for weight, seen in zip(affinity, neighbours(maps), strict=True):
            refined.addcmul_(weight, seen)
        maps = refined
    return maps[None]


def dense_crf(
    image: Tensor, cam: Tensor, *, power: float, bilateral: tuple[int, int, int], gaussian: tuple[int, int]
) -> Tensor:
    r"""A fully connected CRF's odds of each class against the background, after 10 iterations of mean field.

    The unary term is the CAM with :func:`background_score` in front, divided by their sum. The probabilities q are
    almost 0 or 1, and no threshold tells them apart: :math:`1 / (1 + (q_0 / q_c)^{1/10})` keeps their order.

    Args:
        power: Of the background score.
        bilateral: Weight, standard deviation in pixels and in colour (of 255) of the first kernel.
        gaussian: Weight and standard deviation in pixels of the second.

    Reference:
        Krähenbühl, Koltun: Efficient inference in fully connected CRFs with Gaussian edge potentials. NIPS 2011.
    """
    height, width = image.shape[-2:]
    maps = raw(image, cam).clamp(0, 1)
    scores = torch.cat([background_score(maps, power=power), maps], 1)[0]
    unary = -(scores / scores.sum(0)).clamp_min(1e-5).log()
    crf = _crf.DenseCRF2D(width, height, len(scores))
    crf.setUnaryEnergy(np.ascontiguousarray(unary.flatten(1).numpy()))
    crf.addPairwiseGaussian(sxy=gaussian[1], compat=gaussian[0])
    picture = np.ascontiguousarray(image[0].permute(1, 2, 0).numpy())
    crf.addPairwiseBilateral(sxy=bilateral[1], srgb=bilateral[2], rgbim=picture, compat=bilateral[0])
    found = np.array(crf.inference(10), dtype=np.float32).reshape(len(scores), height, width)
    log = torch.from_numpy(found).clamp_min(_SMALLEST_PROBABILITY).log()
    return ((log[1:] - log[:1]) / 10).sigmoid()[None]


BASELINES: dict[str, Refiner] = {
    "raw": raw,
    "asam-paper-20": partial(paper_asam, num_iters=20),
    "asam-paper-40": partial(paper_asam, num_iters=40),
    "pamr": pamr,
}
if DENSE_CRF is not None:
    weak = partial(dense_crf, bilateral=(4, 67, 3), gaussian=(3, 1))
    strong = partial(dense_crf, bilateral=(10, 80, 13), gaussian=(3, 3))
    BASELINES |= {
        f"pydensecrf-{name}-{power}": partial(setting, power=power)
        for name, setting in (("weak", weak), ("strong", strong))
        for power in (1, 2, 4)
    }
