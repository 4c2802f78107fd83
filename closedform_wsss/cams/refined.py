"""Refined CAMs of one image, and the files that they become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from closedform_wsss.cams.methods import REFINERS
from closedform_wsss.cams.values import check_upright, unit_range
from closedform_wsss.functional import pseudo_labels
from closedform_wsss.io import write_cam, write_label_png

LARGEST_LABEL = 254  # 255 is void in a label map
DEFAULT_THRESHOLD = 0.4


@dataclass(frozen=True)
class RefineOptions:
    """The options that decide what is in the files; see ``refine_folder``."""

    method: str
    normalize: bool
    format: str | None  # None: that of the input
    threshold: float | None
    power: float | None
    margin: float

    def recorded(self, kind: str) -> dict[str, object]:
        """All of them that the bytes of the results depend on, "cams" or "labels"."""
        shared: dict[str, object] = {"method": self.method, "normalize": self.normalize}
        if kind == "cams":
            return {**shared, "format": self.format}
        return {**shared, "threshold": self.threshold, "power": self.power, "margin": self.margin}


def check_classes(classes: Tensor) -> None:
    """Refuses classes that a label map cannot hold."""
    if len(classes) and classes.max() > LARGEST_LABEL:
        raise ValueError(f"classes must be up to {LARGEST_LABEL} in a label map, got {classes.max()}")


@torch.no_grad()
def refined_maps(
    options: RefineOptions, image: Tensor, maps: Tensor, cues: Mapping[str, Tensor] = MappingProxyType({})
) -> Tensor:
    """CAMs ``(K, H, W)`` in [0, 1] of the image's size, from ``(K, h, w)``, with maps ``(1, h, w)`` of saliency and the
    like by name.

    Raises:
        ValueError: The maps are not in [0, 1], or turned against the image.
    """
    height, width = image.shape[1:]
    check_upright(maps, height, width)
    for cue, map in cues.items():
        check_upright(map, height, width, what=f"map of {cue}")
    maps = unit_range(maps, normalize=options.normalize)
    if len(maps) == 0:
        return torch.zeros(0, height, width, device="cpu")
    batch = {cue: map[None] for cue, map in cues.items()}
    return REFINERS[options.method](image[None], maps[None], **batch)[0].float().clamp(0, 1)


def write_results(
    options: RefineOptions, classes: Tensor, maps: Tensor, cams: Path | None, labels: Path | None, format: str
) -> None:
    """Writes the CAMs and the pseudo-labels. A file that is None is not wanted."""
    if cams is not None:
        write_cam(cams, classes, maps, format=format)
    if labels is not None:
        winner = pseudo_labels(
            maps[None],
            threshold=options.threshold,
            power=options.power,
            margin=options.margin,
            classes=classes.tolist(),
        )
        write_label_png(labels, winner[0])
