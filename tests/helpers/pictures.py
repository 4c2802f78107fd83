"""Small pictures to draw on, and files of them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

BLACK, WHITE, RED, GREEN, BLUE = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)


def pixels(image: Tensor) -> np.ndarray:
    """What ``read_image`` gives, as an array ``(H, W, 3)`` to compare with pictures."""
    assert image.dtype == torch.uint8 and image.ndim == 3 and image.shape[0] == 3
    return image.permute(1, 2, 0).numpy()


def photo(height: int = 60, width: int = 80, seed: int = 0) -> np.ndarray:
    """A smooth, colourful picture with a little texture and no saturated values."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(60, 190, (6, 8, 3), np.uint8))
    smooth = np.array(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return (smooth + rng.integers(-6, 7, smooth.shape)).clip(0, 255).astype(np.uint8)


def bars(image: np.ndarray, colors: list, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """The image with one horizontal bar per colour, and the marks in the order of ``colors``."""
    scribbled, marks = image.copy(), np.full(image.shape[:2], 255, np.uint8)
    for index, color in enumerate(colors):
        row = 6 + index * (width + 10)
        scribbled[row : row + width, 8:-8] = color
        marks[row : row + width, 8:-8] = index
    return scribbled, marks


def jpeg(array: np.ndarray, quality: int) -> np.ndarray:
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


def save(path: Path, array: np.ndarray, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path
