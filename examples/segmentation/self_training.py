"""Pseudo-labels from a network's own predictions, the marks and the image.

A network that learned from marks alone knows roughly where each class is, but not its area. Thin objects are marked
densely and wide ones sparsely, so the network predicts too much of the thin ones. These steps turn its predictions p on
the training images into labels:

    q_c   =   (L + lambda + kappa D)^-1 (lambda p_c + kappa D s_c)        the matting filter, with the marks s
    a_c   =   fraction of the pixels in which q_c is the largest          the area of each class after the filter
    p_c  <-   r_c p_c / sum_k r_k p_k,      r such that the mean of p is a

They are repeated a few times. If a class wins less often than it is predicted, its area shrinks each time. Edges, marks
and areas correct each other. The filter runs at half of the size, where it takes a quarter of the time and reaches
twice as far.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm import tqdm

from closedform_wsss.functional import matting_filter
from closedform_wsss.io import IGNORE_INDEX
from closedform_wsss.training import class_factors, winning_fractions

STRENGTH, EPS, TOL = 3e-2, 1e-7, 3e-2
IMAGES, PIXELS = 64, 500  # images for the areas, and pixels of each of them for the means


@dataclass(frozen=True)
class Recipe:
    """Settings for a kind of marks.

    Attributes:
        repeats: Number of corrections of the areas, before the first labels and before later ones.
        balance: The weight of a class in the cross-entropy on the labels is fraction^-balance.
    """

    repeats: tuple[int, int]
    balance: float


# Scribbles: the areas converge, and larger weights would turn uncertain pixels into rare classes. Points: frequent
# classes grow with each repeat. So a few repeats in the first round are best, and weights compensate the loss of rare
# classes.
RECIPES = {"scribbles": Recipe((4, 4), 0.3), "points": Recipe((3, 0), 0.5)}


class PseudoLabels:
    """Soft labels of a training set in a folder, one file for each image, so that all processes and later runs can read
    them."""

    def __init__(
        self, folder: Path, dataset: Dataset, *, batch_size: int, workers: int, device: torch.device, quiet: bool
    ) -> None:
        self.folder, self.dataset, self.device, self.quiet = folder, dataset, device, quiet
        folder.mkdir(parents=True, exist_ok=True)
        self.rank, self.world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        self.own = range(self.rank, len(dataset), self.world)  # images of this process
        self.reading = {"batch_size": batch_size, "num_workers": workers}

    def _file(self, index: int) -> Path:
        return self.folder / f"{index:07d}.npy"

    def _batches(self, indices: Sequence[int], what: str) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Indices, images in [0, 1] and targets."""
        loader = DataLoader(Subset(self.dataset, indices), **self.reading)
        for index, image, target in tqdm(loader, what, leave=False, disable=self.quiet):
            yield index.tolist(), image.to(self.device).float() / 255, target.to(self.device).long()

    @torch.no_grad()
    def make(self, model: nn.Module, repeats: int) -> Tensor:
        """Make new labels from the predictions of the model. Returns the fraction of each class, ``(C,)``."""
        model.eval()
        for index, image, _ in self._batches(self.own, "predicting"):
            p = (model(image).softmax(1) + model(image.flip(-1)).softmax(1).flip(-1)) / 2
            p = F.interpolate(p, [max(side // 2, 1) for side in p.shape[2:]], mode="area")
            for i, values in zip(index, p.half().cpu().numpy(), strict=True):
                write(self._file(i), values)
        factors = self._factors(p.shape[1], repeats)
        won = torch.zeros_like(factors)
        for index, image, target in self._batches(self.own, "filtering"):
            q = self._filtered(self._stored(index), factors, image, target)
            won += len(index) * winning_fractions(q)
            for i, values in zip(index, (q * 255).round().byte().cpu().numpy(), strict=True):
                write(self._file(i), values)
        return self._shares(won).cpu()

    def _factors(self, classes: int, repeats: int) -> Tensor:
        """The factors r of the classes, ``(C,)``, from some images."""
        some = self.own[:: max(len(self.own) * self.world // IMAGES, 1)]
        p = torch.cat([self._stored([index]).flatten(2)[0].mT for index in some])
        p = p[torch.randint(len(p), (PIXELS * len(some),), device=self.device)]
        if self.world > 1:
            parts: list[Tensor] = [p] * self.world
            dist.all_gather_object(parts, p.cpu())
            p = torch.cat(parts).to(self.device)
        factors = torch.ones(classes, device=self.device)
        for repeat in range(repeats):
            won = torch.zeros_like(factors)
            for index, image, target in self._batches(some, f"areas {repeat + 1}/{repeats}"):
                won += len(index) * winning_fractions(self._filtered(self._stored(index), factors, image, target))
            factors = class_factors(p.mT[None, :, :, None], self._shares(won))
        return factors

    def _filtered(self, p: Tensor, factors: Tensor, image: Tensor, target: Tensor) -> Tensor:
        p = p * factors[:, None, None]
        q = matting_filter(
            p / p.sum(1, keepdim=True),
            F.interpolate(image, p.shape[-2:], mode="area"),
            target=target,
            fidelity=STRENGTH,
            eps=EPS,
            tol=TOL,
        )
        q = q.clamp(0, 1)
        return q / q.sum(1, keepdim=True)

    def _stored(self, index: list[int]) -> Tensor:
        return torch.stack([torch.from_numpy(np.load(self._file(i))) for i in index]).to(self.device).float()

    def _shares(self, won: Tensor) -> Tensor:
        """Fractions over the pixels of all processes. A class without pixels keeps a small fraction."""
        if self.world > 1:
            dist.all_reduce(won)
        fractions = (won / won.sum()).clamp_min(1e-5)
        return fractions / fractions.sum()

    def load(self, index: Tensor, target: Tensor) -> Tensor:
        """Labels of a batch, ``(N, C, H, W)``, at the size of its target. They contain the marks of the target."""
        q = self._stored(index.tolist())
        q = F.interpolate(q, target.shape[-2:], mode="bilinear", align_corners=False)
        classes = torch.arange(q.shape[1], device=q.device)[:, None, None]
        q = torch.where((target != IGNORE_INDEX)[:, None], (target[:, None] == classes).float(), q)
        return q / q.sum(1, keepdim=True).clamp_min(1e-6)


def write(file: Path, values: np.ndarray) -> None:
    """Write the file completely or not at all."""
    part = file.with_suffix(f".{os.getpid()}")
    with part.open("wb") as stream:
        np.save(stream, values)
    part.replace(file)
