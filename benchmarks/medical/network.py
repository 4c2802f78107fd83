"""A network for the filter to work on: the example's, trained from the scribbles for a few epochs."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from common.paths import ROOT
from torch import Tensor

from medical.slices import CLASSES, Slice, files

SIZE = (128, 128)
EPOCHS, EVERY = 12, 3


def trained(data: Path, work: Path) -> torch.nn.Module:
    """The network of examples/train_segmentation.py with its self-training in rounds, on the training patients that
    choose no setting; made once, kept in ``work``."""
    sys.path.insert(0, str(ROOT / "examples"))
    import train_segmentation
    from segmentation.model import build_model

    output = work / "network"
    if not (output / "model.pt").exists():
        folder = work / "train"
        for path in files(data / "train", tuning=False)[::EVERY]:
            for kind, name in (("images", path.name), ("scribbles", f"{path.stem}.png")):
                link = folder / kind / name
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.exists():
                    link.symlink_to((data / "train" / kind / name).resolve())
        train_segmentation.main(
            [
                *(str(folder), "--classes", str(CLASSES), "--size", *map(str, SIZE), "--epochs", str(EPOCHS)),
                *("--quiet", "-o", str(output)),
            ]
        )
    model = build_model("lite_fpn", CLASSES, False)
    model.load_state_dict(torch.load(output / "model.pt", map_location="cpu", weights_only=True))
    return model.eval()


@torch.no_grad()
def probabilities(model: torch.nn.Module, item: Slice) -> Tensor:
    """``(1, C, 128, 128)``, of the slice at the network's size, as the example reads it."""
    image = F.interpolate(item.image.float() / 255, SIZE, mode="area").expand(-1, 3, -1, -1)
    p: Tensor = model(image).softmax(1)
    return p
