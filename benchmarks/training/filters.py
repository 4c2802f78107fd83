"""What may stand in the matting filter's place in the recipe: the refiners of cams/baselines.py, given marks.

Arguments as of ``closedform_wsss.functional.matting_filter`` with ``target``: probabilities ``(N, C, h, w)``, the image
``(N, 3, h, w)`` in [0, 1] and marks ``(N, H, W)``, which overwrite the probabilities first. The matting filter's own
settings are of no use here.
"""

from __future__ import annotations

import numpy as np
import torch
from cams import baselines
from torch import Tensor

from closedform_wsss.functional import resize_marks


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
    classes, height, width = p.shape[1:]
    found = []
    for x, maps in zip(image, p, strict=True):
        crf = baselines._crf.DenseCRF2D(width, height, classes)
        crf.setUnaryEnergy(np.ascontiguousarray(-maps.clamp_min(1e-5).log().flatten(1).numpy()))
        crf.addPairwiseGaussian(sxy=1, compat=3)
        picture = np.ascontiguousarray((x * 255).round().byte().permute(1, 2, 0).numpy())
        crf.addPairwiseBilateral(sxy=67 * width / 500, srgb=3, rgbim=picture, compat=4)
        found.append(torch.tensor(np.array(crf.inference(10))).view(classes, height, width))
    return torch.stack(found)
