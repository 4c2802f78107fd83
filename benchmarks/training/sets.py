"""The data sets of the training benchmark, and how long a network trains on each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataSet:
    """A folder with train/ and val/, each with images/ and labels/; train/ also holds the marks.

    Every ``every``-th training image is used, so that all sets take about the same time.
    """

    name: str
    title: str
    folder: str
    classes: int
    size: tuple[int, int]
    epochs: int
    marks: tuple[str, ...]
    every: int = 1

    def arguments(self, data: Path) -> list[str]:
        """Of examples/train_segmentation.py."""
        root = data / self.folder
        return [
            *(str(root / "train"), "--val", str(root / "val"), "--classes", str(self.classes)),
            *("--size", *map(str, self.size), "--epochs", str(self.epochs), "--every", str(self.every)),
        ]


SETS = (
    DataSet("camvid", "CamVid", "camvid", 11, (180, 240), 12, ("scribbles", "points", "scribbles_sparse")),
    DataSet("voc", "VOC", "voc_scribbles", 21, (192, 256), 16, ("scribbles", "points")),
    DataSet("acdc", "ACDC", "acdc", 4, (128, 128), 16, ("scribbles",), every=3),
)
