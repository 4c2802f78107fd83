"""What may stand in the matting filter's place in the recipe: the refiners of cams/baselines.py, given marks.

Arguments as of ``closedform_wsss.functional.matting_filter`` with ``target``: probabilities ``(N, C, h, w)``, the image
``(N, 3, h, w)`` in [0, 1] and marks ``(N, H, W)``, which overwrite the probabilities first. The matting filter's own
settings are of no use here.
"""

from __future__ import annotations

import importlib

import torch
from cams import baselines
from torch import Tensor

from closedform_wsss.functional import dense_crf, resize_marks


def none(p: Tensor, image: Tensor, *, target: Tensor, **_: object) -> Tensor:
    """The probabilities, with the marks."""
    classes = p.shape[1]
    marks = resize_marks(target, p.shape[-2:], num_classes=classes, ignore_index=255)[:, None]
    return torch.where(marks != 255, (marks == torch.arange(classes)[:, None, None]).to(p.dtype), p)


def pamr(p: Tensor, image: Tensor, *, target: Tensor, **_: object) -> Tensor:
    p, image = none(p, image, target=target), image * 255
    return torch.cat([baselines.pamr(x[None], maps[None]) for x, maps in zip(image, p, strict=True)])


def mean_field(p: Tensor, image: Tensor, *, target: Tensor, **_: object) -> Tensor:
    """Ten iterations of a dense CRF with the weights that are usual after DeepLab (4 and 3; of the bilateral kernel 67
    pixels of images 500 wide and 3 of 255 in colour, of the other one pixel)."""
    p = none(p, image, target=target)
    return dense_crf(
        p, image, smoothness_weight=3, smoothness_sigma=1, appearance_weight=4,
        position_sigma=67 * p.shape[3] / 500, color_sigma=3 / 255,
    )  # fmt: skip


def use(name: str) -> None:
    """``refine_prediction``, and with it self-training, filters by this function from now on."""
    module, chosen = importlib.import_module("closedform_wsss.functional.refine_prediction"), globals()[name]
    assert hasattr(module, "filter_maps"), "refine_prediction filters by another function now"
    module.filter_maps = lambda fn, cure, *maps, **options: chosen(*maps, **options)  # type: ignore[attr-defined]
