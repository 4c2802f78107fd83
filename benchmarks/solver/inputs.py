"""Photographs of any size with scribbles that anyone can make again: the problems of the solver benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage
import skimage.data
from PIL import Image
from skimage.color import rgb2lab
from skimage.segmentation import slic
from skimage.transform import resize

from closedform_wsss.io import IGNORE_INDEX

PHOTOS = ("coffee", "astronaut", "chelsea", "rocket")  # the first is there in every size
REGIONS = 50  # asked of SLIC, which gives 28 to 46 here
COARSE = 192  # pixels of the longer side where the regions are found
STROKES = 21  # of two classes; with more it is one a class
MARKED = 0.01  # of the pixels
STROKE = 0.7  # of the region's width along it

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Marks = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Problem:
    """An image, its marks, and what the tables call it."""

    name: str
    image: Bytes  # (H, W, 3)
    marks: Marks  # (H, W): 0 to classes - 1, or IGNORE_INDEX
    classes: int
    # Most is known (a trimap): baselines that can then solve for the unknown pixels alone.
    trimap: bool = False

    @property
    def megapixels(self) -> float:
        return self.marks.size / 1e6


def photograph(name: str, height: int, width: int) -> Bytes:
    """``(H, W, 3)``: a photograph of scikit-image, never enlarged.

    One that covers the size is cut to its aspect and shrunk, with antialiasing. A smaller one is cut out at
    the middle and mirrored at its edges, so that there is detail down to the pixel.
    """
    source = np.asarray(getattr(skimage.data, name)())[..., :3]
    scale = min(source.shape[0] / height, source.shape[1] / width)
    if scale >= 1:
        rows, columns = round(height * scale), round(width * scale)
        top, left = (source.shape[0] - rows) // 2, (source.shape[1] - columns) // 2
        cut = source[top : top + rows, left : left + columns]
        small = resize(cut, (height, width), order=1, anti_aliasing=scale > 1)
        return np.rint(255 * small).astype(np.uint8)
    missing = [max(0, size - have) for size, have in zip((height, width), source.shape, strict=False)]
    wide = np.pad(source, [(m // 2, m - m // 2) for m in missing] + [(0, 0)], mode="symmetric")
    top, left = (wide.shape[0] - height) // 2, (wide.shape[1] - width) // 2
    return np.ascontiguousarray(wide[top : top + height, left : left + width])


def scribble(image: Bytes, classes: int) -> Marks:
    """``(H, W)``: straight strokes in the largest regions of like colour, together about 1 % of the pixels.

    The regions are those of SLIC on the picture shrunk to a fixed size: strokes grow with the picture, as a
    hand's do that sees it on a screen. With two classes the lighter half of them is the foreground.
    """
    height, width = image.shape[:2]
    factor = min(1.0, COARSE / max(height, width))
    small = resize(image, (max(8, round(height * factor)), max(8, round(width * factor))), anti_aliasing=factor < 1)
    regions = slic(small, n_segments=REGIONS, compactness=20.0, start_label=0)
    sizes = np.bincount(regions.ravel())
    chosen = np.sort(np.argsort(-sizes, kind="stable")[: STROKES if classes == 2 else classes])
    if len(chosen) < classes:
        raise ValueError(f"{len(chosen)} regions are too few for {classes} classes")
    if classes == 2:
        light = scipy.ndimage.mean(rgb2lab(small)[..., 0], regions, chosen)
        label = (light > np.median(light)).astype(np.int64)
    else:
        label = np.arange(classes)

    scale = np.array([height, width]) / regions.shape
    strokes = [(_stroke(regions == region) + 0.5) * scale - 0.5 for region in chosen]
    thickness = MARKED * height * width / sum(float(np.hypot(*(b - a))) + 1 for a, b in strokes)
    marks = np.full((height, width), IGNORE_INDEX, dtype=np.int64)
    for (a, b), c in zip(strokes, label, strict=True):
        _draw(marks, a, b, thickness, int(c))
    return marks


def _stroke(region: np.ndarray[Any, np.dtype[np.bool_]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """``(2, 2)``: both ends of the longest line through the region's deepest point, shortened."""
    depth = scipy.ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    middle = np.array(np.unravel_index(depth.argmax(), depth.shape), dtype=np.float64)
    best = np.stack([middle, middle])
    steps = np.arange(max(region.shape))
    for angle in np.arange(16) * np.pi / 16:
        direction = np.array([np.sin(angle), np.cos(angle)])
        ends = []
        for sign in (-1, 1):
            rows, columns = np.rint(middle[:, None] + sign * direction[:, None] * steps).astype(np.int64)
            there = (rows >= 0) & (rows < region.shape[0]) & (columns >= 0) & (columns < region.shape[1])
            there[there] = region[rows[there], columns[there]]
            reach = there.argmin() - 1 if not there.all() else len(steps) - 1
            ends.append(middle + sign * direction * reach)
        if np.hypot(*(ends[1] - ends[0])) > np.hypot(*(best[1] - best[0])):
            best = np.stack(ends)
    center = best.mean(axis=0)
    return center + STROKE * (best - center)


def _draw(marks: Marks, a: Any, b: Any, thickness: float, label: int) -> None:
    """Set the pixels whose centre lies within half the thickness (of a pixel at least) of the line from a to b."""
    radius = max(0.5, thickness / 2)
    low = np.maximum(np.floor(np.minimum(a, b) - radius), 0).astype(np.int64)
    high = np.minimum(np.ceil(np.maximum(a, b) + radius) + 1, marks.shape).astype(np.int64)
    rows, columns = np.mgrid[low[0] : high[0], low[1] : high[1]]
    along, length = b - a, max(float(np.hypot(*(b - a))), 1e-9)
    place = (((rows - a[0]) * along[0] + (columns - a[1]) * along[1]) / length**2).clip(0, 1)
    distance = np.hypot(rows - a[0] - place * along[0], columns - a[1] - place * along[1])
    marks[low[0] : high[0], low[1] : high[1]][distance <= radius] = label


def scribbles(name: str, height: int, width: int, classes: int) -> Problem:
    """A photograph with scribbles."""
    image = photograph(name, height, width)
    return Problem(f"{name}, {width} x {height}", image, scribble(image, classes), classes)


def lemur(folder: Path) -> Problem:
    """pymatting's example: image.png and trimap.png (0, 255, else unknown) of the folder."""
    if not (folder / "image.png").exists():
        raise SystemExit(f"{folder} must hold image.png and trimap.png: pass the folder that contains {folder.name}/")
    image = np.asarray(Image.open(folder / "image.png").convert("RGB"))
    trimap = np.asarray(Image.open(folder / "trimap.png").convert("L"))
    marks = np.full(trimap.shape, IGNORE_INDEX, dtype=np.int64)
    marks[trimap == 0], marks[trimap == 255] = 0, 1
    return Problem(f"lemur, {trimap.shape[1]} x {trimap.shape[0]}", image, marks, 2, trimap=True)
