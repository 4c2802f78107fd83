"""From strokes to pictures: what the paint page shows, and the files that it gives."""

from __future__ import annotations

import hashlib
import io as streams
import json
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss._matte import cutout
from closedform_wsss._resize import scaled_size
from closedform_wsss.functional import ConvergenceWarning, Solution, solve_matting
from closedform_wsss.io import from_array, voc_palette
from closedform_wsss.io._drawing.rasterize import draw_line

# Of the classes, in the page: the VOC palette has black for the background, which hides the photograph.
COLORS = ("#2f6fed", "#e5383b", "#2a9d4a", "#f2a516", "#8a4fd8", "#12a5b8", "#e5589c", "#7d8c1f")
PICTURES = ("marks", "labels", "alpha", "cutout")
_PREVIEW_TOL, _TOL = 1e-2, 1e-3
_LABEL_OPACITY = 140
_MAX_STROKES, _MAX_POINTS = 5000, 500_000

_UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Stroke:
    """A line in the image's pixels. The label ``IGNORE_INDEX`` erases."""

    label: int
    width: float
    points: tuple[tuple[float, float], ...]


def read_strokes(text: bytes) -> tuple[Stroke, ...]:
    """Strokes as the page sends them, ``[{"label": 0, "width": 9, "points": [[x, y], ...]}, ...]``.

    Raises:
        ValueError: It is not such a list.
    """
    try:
        strokes = tuple(
            Stroke(int(one["label"]), float(one["width"]), tuple((float(x), float(y)) for x, y in one["points"]))
            for one in json.loads(text)
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(f"paint: strokes must be a list of label, width and points, got {text[:60]!r}") from error
    if len(strokes) > _MAX_STROKES or sum(len(stroke.points) for stroke in strokes) > _MAX_POINTS:
        raise ValueError(f"paint: strokes must be at most {_MAX_STROKES}, with at most {_MAX_POINTS} points")
    for stroke in strokes:
        if stroke.label not in (*range(len(COLORS)), IGNORE_INDEX):
            raise ValueError(f"paint: labels must be in 0..{len(COLORS) - 1} or {IGNORE_INDEX}, got {stroke.label}")
        numbers = (stroke.width, *(value for point in stroke.points for value in point))
        if not stroke.points or not all(map(math.isfinite, numbers)) or not 0 < stroke.width < 1e5:
            raise ValueError("paint: strokes must have points and a width > 0, all of them finite")
    return strokes


class Painting:
    """An image, and the last solution at a reduced size and at full size."""

    def __init__(self, image: Tensor, preview_side: int) -> None:
        """image: uint8 ``(3, H, W)``."""
        height, width = image.shape[1:]
        self.size = height, width
        # Tells photographs of equal names and sizes apart, for the strokes that the browser keeps.
        self.id = hashlib.sha256(image.numpy().tobytes()).hexdigest()
        scale = min(preview_side / max(height, width), 1.0)
        small = scaled_size(self.size, scale)
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        reduced = picture if small == self.size else picture.resize(small[::-1], Image.Resampling.BOX)
        # By whether it is at full size.
        self._images = {True: image, False: from_array(reduced)}
        self._solved: dict[bool, tuple[tuple[Stroke, ...], list[int], Solution]] = {}

    def picture(self, what: str, strokes: tuple[Stroke, ...], label: int, *, full: bool) -> tuple[bytes, str]:
        """A PNG, and a warning or "". The marks or the labels (VOC palette, or see-through colours if not ``full``),
        the matte or the cut-out of a class.

        Raises:
            ValueError: Fewer than two classes are marked, or nothing is left to solve for, or not this class.
        """
        if what not in PICTURES:
            raise ValueError(f"paint: picture must be one of {', '.join(PICTURES)}, got {what!r}")
        if what == "marks":
            return _png(_with_palette(self.marks(strokes, full=full))), ""
        classes, solution = self._solve(strokes, full=full)
        alpha = solution.alpha[0]
        warning = "" if solution.converged else f"Not converged: the error of alpha may be {solution.error:.1g}."
        if what == "labels":
            labels = np.asarray(classes, np.uint8)[alpha.argmax(0).numpy()]
            return _png(_with_palette(labels) if full else _see_through(labels)), warning
        if label not in classes:
            raise ValueError(f"There is no stroke of {_name(label)} yet.")
        matte = alpha[classes.index(label)].clamp(0, 1)
        if what == "alpha":
            return _png(Image.fromarray(matte.mul(255).round().byte().numpy())), warning
        return _png(Image.fromarray(cutout(self._images[full][None], matte))), warning

    def marks(self, strokes: tuple[Stroke, ...], *, full: bool) -> _UInt8Array:
        """uint8 ``(H, W)``, 255 unmarked."""
        shape = tuple(self._images[full].shape[1:])
        scale = np.array(shape[::-1]) / np.array(self.size[::-1])
        marks = np.full(shape, IGNORE_INDEX, np.uint8)
        for stroke in strokes:
            points = (np.array(stroke.points) + 0.5) * scale - 0.5
            # Far outside of the image nothing is drawn, and huge numbers would only take time.
            points = points.clip(-1e5, 1e5)
            draw_line(marks, points, stroke.label, max(round(stroke.width * float(scale.mean())), 1))
        return marks

    def _solve(self, strokes: tuple[Stroke, ...], *, full: bool) -> tuple[list[int], Solution]:
        """The marked classes, and their mattes."""
        if full in self._solved and self._solved[full][0] == strokes:
            return self._solved[full][1:]
        marks = torch.from_numpy(self.marks(strokes, full=full)).long()
        classes: list[int] = [label for label in marks.unique().tolist() if label != IGNORE_INDEX]
        if len(classes) < 2:
            what = f"only {_name(classes[0])} so far" if classes else "there is none yet"
            raise ValueError(f"Paint strokes of at least two classes: {what}.")
        if not (marks == IGNORE_INDEX).any():
            raise ValueError("Every pixel is painted, so there is nothing left to compute: erase some strokes.")
        number = torch.full((256,), IGNORE_INDEX)
        number[classes] = torch.arange(len(classes))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the page shows it
            solution = solve_matting(
                number[marks][None],
                self._images[full][None],
                num_classes=len(classes),
                tol=_TOL if full else _PREVIEW_TOL,
            )
        self._solved[full] = strokes, classes, solution
        return classes, solution


def _name(label: int) -> str:
    """As the page calls it."""
    return ("Background", "Object")[label] if label < 2 else f"Class {label}"


def _with_palette(labels: _UInt8Array) -> Image.Image:
    """A label map that :func:`closedform_wsss.io.read_marks` reads."""
    picture = Image.fromarray(labels)
    picture.putpalette(voc_palette().tobytes())
    return picture


def _see_through(labels: _UInt8Array) -> Image.Image:
    table = np.array([[*bytes.fromhex(color[1:]), _LABEL_OPACITY] for color in COLORS], np.uint8)
    return Image.fromarray(table[labels])


def _png(picture: Image.Image) -> bytes:
    file = streams.BytesIO()
    picture.save(file, format="PNG", compress_level=4)
    return file.getvalue()


def photo(image: Tensor, longest: int) -> bytes:
    """A JPEG for the page, not larger than it can show."""
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    file = streams.BytesIO()
    picture.save(file, format="JPEG", quality=90)
    return file.getvalue()


def describe(name: str, painting: Painting) -> dict[str, Any]:
    """What the page must know."""
    height, width = painting.size
    return {
        "name": name,
        "id": painting.id,
        "width": width,
        "height": height,
        "colors": COLORS,
        "eraser": IGNORE_INDEX,
    }
