"""Scores of all settings, of solver and filter, on the images of a set."""

from __future__ import annotations

from itertools import product

import torch.nn.functional as F
from torch import Tensor

from closedform_wsss.functional import refine_prediction, resize_marks, solve_matting
from closedform_wsss.metrics import ConfusionMatrix
from settings.sets import Item

Options = dict[str, float]

SCALES = (1.0, 0.5, 0.25)
SOLVER: list[Options] = [{"eps": eps, "scale": scale} for scale, eps in product(SCALES, (1e-7, 1e-6, 1e-5, 1e-4, 1e-3))]
FILTER: list[Options] = [
    {"eps": eps, "fidelity": fidelity, "scale": scale}
    for scale, eps, fidelity in product(SCALES, (1e-7, 1e-5, 1e-3), (0.003, 0.03, 0.3))
]
DEFAULTS: dict[str, Options] = {
    "solver": {"eps": 1e-7, "scale": 1.0},
    "filter": {"eps": 1e-7, "fidelity": 0.03, "scale": 1.0},
}
GRIDS = {"solver": SOLVER, "filter": FILTER}


def predicted(task: str, item: Item, options: Options) -> Tensor:
    """The class of each pixel, ``(1, H, W)``, from marks (solver) or from soft maps (filter)."""
    options = dict(options)
    size, scale = item.label.shape, options.pop("scale")
    small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    image = item.image
    if scale != 1:
        image = F.interpolate(image.float() / 255, small, mode="bilinear", antialias=True).clamp(0, 1)
    if task == "solver":
        marks = resize_marks(item.marks, small, num_classes=item.classes) if scale != 1 else item.marks
        maps = solve_matting(marks, image, num_classes=item.classes, tol=1e-2, **options).alpha
    else:
        assert item.maps is not None
        maps = F.interpolate(item.maps, small, mode="bilinear", antialias=True, align_corners=False)
        maps = refine_prediction(maps, image, **options)
    return F.interpolate(maps, size, mode="bilinear", align_corners=False).argmax(1)


def score(task: str, items: list[Item], options: list[Options]) -> float:
    """Mean IoU of all images in one confusion matrix; options of each image."""
    counts = ConfusionMatrix(items[0].classes)
    for item, own in zip(items, options, strict=True):
        counts.update(predicted(task, item, own), item.label[None])
    return counts.compute().mean_iou
