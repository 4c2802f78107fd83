"""A sheet of images with their marks or labels, to see at once whether they fit."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss._resize import scaled_size
from closedform_wsss.cli.common.progress import note
from closedform_wsss.io import read_image, read_label_png, voc_palette
from closedform_wsss.io._files.record import remove_leftovers
from closedform_wsss.io._files.save import save_png

MAX_PANELS = 12
SHEET = "sheet.png"
_SOFTWARE = "Software", "closedform-wsss"  # tells a sheet from a picture of this name
_OUTLINE = 3  # pixels of the image, and of the sheet; what is farther inside of an area lets the image through
_ZERO = (0, 200, 255)  # the black of the palette could not be told from a dark image
_WIDTH, _HEIGHT, _GAP, _CAPTION, _COLUMNS = 400, 300, 12, 22, 4
_Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Panel:
    """An image of the sheet; without its file the marks are shown on grey."""

    name: str
    image: Path | None
    marks: Path


def check_no_other_sheet(folder: Path) -> None:
    """Refuses a folder whose ``sheet.png`` is no sheet: it may be one of the user's photographs.

    Raises:
        ValueError: It is not.
    """
    path = folder / SHEET
    if path.exists() and not _is_sheet(path):
        raise ValueError(f"-o must not hold a {SHEET} of another program, got {path}: choose another folder")


def _is_sheet(path: Path) -> bool:
    key, value = _SOFTWARE
    try:
        with Image.open(path) as image:
            return bool(image.info.get(key) == value)
    except Exception:  # Pillow may raise any exception
        return False


def write_label_sheet(
    folder: Path,
    labels: Sequence[tuple[Path, Path]],
    names: Sequence[str],
    orientation: str | None,
    window: tuple[float, float] | None,
) -> list[str]:
    """Writes ``sheet.png`` into a folder of results, of images and their label maps as far as both are there.

    The results are more than the sheet: if one of the files cannot be read any more, a note on stderr says so.

    Returns:
        The line that says that it is written; none without such files.
    """
    panels = [Panel(image.name, image, path) for image, path in labels if path.exists() and image.exists()]
    if not panels:
        return []
    try:
        write_sheet(folder / SHEET, panels, dict(enumerate(names)), orientation, window)
    except (OSError, ValueError) as error:
        note(f"warning: {folder / SHEET} was not written: {error}")
        return []
    return [f"wrote {folder / SHEET}: look whether the labels fit the images"]


def write_sheet(
    path: Path,
    panels: Sequence[Panel],
    names: Mapping[int, str],
    orientation: str | None,
    window: tuple[float, float] | None = None,
) -> None:
    """Writes a PNG with up to ``MAX_PANELS`` of the panels, and the colours of their classes below.

    Args:
        path: The file.
        panels: At least one.
        names: The names of classes, as far as they have some.
        orientation, window: Of the images, as in ``read_image``.
    """
    shown = min(len(panels), MAX_PANELS)
    panels = [panels[round(place * (len(panels) - 1) / max(shown - 1, 1))] for place in range(shown)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the command has shown those of the images
        overlays = [_overlay(panel, orientation, window) for panel in panels]
    labels = set().union(*(found for _, found in overlays))
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    font = ImageFont.load_default(14)
    legend = _legend({label: names.get(label, "") for label in labels}, columns * (_WIDTH + _GAP) - _GAP, font)
    high = rows * (_HEIGHT + _CAPTION + _GAP)
    canvas = Image.new("RGB", (columns * (_WIDTH + _GAP) + _GAP, high + legend.height + 2 * _GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for index, (panel, (pixels, _)) in enumerate(zip(panels, overlays, strict=True)):
        x = _GAP + index % columns * (_WIDTH + _GAP)
        y = _GAP + index // columns * (_HEIGHT + _CAPTION + _GAP)
        picture = Image.fromarray(pixels)
        canvas.paste(picture, (x + (_WIDTH - picture.width) // 2, y + (_HEIGHT - picture.height) // 2))
        draw.text((x, y + _HEIGHT + 3), _shortened(panel.name, font), "black", font)
    canvas.paste(legend, (_GAP, high + _GAP))
    remove_leftovers(path.parent, {path.name})
    about = PngInfo()
    about.add_text(*_SOFTWARE)
    save_png(canvas, path, pnginfo=about)


def _overlay(panel: Panel, orientation: str | None, window: tuple[float, float] | None) -> tuple[_Picture, set[int]]:
    """A pale image under its marks, uint8 ``(h, w, 3)``, and their labels. Strokes have the full colour of their class,
    and so have the outlines of areas, which let the image through inside."""
    marks = read_label_png(panel.marks)
    height, width = marks.shape
    scale = min(_HEIGHT / height, _WIDTH / width)
    size = scaled_size((height, width), scale)
    if panel.image is None:
        plain = np.full((*size, 3), 225, np.uint8)
        pale = plain.copy()
    else:
        pixels = read_image(panel.image, orientation=orientation or "apply", window=window).permute(1, 2, 0).numpy()
        shrunk = Image.fromarray(pixels).resize(
            size[::-1], Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST
        )
        plain = np.array(shrunk)
        pale = plain // 2 + 127
    labels, counts = np.unique(marks[marks != IGNORE_INDEX].numpy(), return_counts=True)
    for label in labels[np.argsort(-counts, kind="stable")].tolist():  # rare marks last, so that no other hides them
        covered = Image.fromarray((marks == label).numpy().astype(np.uint8) * 255)
        shown = np.asarray(covered.resize(size[::-1], Image.Resampling.BOX)) > 0
        inside = ndimage.minimum_filter(shown, 2 * round(_OUTLINE * max(scale, 1)) + 1)
        pale[inside] = (plain[inside].astype(np.uint16) + _color(label)) // 2
        pale[shown & ~inside] = _color(label)
    return pale, set(labels.tolist())


def _color(label: int) -> npt.NDArray[np.uint8]:
    return voc_palette()[label] if label else np.array(_ZERO, np.uint8)


def _legend(names: Mapping[int, str], width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
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
        draw.rectangle((left, top + 2, left + 18, top + 18), tuple(_color(label).tolist()))
        draw.text((left + 26, top + 2), text, "black", font)
    return legend


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The end of a text that is too wide, because the names of files differ there."""
    if font.getlength(text) <= _WIDTH:
        return text
    while font.getlength(f"...{text}") > _WIDTH:
        text = text[1:]
    return f"...{text}"
