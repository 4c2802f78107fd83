"""Dice of the organs of patients, as papers on ACDC report it."""

from __future__ import annotations

import torch
from torch import Tensor


class PatientDice:
    """Counts over all slices of each patient, and their mean Dice."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.counts: dict[str, Tensor] = {}

    def add(self, name: str, found: Tensor, label: Tensor) -> None:
        """A slice, ``(H, W)`` both, of the patient that its name begins with: patientNNN_..."""
        count = self.counts.setdefault(name.split("_")[0], torch.zeros(self.classes, 2, dtype=torch.float64))
        for c in range(self.classes):
            count[c, 0] += int(((found == c) & (label == c)).sum())
            count[c, 1] += int((found == c).sum() + (label == c).sum())

    def of_organs(self) -> list[float]:
        """Mean over the patients of 2 |A and B| / (|A| + |B|), for each class from 1 on; an organ that neither
        prediction nor label of a patient has is left out."""
        dice, there = self._each()
        return [float(dice[there[:, c], c].mean()) for c in range(dice.shape[1])]

    def mean(self) -> float:
        """The same over patients and organs."""
        dice, there = self._each()
        return float(dice[there].mean())

    def _each(self) -> tuple[Tensor, Tensor]:
        each = torch.stack(list(self.counts.values()))[:, 1:]
        return 2 * each[..., 0] / each[..., 1].clamp_min(1), each[..., 1] > 0
