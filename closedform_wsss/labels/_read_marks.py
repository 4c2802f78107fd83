"""One reader for every kind of mark file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from closedform_wsss.labels._image import PathLike, UInt8Array, color_distance, has_transparency, open_image, to_rgb
from closedform_wsss.labels._scribbles import DEFAULT_TOLERANCE, read_scribbles
from closedform_wsss.labels._scribblesup import read_scribblesup_xml
from closedform_wsss.labels._trimap import from_trimap
from closedform_wsss.labels._voc import in_voc_palette, read_label_png

KINDS = ("scribbles", "labels", "trimap", "scribblesup")


def read_marks(
    path: PathLike,
    image: UInt8Array | None = None,
    *,
    kind: str = "auto",
    colors: Sequence[Sequence[int]] | None = None,
) -> UInt8Array:
    """Reads marks from a file of any kind.

    ``"scribbles"`` is a copy of the image with colour strokes on it or a transparent layer of strokes
    (``from_scribbles``), ``"labels"`` a label map (``read_label_png``), ``"trimap"`` a trimap
    (``from_trimap``) and ``"scribblesup"`` an XML file (``read_scribblesup_xml``). ``"auto"`` finds out, see
    ``guess_kind``.

    Args:
        path: The file.
        image: The image that the marks belong to, uint8 ``(H, W, 3)``. Needed for scribbles; given with
            another kind, it checks the size.
        kind: What the file is.
        colors: Stroke colours in class order, ``(C, 3)`` integers in 0..255, for scribbles only. Give them for a
            data set: by default each file's colours are numbered among themselves, and where a class is missing,
            those after it move up.

    Returns:
        uint8 ``(H, W)``, the class of every marked pixel and 255 elsewhere.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: It is not of that kind, ``"auto"`` cannot tell which it is, scribbles have no image, colors
            are given for another kind, or the size is not that of the image.

    Example:
        >>> import numpy as np, pathlib, tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "trimap.png"
        ...     Image.fromarray(np.array([[0, 128, 255]], np.uint8)).save(path)
        ...     read_marks(path).tolist()
        [[0, 255, 1]]
    """
    if kind != "auto" and kind not in KINDS:
        raise ValueError(f"read_marks: kind must be auto or one of {', '.join(KINDS)}, got {kind!r}")
    if kind == "auto":
        kind = guess_kind(path, image)
    if colors is not None and kind != "scribbles":
        raise ValueError(f"read_marks: colors must be None for kind={kind!r}, got {len(colors)} colours")
    if kind == "scribblesup":
        marks = read_scribblesup_xml(path)
    elif kind == "trimap":
        grey = _grey_values(open_image(path, "read_marks"), path)
        try:
            marks = from_trimap(grey)
        except ValueError as error:
            raise ValueError(f"read_marks: path must hold a trimap, got {os.fspath(path)!r} ({error})") from error
    elif kind == "labels":
        marks = read_label_png(path)
    elif image is None:
        raise ValueError(f"read_marks: image must be given for kind='scribbles', got None for {os.fspath(path)!r}")
    else:
        marks, _ = read_scribbles(path, image, colors=colors)
    if image is not None and marks.shape != image.shape[:2]:
        raise ValueError(
            f"read_marks: marks must have the size of image (H, W) = {image.shape[:2]}, "
            f"got {marks.shape} in {os.fspath(path)!r}"
        )
    return marks


def guess_kind(path: PathLike, image: UInt8Array | None = None) -> str:
    """Tells what kind of marks a file holds.

    A name that ends in ``.xml`` is ScribbleSup. An image is

    * scribbles if it has transparent pixels, or if ``image`` is given, has the same size and agrees with it
      on at least half of the pixels;
    * labels if it has a palette, or is grey with no values but 255 and those below 64, some of them not 0, or
      is coloured with colours of the VOC palette only;
    * a trimap if it is grey with the values 0 and 255 and one other, which is in 64..191.

    Args:
        path: The file.
        image: The image that the marks belong to, uint8 ``(H, W, 3)``.

    Returns:
        ``"scribbles"``, ``"labels"``, ``"trimap"`` or ``"scribblesup"``.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: It is no image, or none or more than one of the descriptions fit.
    """
    if Path(path).suffix.lower() == ".xml":
        return "scribblesup"
    marks = open_image(path, "read_marks")
    colors = _as_rgb(marks, path)
    grey = None if marks.mode == "P" else _as_grey(colors)
    fitting = [
        kind
        for kind, fits in (
            ("scribbles", _could_be_scribbles(marks, colors, image)),
            ("labels", _could_be_labels(marks, grey)),
            ("trimap", grey is not None and _could_be_trimap(grey)),
        )
        if fits
    ]
    if len(fitting) == 1:
        return fitting[0]
    what = " or ".join(fitting) if fitting else "nothing known"
    hint = " or the image that was drawn on" if image is None else ""
    raise ValueError(
        f"read_marks: kind must be given (scribbles, labels or trimap; --kind on the command line){hint}, "
        f"because {os.fspath(path)!r} looks like {what}"
    )


def _as_rgb(marks: Image.Image, path: PathLike) -> UInt8Array | None:
    """The colours of an image; None of one in floating point."""
    return None if marks.mode == "F" else to_rgb(marks, "read_marks", path)


def _as_grey(colors: UInt8Array | None) -> UInt8Array | None:
    """The values of an image that is grey though stored as RGB; None of any other."""
    if colors is None:
        return None
    red, green, blue = np.moveaxis(colors, 2, 0)
    return red if np.array_equal(red, green) and np.array_equal(red, blue) else None


def _grey_values(marks: Image.Image, path: PathLike) -> UInt8Array:
    # A palette of greys is an ordinary way to store a trimap; here its colours count, not its indices.
    grey = _as_grey(_as_rgb(marks.convert("RGB") if marks.mode == "P" else marks, path))
    if grey is None:
        raise ValueError(f"read_marks: a trimap must be grey, got colours in {os.fspath(path)!r}")
    return grey


def _could_be_scribbles(marks: Image.Image, colors: UInt8Array | None, image: UInt8Array | None) -> bool:
    if has_transparency(marks):
        return True
    if image is None or colors is None or colors.shape[:2] != image.shape[:2]:
        return False
    same = int(np.count_nonzero(color_distance(colors, image) <= DEFAULT_TOLERANCE))
    return 2 * same >= marks.width * marks.height


def _could_be_labels(marks: Image.Image, grey: UInt8Array | None) -> bool:
    if marks.mode == "P":
        return True
    if grey is None:
        return marks.mode in ("RGB", "RGBA") and in_voc_palette(marks)
    values = np.unique(grey)
    return bool(((values < 64) | (values == 255)).all() and ((values > 0) & (values < 64)).any())


def _could_be_trimap(grey: UInt8Array) -> bool:
    values: list[int] = np.unique(grey).tolist()
    return len(values) == 3 and [values[0], values[2]] == [0, 255] and 64 <= values[1] < 192
