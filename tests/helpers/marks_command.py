"""What the tests of ``closedform-wsss marks`` share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from closedform_wsss.io import read_label_png
from helpers.exports import labelme, shape, write

LINE = shape("road", "linestrip", [[1.5, 3.5], [14.5, 3.5]])
POINT = shape("car", "point", [[4.5, 8.5]])


def image(path: Path, height: int = 12, width: int = 16, orientation: int = 1) -> Path:
    """A photograph."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(1).integers(60, 200, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def results(folder: Path) -> dict[str, torch.Tensor]:
    """The label maps that the command wrote."""
    marks = folder / "marks"
    return {path.relative_to(marks).as_posix(): read_label_png(path) for path in sorted(marks.rglob("*.png"))}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with images and the files of labelme, in two folders."""
    root = tmp_path / "data"
    image(root / "a.jpg")
    image(root / "sub" / "b é.png")
    write(root / "a.json", labelme([LINE], "a.jpg"))
    write(root / "sub" / "b é.json", labelme([POINT], "..\\sub\\b é.png"))
    return root
