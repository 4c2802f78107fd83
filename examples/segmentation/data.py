"""Folders of images with masks or marks, as pairs of tensors at one size.

FOLDER/images/NAME.jpg      or another of SUFFIXES
FOLDER/labels/NAME.png      classes, 255 = not labelled
FOLDER/scribbles/NAME.png   the same, mostly 255; or points/, or any other folder
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from closedform_wsss.functional import resize_marks
from closedform_wsss.io import IGNORE_INDEX, from_array, read_image, read_label_png

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


class DataError(ValueError):
    """A file that cannot be learned from. Workers of a DataLoader hand it on; SystemExit would end them unheard."""


def image_files(folder: Path) -> list[Path]:
    """The images of a folder, in the order of their names. Hidden files, as macOS puts beside images, are left out."""
    if not folder.is_dir():
        raise SystemExit(f"{folder} is no folder")
    visible = (file for file in folder.iterdir() if not file.name.startswith("."))
    files = sorted(file for file in visible if file.suffix.lower() in SUFFIXES)
    if not files:
        raise SystemExit(f"{folder} holds no images ({', '.join(SUFFIXES)})")
    times = Counter(file.stem for file in files)
    if twice := [file.name for file in files if times[file.stem] > 1]:
        raise SystemExit(f"{folder} must not hold two images of one name, got {', '.join(twice[:2])}")
    return files


class MarkedFolder(Dataset):
    """Items are (index, image ``(3, H, W)`` uint8, target ``(H, W)`` uint8).

    Args:
        folder: Holds ``images/`` and the targets' folder.
        targets: Name of the targets' folder. ``labels`` are resized by nearest neighbour, all others as marks, so that
            thin strokes stay.
        num_classes: Labels are 0 to num_classes - 1, or 255.
        size: (H, W) of the images; None leaves them as they are.
        resize_targets: Whether targets are resized too. Do not resize them to score a network.
        every: Take every N-th image, in the order of their names.
        keep: Whether items stay in memory after they were read.
    """

    def __init__(
        self,
        folder: Path,
        targets: str,
        num_classes: int,
        size: tuple[int, int] | None,
        *,
        resize_targets: bool = True,
        every: int = 1,
        keep: bool = True,
    ) -> None:
        if not (folder / "images").is_dir():
            raise SystemExit(f"{folder} must hold a folder images/")
        self.images = image_files(folder / "images")[::every]
        self.targets = [folder / targets / f"{file.stem}.png" for file in self.images]
        if missing := [str(file) for file in self.targets if not file.exists()]:
            raise SystemExit(f"{len(missing)} images have no target, the first is missing here: {missing[0]}")
        self.marks, self.num_classes = targets != "labels", num_classes
        self.size, self.resize_targets = size, resize_targets
        self.kept: dict[int, tuple[Tensor, Tensor]] | None = {} if keep else None

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return self.images[index].stem

    def shares(self) -> Tensor:
        """Fraction of each class in the labelled pixels, ``(C,)``."""
        counts = sum(torch.bincount(self[k][2].flatten().long(), minlength=256) for k in range(len(self)))
        counts = counts[: self.num_classes]
        if not counts.any():
            raise SystemExit(f"{self.targets[0].parent} has no labelled pixel")
        return counts / counts.sum()

    def __getitem__(self, index: int) -> tuple[int, Tensor, Tensor]:
        if self.kept is not None and index in self.kept:
            return index, *self.kept[index]
        pair = self._read(index)
        if self.kept is not None:
            self.kept[index] = pair
        return index, *pair

    def _read(self, index: int) -> tuple[Tensor, Tensor]:
        try:
            image, target = read_image(self.images[index]), read_label_png(self.targets[index])
        except ValueError as error:  # it names the file
            raise DataError(str(error)) from error
        if target.shape != image.shape[1:]:
            raise DataError(
                f"{self.targets[index]} has {target.shape[1]} x {target.shape[0]} pixels, "
                f"its image {image.shape[2]} x {image.shape[1]}"
            )
        present = target.unique()
        if wrong := present[(present >= self.num_classes) & (present != IGNORE_INDEX)].tolist():
            raise DataError(f"{self.targets[index]}: labels must be below {self.num_classes} or 255, got {wrong}")
        if self.size is not None:
            height, width = self.size
            method = Image.Resampling.BOX if height < image.shape[1] else None
            image = from_array(Image.fromarray(image.permute(1, 2, 0).numpy()).resize((width, height), method))
            if self.resize_targets and self.marks:
                target = resize_marks(target[None], self.size, num_classes=self.num_classes)[0]
            elif self.resize_targets:
                small = Image.fromarray(target.byte().numpy()).resize((width, height), Image.Resampling.NEAREST)
                target = torch.from_numpy(np.array(small))
        return image.contiguous(), target.byte()  # to keep: int64 takes eight times the memory
