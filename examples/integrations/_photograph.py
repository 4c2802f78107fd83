"""The photograph for the integrations, and a picture of the result."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from closedform_wsss.cli.demo.scribbles import CLASSES, COLORS, photograph, scribbles
from closedform_wsss.io import IGNORE_INDEX, from_array

NUM_CLASSES = len(CLASSES)
MEAN, STD = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]


def scribbled_batch(side: int = 128) -> tuple[Tensor, Tensor]:
    """A portrait with scribbles, and its mirror image: ``(2, 3, side, side)`` in [0, 1], ``(2, side, side)``, 255
    where nothing is marked."""
    image, marks = from_array(photograph(side)) / 255, scribbles(side)
    return torch.stack([image, image.flip(-1)]), torch.stack([marks, marks.flip(-1)])


def save(image: Tensor, marks: Tensor, logits: Tensor, file: str) -> None:
    """Save the image with marks, and the image with the most likely classes, side by side."""
    colors = torch.tensor(COLORS) / 255
    picture = image[0].permute(1, 2, 0)
    marked = torch.where((marks[0] == IGNORE_INDEX)[..., None], picture, colors[marks[0].clamp_max(NUM_CLASSES - 1)])
    labels = F.interpolate(logits, image.shape[-2:], mode="bilinear", align_corners=False)[0].argmax(0)
    panels = torch.cat([marked, 0.42 * picture + 0.58 * colors[labels]], 1)
    Image.fromarray((panels * 255).round().byte().numpy()).save(file, quality=90)
