"""A few images of several data sets, with marks, labels and the soft maps that the filter gets."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from common.paths import ROOT
from torch import Tensor

from closedform_wsss.functional import background_score
from closedform_wsss.io import read_cam, read_image, read_label_png


@dataclass(frozen=True)
class Set:
    """A data set: every so many images of a folder, and where the soft maps come from: CAMs, or a network at a size."""

    name: str
    folder: str
    classes: int
    every: int
    network: tuple[int, int] | None = None


SETS = (
    Set("acdc", "acdc/val", 4, 12, (128, 128)),
    Set("camvid", "camvid/val", 11, 10, (180, 240)),
    Set("voc_scribbles", "voc_scribbles/val", 21, 9),
    Set("ecssd", "ecssd", 2, 8),
)


@dataclass(frozen=True)
class Item:
    """Image uint8 ``(1, D, H, W)``, marks ``(1, H, W)``, label ``(H, W)``, the number of classes, and if there is a
    filter to try, maps ``(1, C, h, w)`` that add up to 1."""

    image: Tensor
    marks: Tensor
    label: Tensor
    classes: int
    maps: Tensor | None


def files(data: Path, chosen: Set) -> list[Path]:
    """The images of a set that count."""
    return sorted((data / chosen.folder / "images").glob("*.jpg"))[:: chosen.every]


def read(data: Path, work: Path | None, chosen: Set) -> list[Item]:
    """The images of a set. A network's weights are WORK/NAME.pt; None: no maps."""
    folder, model = data / chosen.folder, None
    if work is not None and chosen.network is not None:
        model = _network(work / f"{chosen.name}.pt", chosen.classes)
    items = []
    for path in files(data, chosen):
        image = read_image(path)[None]
        marks, label = (read_label_png(folder / kind / f"{path.stem}.png") for kind in ("scribbles", "labels"))
        if work is None:
            maps = None
        elif model is None:
            maps = _of_cam(folder / "cams" / f"{path.stem}.npz", chosen.classes)
        else:
            maps = model(F.interpolate(image.float() / 255, chosen.network, mode="area")).softmax(1)
        if bool((image[:, :1] == image).all()):
            image = image[:, :1]
        items.append(Item(image, marks[None], label, chosen.classes, maps))
    return items


def _of_cam(path: Path, classes: int) -> Tensor:
    present, cam = read_cam(path)
    maps = torch.zeros(1, classes, *cam.shape[1:])
    maps[0, present] = cam.clamp(0, 1)
    maps[:, :1] = background_score(maps[:, 1:], power=2)
    return maps / maps.sum(1, keepdim=True)


def _network(weights: Path, classes: int) -> torch.nn.Module:
    sys.path.insert(0, str(ROOT / "examples"))
    from segmentation.model import build_model

    model = build_model("lite_fpn", classes, False)
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model.eval()
