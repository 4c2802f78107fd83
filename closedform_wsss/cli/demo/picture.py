"""The picture that the demonstration writes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.cli.demo.scribbles import CLASSES, COLORS, photograph, scribbles

_SIDE, _GAP, _TITLE, _LEGEND = 440, 16, 64, 44
_Picture = npt.NDArray[np.uint8]


def compose(panels: list[tuple[str, str, _Picture]]) -> Image.Image:
    """Panels side by side under their titles, with the colours of the classes below."""
    width = len(panels) * (_SIDE + _GAP) + _GAP
    canvas = Image.new("RGB", (width, _TITLE + _SIDE + _LEGEND), "white")
    draw = ImageDraw.Draw(canvas)
    large, small = ImageFont.load_default(19), ImageFont.load_default(15)
    for n, (title, note, picture) in enumerate(panels):
        x = _GAP + n * (_SIDE + _GAP)
        draw.text((x, 10), title, "black", large)
        draw.text((x, 36), note, (95, 95, 95), small)
        canvas.paste(Image.fromarray(picture), (x, _TITLE))
    x, y = _GAP, _TITLE + _SIDE + 14
    for name, color in zip(CLASSES, COLORS, strict=True):
        draw.rectangle((x, y, x + 18, y + 18), tuple(color.tolist()))
        draw.text((x + 26, y), name, "black", small)
        x += 44 + int(draw.textlength(name, small))
    return canvas


def marked_photograph() -> _Picture:
    """The photograph with the scribbles on it."""
    picture = np.array(photograph(_SIDE))
    marks = scribbles(_SIDE).numpy()
    picture[marks != IGNORE_INDEX] = COLORS[marks[marks != IGNORE_INDEX]]
    return picture


def overlay(scores: npt.NDArray[np.float32]) -> _Picture:
    """The photograph with the colours of the classes that have the highest scores ``(C, h, w)``, upsampled."""
    size = (_SIDE, _SIDE)
    large = [np.array(Image.fromarray(score).resize(size, Image.Resampling.BILINEAR)) for score in scores]
    winner = np.argmax(np.stack(large), 0)
    return np.rint(0.42 * np.array(photograph(_SIDE)) + 0.58 * COLORS[winner]).astype(np.uint8)
