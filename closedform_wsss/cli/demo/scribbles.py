"""The demonstration's photograph and the scribbles drawn on it."""

from __future__ import annotations

import numpy as np
import skimage.data
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from closedform_wsss._common import IGNORE_INDEX

CLASSES = ("background", "astronaut", "flag", "shuttle", "helmet")
COLORS = np.array([[70, 70, 78], [255, 120, 40], [214, 40, 70], [70, 150, 255], [250, 224, 60]], np.uint8)

# Strokes as (class, corners), in 1/400 of the photograph's side.
_STROKES = [
    (0, [(85, 15), (95, 60), (88, 110), (62, 150)]),
    (0, [(250, 20), (265, 100), (255, 180)]),
    (0, [(378, 20), (382, 120), (374, 190)]),
    (0, [(300, 235), (390, 245), (394, 285)]),
    (0, [(130, 5), (235, 8), (285, 8)]),
    (1, [(150, 40), (190, 35), (215, 70)]),
    (1, [(175, 75), (172, 130), (165, 145)]),
    (1, [(105, 150), (130, 195), (170, 215), (225, 190), (205, 140)]),
    (1, [(45, 240), (95, 230), (110, 330), (60, 350)]),
    (1, [(130, 240), (200, 330), (190, 385)]),
    (1, [(220, 220), (260, 230), (250, 262)]),
    (1, [(105, 375), (140, 375)]),
    (1, [(140, 160), (175, 180)]),
    (2, [(8, 12), (22, 40), (38, 85), (55, 140)]),
    (2, [(6, 110), (25, 160), (40, 165)]),
    (2, [(5, 215), (10, 300), (8, 385)]),
    (2, [(4, 30), (4, 90)]),
    (3, [(325, 12), (322, 60)]),
    (3, [(305, 75), (308, 150), (318, 200)]),
    (3, [(345, 50), (346, 150), (345, 200)]),
    (3, [(288, 170), (300, 160)]),
    (3, [(328, 100), (330, 150)]),
    (4, [(250, 330), (290, 370), (350, 350)]),
    (4, [(300, 300), (282, 350)]),
    (4, [(300, 278), (345, 290), (378, 330), (388, 385)]),
]


def photograph(side: int) -> Image.Image:
    """scikit-image's portrait of Eileen Collins (NASA, public domain), square."""
    return Image.fromarray(skimage.data.astronaut()).resize((side, side), Image.Resampling.BOX)


def scribbles(side: int) -> Tensor:
    """Marks ``(side, side)`` int64."""
    marks = Image.new("L", (side, side), IGNORE_INDEX)
    draw = ImageDraw.Draw(marks)
    for label, corners in _STROKES:
        line = [(x * side / 400, y * side / 400) for x, y in corners]
        draw.line(line, fill=label, width=max(round(side / 90), 1), joint="curve")
    return torch.from_numpy(np.array(marks)).long()
