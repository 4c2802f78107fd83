"""Scores of a network on labelled images, and pictures of its predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from closedform_wsss.io import IGNORE_INDEX, voc_palette
from closedform_wsss.metrics import ConfusionMatrix


@torch.no_grad()
def evaluate(model: nn.Module, loader: DataLoader, num_classes: int, device: torch.device) -> ConfusionMatrix:
    """The confusion matrix over the images of all ranks, at the size of their labels."""
    model.eval()
    counts = ConfusionMatrix(num_classes, ignore_index=IGNORE_INDEX)
    for _, image, label in loader:
        logits = model(image.to(device).float() / 255)
        logits = F.interpolate(logits.float(), label.shape[-2:], mode="bilinear", align_corners=False)
        counts.update(logits.argmax(1).cpu(), label.long())
    return counts.all_reduce()


@torch.no_grad()
def save_pictures(model: nn.Module, loader: DataLoader, folder: Path, count: int, device: torch.device) -> None:
    """Save image, prediction and target of the first images side by side, as PNG."""
    model.eval()
    folder.mkdir(parents=True, exist_ok=True)
    palette = torch.tensor(voc_palette())
    for index, image, target in loader:
        logits = model(image.to(device).float() / 255).float()
        predicted = F.interpolate(logits, target.shape[-2:], mode="bilinear", align_corners=False).argmax(1).cpu()
        for i, x, y, t in zip(index.tolist(), image, predicted, target.long(), strict=True):
            size = (t.shape[1], t.shape[0])
            shown = np.array(Image.fromarray(x.permute(1, 2, 0).numpy()).resize(size))
            panels: list[Tensor] = [torch.from_numpy(shown), palette[y], palette[t]]
            Image.fromarray(torch.cat(panels, 1).numpy()).save(folder / f"{loader.dataset.name(i)}.png")
            count -= 1
            if not count:
                return
