"""Dice of the organs of a patient, as papers on ACDC report it."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F


@torch.no_grad()
def dice_of_patients(args: argparse.Namespace) -> float:
    """Mean over patients and organs (classes 1, 2 ...) of 2 |A and B| / (|A| + |B|), all slices of a patient together.

    Files are called patientNNN_...; an organ that neither prediction nor label has is left out.
    """
    from segmentation.data import MarkedFolder
    from segmentation.model import build_model

    model = build_model(args.model, args.classes, False)
    model.load_state_dict(torch.load(args.output / "model.pt", map_location="cpu", weights_only=True))
    model.eval()
    data = MarkedFolder(
        Path(args.val), "labels", num_classes=args.classes, size=tuple(args.size), resize_targets=False, keep=False
    )
    counts: dict[str, torch.Tensor] = {}
    for index, image, label in (data[k] for k in range(len(data))):
        logits = model(image[None].float() / 255)
        found = F.interpolate(logits, label.shape, mode="bilinear", align_corners=False).argmax(1)[0]
        patient = data.name(index).split("_")[0]
        count = counts.setdefault(patient, torch.zeros(args.classes, 2, dtype=torch.float64))
        for c in range(args.classes):
            count[c, 0] += int(((found == c) & (label == c)).sum())
            count[c, 1] += int((found == c).sum() + (label == c).sum())
    each = torch.stack(list(counts.values()))[:, 1:]
    there = each[..., 1] > 0
    return float((2 * each[..., 0] / each[..., 1].clamp_min(1))[there].mean())
