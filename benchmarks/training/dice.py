"""Dice of the organs of a patient, of a network."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from common.dice import PatientDice


@torch.no_grad()
def dice_of_patients(args: argparse.Namespace) -> float:
    """The mean of :class:`PatientDice` over the validation slices; files are called patientNNN_..."""
    from segmentation.data import MarkedFolder
    from segmentation.model import build_model

    model = build_model(args.model, args.classes, False)
    model.load_state_dict(torch.load(args.output / "model.pt", map_location="cpu", weights_only=True))
    model.eval()
    data = MarkedFolder(
        Path(args.val), "labels", num_classes=args.classes, size=tuple(args.size), resize_targets=False, keep=False
    )
    dice = PatientDice(args.classes)
    for index, image, label in (data[k] for k in range(len(data))):
        logits = model(image[None].float() / 255)
        found = F.interpolate(logits, label.shape, mode="bilinear", align_corners=False).argmax(1)[0]
        dice.add(data.name(index), found, label)
    return dice.mean()
