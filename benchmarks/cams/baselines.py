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
from closedform_wsss.lattice.lattice import image_lattice

try:
    _crf = importlib.import_module("pydensecrf.densecrf")
except ImportError:
    DENSE_CRF = None
else:
    _package = importlib.metadata.packages_distributions()["pydensecrf"][0]  # it has forks
    DENSE_CRF = f"{_package} {importlib.metadata.version(_package)}"

Refiner = Callable[..., Tensor]

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
    return _means(around, x, variance, raw(image, cam), num_iters)


def pamr_program(image: Tensor, cam: Tensor, *, side: int = 4, num_iters: int = 10) -> Tensor:
    """PAMR as the program of its authors has it: at the size of a network's output, here a quarter of the image's, and
    with a tenth of the standard deviation (unbiased, the pixel itself counted once a dilation) for the variance."""
    small, p = smaller(image, cam, side)
    around = torch.stack(neighbours(small[0]))
    deviation = torch.cat([around, small.expand(len(_DILATIONS), -1, -1, -1)]).std(0)
    return raw(image, _means(around, small[0], 0.1 * deviation, p, num_iters))


def _means(around: Tensor, x: Tensor, scale: Tensor, maps: Tensor, num_iters: int) -> Tensor:
    affinity = (-(around - x).abs() / (scale + 1e-8)).mean(1).softmax(0)
    for _ in range(num_iters):
        refined = torch.zeros_like(maps[0])
        for weight, seen in zip(affinity, neighbours(maps[0]), strict=True):
            refined.addcmul_(weight, seen)
        maps = refined[None]
    return maps


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


def smaller(image: Tensor, cam: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Image in [0, 1] and CAM at a fraction of the image's size."""
    size = tuple(max(round(length / side), 1) for length in image.shape[-2:])
    small = F.interpolate(image.float() / 255, size, mode="bilinear", antialias=True).clamp(0, 1)
    return small, resize(cam, size).clamp(0, 1)


def guided_filter(image: Tensor, cam: Tensor, *, radius: int, eps: float) -> Tensor:
    r"""The guided filter with the colours as its guide, at half of the size: in each window a linear regression,

    .. math:: a_k = (\Sigma_k + \epsilon)^{-1} \mathrm{cov}_k(I, p), \quad b_k = \bar p_k - a_k^\top \mu_k, \quad
        q_i = \bar a_i^\top I_i + \bar b_i .

    Reference:
        He, Sun, Tang: Guided image filtering. ECCV 2010.
    """
    guide, p = (maps.double() for maps in smaller(image, cam, 2))

    def mean(maps: Tensor) -> Tensor:
        rows = F.avg_pool2d(maps, (2 * radius + 1, 1), 1, (radius, 0), count_include_pad=False)
        return F.avg_pool2d(rows, (1, 2 * radius + 1), 1, (0, radius), count_include_pad=False)

    classes = p.shape[1]
    mu, of_p = mean(guide), mean(p)
    products = (guide[:, :, None] * guide[:, None]).flatten(1, 2)
    sigma = mean(products).unflatten(1, (3, 3)) - mu[:, :, None] * mu[:, None]
    sigma = sigma.permute(0, 3, 4, 1, 2) + eps * torch.eye(3, dtype=torch.float64)
    cross = (
        mean((guide[:, :, None] * p[:, None]).flatten(1, 2)).unflatten(1, (3, classes)) - mu[:, :, None] * of_p[:, None]
    )
    a = torch.linalg.solve(sigma, cross.permute(0, 3, 4, 1, 2)).permute(0, 3, 4, 1, 2)  # (1, 3, C, h, w)
    b = of_p - (a * mu[:, :, None]).sum(1)
    a = mean(a.flatten(1, 2)).unflatten(1, (3, classes))
    return raw(image, ((a * guide[:, :, None]).sum(1) + mean(b)).float().clamp(0, 1))


def bilateral_filter(image: Tensor, cam: Tensor, *, position: float, color: float) -> Tensor:
    r"""The joint bilateral filter at half of the size: means with Gaussian weights of position (a part of the image's
    longer side) and colour, by this library's permutohedral lattice.

    Reference:
        Petschnigg et al.: Digital photography with flash and no-flash image pairs. SIGGRAPH 2004.
    """
    guide, p = smaller(image, cam, 2)
    h, w = p.shape[2:]
    lattice = image_lattice(guide, position * max(h, w), color)
    values = torch.cat([p, torch.ones_like(p[:, :1])], 1).flatten(2).transpose(1, 2).contiguous()
    sums = lattice.filter(values).transpose(1, 2).unflatten(2, (h, w))
    return raw(image, (sums[:, :-1] / sums[:, -1:].clamp_min(1e-12)).clamp(0, 1))


def random_walk(image: Tensor, cam: Tensor, *, sigma: float, steps: int, radius: int = 5) -> Tensor:
    r"""A random walk as in IRN, on colours in place of learned boundaries: at a quarter of the size,

    .. math:: a_{ij} = \exp(-|I_i - I_j|^2 / 2 \sigma^2) \text{ within } r \text{ pixels}, \qquad
        m \leftarrow D^{-1} A\, m .

    Reference:
        Ahn, Cho, Kwak: Weakly supervised learning of instance segmentation with inter-pixel relations. CVPR 2019.
    """
    guide, p = smaller(image, cam, 4)
    h, w = p.shape[2:]
    reach = range(-radius, radius + 1)
    shifts = [(y, x) for y in reach for x in reach if y * y + x * x <= radius * radius]
    row, column = torch.arange(h)[:, None], torch.arange(w)
    rows, columns, values = [], [], []
    for y, x in shifts:
        inside = (row + y >= 0) & (row + y < h) & (column + x >= 0) & (column + x < w)
        here = (row * w + column)[inside]
        there = here + y * w + x
        colours = guide[0].flatten(1)
        difference = (colours[:, here] - colours[:, there]).square().sum(0)
        rows.append(here)
        columns.append(there)
        values.append((-difference / (2 * sigma**2)).exp())
    affinity = torch.sparse_coo_tensor(torch.stack([torch.cat(rows), torch.cat(columns)]), torch.cat(values))
    affinity = affinity.coalesce().to_sparse_csr()
    maps = p[0].flatten(1).T.contiguous()
    total = affinity @ torch.ones(h * w, 1)
    for _ in range(steps):
        maps = (affinity @ maps) / total
    return raw(image, maps.T.reshape(p.shape).clamp(0, 1))


BASELINES: dict[str, Refiner] = {
    "raw": raw,
    "asam-paper-20": partial(paper_asam, num_iters=20),
    "asam-paper-40": partial(paper_asam, num_iters=40),
    "pamr": pamr,
    "pamr-program": pamr_program,
    "guided-8": partial(guided_filter, radius=8, eps=1e-3),
    "guided-20": partial(guided_filter, radius=20, eps=1e-3),
    "bilateral-small": partial(bilateral_filter, position=0.05, color=0.1),
    "bilateral-large": partial(bilateral_filter, position=0.15, color=0.1),
    "random-walk-32": partial(random_walk, sigma=0.05, steps=32),
    "random-walk-256": partial(random_walk, sigma=0.05, steps=256),
}
if DENSE_CRF is not None:
    weak = partial(dense_crf, bilateral=(4, 67, 3), gaussian=(3, 1))
    strong = partial(dense_crf, bilateral=(10, 80, 13), gaussian=(3, 3))
    BASELINES |= {
        f"pydensecrf-{name}-{power}": partial(setting, power=power)
        for name, setting in (("weak", weak), ("strong", strong))
        for power in (1, 2, 4)
    }
