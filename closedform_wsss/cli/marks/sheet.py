"""A sheet of images with their marks, to see at once whether they fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.io import read_image, read_label_png, voc_palette
from closedform_wsss.io._save import save_png

MAX_PANELS = 12
_WIDTH, _HEIGHT, _GAP, _CAPTION, _COLUMNS = 400, 300, 12, 22, 4
_Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Panel:
    """An image of the sheet; without its file the marks are shown on grey."""

    name: str
    image: Path | None
    marks: Path


def write_sheet(path: Path, panels: Sequence[Panel], names: dict[int, str], orientation: str | None) -> None:
    """Writes a PNG with all panels, and the colours of the classes below.

    Args:
        path: The file.
        panels: At least one.
        names: The name of each class that occurs.
        orientation: Of the images, as in ``read_image``.
    """
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    font = ImageFont.load_default(14)
    legend = _legend(names, columns * (_WIDTH + _GAP) - _GAP, font)
    high = rows * (_HEIGHT + _CAPTION + _GAP)
    canvas = Image.new("RGB", (columns * (_WIDTH + _GAP) + _GAP, high + legend.height + 2 * _GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for index, panel in enumerate(panels):
        x = _GAP + index % columns * (_WIDTH + _GAP)
        y = _GAP + index // columns * (_HEIGHT + _CAPTION + _GAP)
        picture = Image.fromarray(_overlay(panel, orientation))
        canvas.paste(picture, (x + (_WIDTH - picture.width) // 2, y + (_HEIGHT - picture.height) // 2))
        draw.text((x, y + _HEIGHT + 3), _shortened(panel.name, font), "black", font)
    canvas.paste(legend, (_GAP, high + _GAP))
    save_png(canvas, path)


def spread(number: int) -> list[int]:
    """Up to ``MAX_PANELS`` places in a list, from the first to the last."""
    shown = min(number, MAX_PANELS)
    return [round(place * (number - 1) / max(shown - 1, 1)) for place in range(shown)]


def _overlay(panel: Panel, orientation: str | None) -> _Picture:
    """A pale image under its marks in full colour, uint8 ``(h, w, 3)``."""
    marks = read_label_png(panel.marks)
    height, width = marks.shape
    scale = min(_HEIGHT / height, _WIDTH / width)
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    if panel.image is None:
        pale = np.full((*size, 3), 225, np.uint8)
    else:
        pixels = read_image(panel.image, orientation=orientation or "apply").permute(1, 2, 0).numpy()
        shrunk = Image.fromarray(pixels).resize(
            size[::-1], Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST
        )
        pale = (np.array(shrunk) // 2 + 127).astype(np.uint8)
    labels, counts = np.unique(marks[marks != IGNORE_INDEX].numpy(), return_counts=True)
    for label in labels[np.argsort(-counts, kind="stable")].tolist():  # rare marks last, so that no other hides them
        covered = Image.fromarray((marks == label).numpy().astype(np.uint8) * 255)
        shown = np.asarray(covered.resize(size[::-1], Image.Resampling.BOX)) > 0
        pale[shown] = voc_palette()[label]
    return pale


def _legend(names: dict[int, str], width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    entries = [(label, _shortened(f"{label} {name}", font)) for label, name in sorted(names.items())]
    places, x, y = [], 0, 0
    for _, text in entries:
        needed = 26 + int(font.getlength(text)) + 18
        if x and x + needed > width:
            x, y = 0, y + 24
        places.append((x, y))
        x += needed
    legend = Image.new("RGB", (width, y + 24), "white")
    draw = ImageDraw.Draw(legend)
    for (label, text), (left, top) in zip(entries, places, strict=True):
        draw.rectangle((left, top + 2, left + 18, top + 18), tuple(voc_palette()[label].tolist()))
        draw.text((left + 26, top + 2), text, "black", font)
    return legend


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The end of a text that is too wide, because the names of files differ there."""
    if font.getlength(text) <= _WIDTH:
        return text
    while font.getlength(f"...{text}") > _WIDTH:
        text = text[1:]
    return f"...{text}"
