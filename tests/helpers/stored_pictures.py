"""What is in the files of ``tests/files``, as arrays of 16 x 24 pixels; NumPy alone is needed."""

from __future__ import annotations

import numpy as np

HEIGHT, WIDTH = 16, 24
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]


def _labels(classes: tuple[int, int, int, int]) -> np.ndarray:
    """Four classes in blocks of different sizes; the rest is 0."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[2:8, 2:9], labels[3:12, 12:20] = classes[0], classes[1]
    labels[10:14, 1:11], labels[9, :] = classes[2], classes[3]
    return labels


VOC = _labels((15, 8, 3, 255))  # labels of VOC, 255 void
CAR = np.where(_labels((1, 0, 1, 0)) > 0, 7, 0).astype(np.uint8)  # VOC's (128, 128, 128), a grey
FOUR_BITS = _labels((15, 8, 3, 1))
TWO_BITS = _labels((3, 2, 1, 0))
ONE_BIT = _labels((1, 1, 0, 0))

# A trimap: what 8 bits call 0, 128 and 255.
TRIMAP = np.full((HEIGHT, WIDTH), 128, np.uint8)
TRIMAP[:, :6], TRIMAP[:, 18:] = 0, 255

# Strokes on a transparent layer, in class order, and their marks.
STROKE_COLORS = ((0, 0, 0), (255, 0, 0), (255, 255, 255))
STROKES = np.full((HEIGHT, WIDTH), 255, np.uint8)
STROKES[2:5, 2:20], STROKES[6:9, 3:22], STROKES[11:14, 2:12] = 0, 1, 2

# Grey values that use 12 bits, and a picture with no symmetry, of which every turn differs.
TWELVE_BITS = (COLUMNS * 170 + ROWS * 9).astype(np.uint16)
TWELVE_BITS[15, 23] = 4095
HOUNSFIELD = (COLUMNS * 60 - 1000 + ROWS).astype(np.int16)
UPRIGHT = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
UPRIGHT[:8, :8], UPRIGHT[8:, 16:], UPRIGHT[:4, 20:] = (200, 40, 40), (40, 200, 40), (40, 40, 200)


def voc_palette() -> np.ndarray:
    """The 256 colours of VOC, bit by bit."""
    return np.array(
        [[sum((label >> (3 * n + c) & 1) << (7 - n) for n in range(3)) for c in range(3)] for label in range(256)],
        np.uint8,
    )


def layer(opacity: int) -> np.ndarray:
    """The strokes as RGBA of this opacity; what is transparent has a colour too."""
    rgba = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    rgba[..., :3] = (17, 34, 51)
    for label, color in enumerate(STROKE_COLORS):
        rgba[label == STROKES] = (*color, opacity)
    return rgba
