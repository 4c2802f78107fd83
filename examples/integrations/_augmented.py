"""A data set with augmentation, as a training script has it: it does not know of this library."""

from __future__ import annotations

import torch
from _photograph import scribbled_batch
from torch import Tensor
from torch.utils.data import Dataset


class Portraits(Dataset):
    """A portrait with scribbles, and its mirror image, 4 times each.

    Items are (image ``(3, 96, 96)`` in [0, 1], target ``(96, 96)``): a random part, mirrored or not, in other colours.
    ``read`` gives them whole, with their names.
    """

    def __init__(self) -> None:
        self.images, self.marks = scribbled_batch()

    def __len__(self) -> int:
        return 8

    def read(self, index: int) -> tuple[str, Tensor, Tensor]:
        if index >= len(self):
            raise IndexError(index)
        return f"portrait-{index}", self.images[index % 2], self.marks[index % 2]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        _, image, target = self.read(index)
        return augment(image, target)


def augment(image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    top, left = torch.randint(0, 33, (2,)).tolist()
    image, target = (x[..., top : top + 96, left : left + 96] for x in (image, target))
    if torch.rand(()) < 0.5:
        image, target = image.flip(-1), target.flip(-1)
    return (image * (0.8 + 0.4 * torch.rand(3, 1, 1))).clamp(0, 1), target
