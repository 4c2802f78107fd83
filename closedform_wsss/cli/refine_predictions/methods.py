"""The methods of ``refine-predictions``.

A method takes probabilities, float32 ``(1, C, h, w)``, the image, uint8 ``(1, 3, H, W)``, and its marks, ``(1, H, W)``
or None, and returns probabilities ``(1, C, H, W)``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.functional import asam, dense_crf, refine_prediction, soft_slic

SCALE, FIDELITY = 0.5, 0.1
ASAM_CELL_SIZE, ASAM_ITERS = 8, 5
# Half of the weights that are usual after DeepLab. Those of pydensecrf remove what is small: benchmarks/predictions.
CRF = partial(
    dense_crf,
    smoothness_weight=1.5,
    smoothness_sigma=1.0,
    appearance_weight=2.0,
    position_sigma=67.0,
    color_sigma=3 / 255,
)


def none(probs: Tensor, image: Tensor, marks: Tensor | None, scale: float, fidelity: float) -> Tensor:
    """The probabilities at the image's size."""
    return with_marks(resized(probs, image), marks)


def matting(probs: Tensor, image: Tensor, marks: Tensor | None, scale: float, fidelity: float) -> Tensor:
    """The matting filter, which holds the marks."""
    return refine_prediction(probs, image, marks, scale=scale, fidelity=fidelity)


def propagated(probs: Tensor, image: Tensor, marks: Tensor | None, scale: float, fidelity: float) -> Tensor:
    """ASAM on superpixels of 8 pixels."""
    spread = asam(
        with_marks(resized(probs, image), marks), soft_slic(image, cell_size=ASAM_CELL_SIZE), num_iters=ASAM_ITERS
    )
    return with_marks(spread, marks)


def crf(probs: Tensor, image: Tensor, marks: Tensor | None, scale: float, fidelity: float) -> Tensor:
    """The dense CRF with weak kernels."""
    return with_marks(CRF(with_marks(resized(probs, image), marks), image), marks)


def resized(probs: Tensor, image: Tensor) -> Tensor:
    return F.interpolate(probs, image.shape[-2:], mode="bilinear", align_corners=False)


def with_marks(probs: Tensor, marks: Tensor | None) -> Tensor:
    """Probabilities that are certain where there is a mark."""
    if marks is None:
        return probs
    classes = torch.arange(probs.shape[1])[:, None, None]
    return torch.where((marks != IGNORE_INDEX)[:, None], (marks[:, None] == classes).to(probs.dtype), probs)


Method = Callable[[Tensor, Tensor, "Tensor | None", float, float], Tensor]
METHODS: dict[str, Method] = {"matting": matting, "asam": propagated, "dense-crf": crf, "none": none}
DEFAULT = "matting"
