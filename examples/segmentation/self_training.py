"""Pseudo-labels from a network's own predictions, the marks and the image.

A network that has learned from marks alone knows roughly what is where, but not how much there is of each class: thin
things are marked densely, wide ones sparsely, and so it sees too many of the former. Its predictions p on the training
images are made into labels by

    q_c   =   (L + lambda + kappa D)^-1 (lambda p_c + kappa D s_c)        the matting filter, marks kept
    a_c   =   share of the pixels in which q_c is the largest             how much of each class the image's edges leave
    p_c  <-   r_c p_c / sum_k r_k p_k,      r such that the mean of p is a

repeated a few times: a class that wins less often than it is predicted loses more of its share each time. Edges, marks
and areas correct one another. It is done at half the size, where the filter takes a quarter of the time and reaches
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

STRENGTH, EPS, TOL = 3e-2, 1e-7, 3e-2
IMAGES, PIXELS = 64, 500  # that the areas are taken from, and of each of them for the means


@dataclass(frozen=True)
class Recipe:
    """What suits a kind of marks.

    Attributes:
        repeats: How often areas are put right before the first labels, and before later ones.
        balance: Classes weigh share^-balance in the cross-entropy on the labels.
    """

    repeats: tuple[int, int]
    balance: float


# Scribbles hold the labels so well that areas settle, and weights would only make doubt look like a rare class. Between
# points the winners go on winning: a few repeats are best, once, and weights make up for what rare classes lose.
RECIPES = {"scribbles": Recipe((4, 4), 0.3), "points": Recipe((3, 0), 0.5)}


def class_factors(p: Tensor, shares: Tensor, steps: int = 50) -> Tensor:
    """Factors ``(C,)`` of probabilities ``(P, C)`` whose mean then is ``shares``, once they add up to 1 again."""
    factors = torch.ones_like(shares)
    for _ in range(steps):
        q = p * factors
        factors = factors * shares / (q / q.sum(1, keepdim=True)).mean(0).clamp_min(1e-12)
        factors /= factors.max()
    return factors


class PseudoLabels:
    """Soft labels of a training set in a folder, one file an image, so that all processes and later runs see them."""

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
        """Anew, from what the model now predicts; returns the share of each class in them, ``(C,)``."""
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
            won += winners(q)
            for i, values in zip(index, (q * 255).round().byte().cpu().numpy(), strict=True):
                write(self._file(i), values)
        return self._shares(won).cpu()

    def _factors(self, classes: int, repeats: int) -> Tensor:
        """r of the classes, ``(C,)``, from some images."""
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
                won += winners(self._filtered(self._stored(index), factors, image, target))
            factors = class_factors(p, self._shares(won))
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
        """Of all processes' pixels; a class that nothing is left of keeps a trace."""
        if self.world > 1:
            dist.all_reduce(won)
        return (won / won.sum()).clamp_min(1e-5)

    def load(self, index: Tensor, target: Tensor) -> Tensor:
        """Of a batch, ``(N, C, H, W)`` at the size of its target, whose marks are kept."""
        q = self._stored(index.tolist())
        q = F.interpolate(q, target.shape[-2:], mode="bilinear", align_corners=False)
        classes = torch.arange(q.shape[1], device=q.device)[:, None, None]
        q = torch.where((target != IGNORE_INDEX)[:, None], (target[:, None] == classes).float(), q)
        return q / q.sum(1, keepdim=True).clamp_min(1e-6)


def winners(q: Tensor) -> Tensor:
    """Pixels in which each class is the largest."""
    return torch.bincount(q.argmax(1).flatten(), minlength=q.shape[1]).float()


def write(file: Path, values: np.ndarray) -> None:
    """Whole or not at all."""
    part = file.with_suffix(f".{os.getpid()}")
    with part.open("wb") as stream:
        np.save(stream, values)
    part.replace(file)
