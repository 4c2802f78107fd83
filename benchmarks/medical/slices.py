"""Slices of ACDC with their human scribbles and masks, by patient."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from closedform_wsss.io import read_image, read_label_png

CLASSES = 4
# Of the training patients these choose the settings; no network is trained on them.
TUNING = 7


@dataclass(frozen=True)
class Slice:
    """Image uint8 ``(1, 1, H, W)``, marks ``(1, H, W)``, label ``(H, W)``; the name begins with the patient."""

    name: str
    image: Tensor
    marks: Tensor
    label: Tensor


def files(folder: Path, *, tuning: bool | None = None) -> list[Path]:
    """The images of a folder; of the patients that choose the settings, or of the others."""
    found = sorted((folder / "images").glob("patient*.jpg"))
    return [path for path in found if tuning is None or tuning == is_tuning(path.stem)]


def is_tuning(name: str) -> bool:
    return int(name.split("_")[0].removeprefix("patient")) % TUNING == 0


def read(paths: list[Path]) -> list[Slice]:
    """In the order of the files."""
    slices = []
    for path in paths:
        marks, label = (
            read_label_png(path.parent.parent / kind / f"{path.stem}.png") for kind in ("scribbles", "labels")
        )
        slices.append(Slice(path.stem, read_image(path)[None, :1], marks[None], label))
    return slices
