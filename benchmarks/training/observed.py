"""The example's training loop for losses that look at more than predictions, image and marks."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import Tensor, nn
from train_segmentation import Trainer


class ObservedTrainer(Trainer):
    """Its batches have ``features``, of the network before its classifier, and ``teacher``, the probabilities of the
    averaged network, for the losses that need them."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        self.losses = {name for name, _ in args.loss}
        self.features: Tensor | None = None
        if "tree_energy" in self.losses:
            self.module.classifier.register_forward_pre_hook(self._keep)

    def _keep(self, _: nn.Module, inputs: tuple[Tensor]) -> None:
        self.features = inputs[0].detach()

    def main_loss(self, batch: Any) -> dict[str, Tensor]:
        batch.features = self.features
        if "mean_teacher" in self.losses:
            self.average.eval()
            with torch.no_grad():
                batch.teacher = self.average(batch.image.flip(-1)).flip(-1).softmax(1)
        return super().main_loss(batch)
