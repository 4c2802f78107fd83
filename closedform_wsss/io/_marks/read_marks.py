"""One reader for every kind of mark file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.io._annotations.annotations import annotations_of
from closedform_wsss.io._annotations.classes import Classes
from closedform_wsss.io._labels.label_png import as_labels, label_codes
from closedform_wsss.io._labels.palette import Palette, check_palette
from closedform_wsss.io._labels.remap_labels import Remap, check_mapping, check_unmarked, remap_marks
from closedform_wsss.io._marks.guess_kind import grey_values, kind_of_file
from closedform_wsss.io._marks.scribblesup import scribblesup_marks
from closedform_wsss.io._marks.trimap import trimap_marks
from closedform_wsss.io._pictures.open import Opened, open_image
from closedform_wsss.io._strokes.options import DEFAULT_TOLERANCE
from closedform_wsss.io._strokes.scribbles import check_size, strokes
from closedform_wsss.io._tensors import as_pixels, label_tensor
from closedform_wsss.io._types import PathLike, UInt8Array

_FN = "read_marks"
_TEXT_KINDS = ("scribblesup", "annotations")

KINDS = ("scribbles", "labels", "trimap", "scribblesup", "annotations")


def read_marks(
    path: PathLike,
    image: UInt8Array | Tensor | None = None,
    *,
    kind: str = "auto",
    colors: Sequence[Sequence[int]] | None = None,
    palette: Palette = "auto",
    unmarked: int | None = None,
    remap: Remap | None = None,
    orientation: str | None = None,
    classes: Classes | None = None,
) -> Tensor:
    """Reads marks from a file of any kind.

    ``"scribbles"`` is a copy of the image with colour strokes on it or a transparent layer of strokes
    (``read_scribbles``), ``"labels"`` a label map (``read_label_png``), ``"trimap"`` a trimap (``from_trimap``),
    ``"scribblesup"`` an XML file (``read_scribblesup_xml``) and ``"annotations"`` a file of an annotation tool that
    holds one image, such as those of labelme (``read_annotations``). ``"auto"`` guesses the kind, see ``guess_kind``.

    Args:
        path: The file.
        image: The image that the marks belong to, uint8: a tensor ``(3, H, W)`` as from ``read_image``, or an array
            ``(H, W, 3)``. Scribbles need it; of other kinds it checks the size.
        kind: The kind of marks in the file. Default ``"auto"``. Give it for a data set: a file with few values, such as
            a label map with marks of class 0 alone, may fit no kind or two.
        colors: Stroke colours in class order, ``(C, 3)`` integers in 0..255, for scribbles only. Give them for a
            data set: by default the colours of each file are numbered separately, so a missing class changes the
            numbers of those after it.
        palette: Whether the labels of a label map are the ``"index"`` or the ``"voc"`` colour, or its colours in class
            order, see ``read_label_png``. Default ``"auto"``.
        unmarked: The label that means unmarked in a label map, if it is not 255. Then 255 must not occur, unless
            ``remap`` says what it means.
        remap: New labels for the stored ones of a label map or a trimap, applied first: see ``remap_labels``. A trimap
            of 0, 1 and 2 is a label map with ``{1: 255, 2: 1}``.
        orientation: What to do if the EXIF data says that the file is turned: see ``read_image``.
        classes: The names of classes in order, or their numbers, for annotations only; see ``read_annotations``. A file
            without a list of its classes needs them, because names that another file lacks would change the numbers.

    Returns:
        int64 ``(H, W)``, the class of every marked pixel and 255 elsewhere.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: The file is not of that kind, ``"auto"`` cannot tell the kind, scribbles have no image, ``colors``,
            ``remap``, ``unmarked`` or ``classes`` is given for a kind without them, a trimap has no unknown pixels,
            annotations are of several images or need ``classes``, or the size is not that of the image.
        TypeError: ``unmarked`` or ``remap`` is of another type.

    Example:
        >>> import numpy as np, pathlib, tempfile
        >>> from PIL import Image
        >>> from closedform_wsss.io import read_marks
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "trimap.png"
        ...     Image.fromarray(np.array([[0, 128, 255]], np.uint8)).save(path)
        ...     trimap = read_marks(path)
        ...     Image.fromarray(np.array([[0, 1, 2]], np.uint8)).save(path)
        ...     scribbles = read_marks(path, unmarked=0)
        >>> trimap.tolist(), scribbles.tolist()
        ([[0, 255, 1]], [[255, 1, 2]])
    """
    check_palette(_FN, palette)
    if kind != "auto" and kind not in KINDS:
        raise ValueError(f"{_FN}: kind must be auto or one of {', '.join(KINDS)}, got {kind!r}")
    if remap is not None:
        check_mapping(_FN, "remap", remap)
    check_unmarked(_FN, unmarked)
    pixels = None if image is None else as_pixels(_FN, "image", image)
    if kind == "auto":
        kind = _kind_by_name(path) or kind
    opened = None if kind in _TEXT_KINDS else open_image(path, _FN, orientation=orientation)
    if kind == "auto" and opened is not None:
        # Only label maps have these options, or grey pictures of another kind.
        is_map = unmarked is not None or (remap is not None and opened.image.mode in ("P", "RGB", "RGBA"))
        kind = "labels" if is_map else kind_of_file(opened, pixels, remap)
    for name, got, kinds in (
        ("colors", None if colors is None else f"{len(colors)} colours", ("scribbles",)),
        ("unmarked", unmarked, ("labels",)),
        ("remap", remap, ("labels", "trimap")),
        ("classes", classes, ("annotations",)),
    ):
        if got is not None and kind not in kinds:
            raise ValueError(f"{_FN}: {name} must be None for kind={kind!r}, got {got}")
    if kind == "annotations":
        marks = _from_annotations(path, classes, None if pixels is None else pixels.shape[:2])
    elif opened is None:
        marks = scribblesup_marks(path)
    elif kind == "scribbles":
        if pixels is None:
            raise ValueError(f"{_FN}: image must be given for kind='scribbles', got None for {opened.path!r}")
        marks, _ = strokes(opened, pixels, tolerance=DEFAULT_TOLERANCE, colors=colors)
    else:
        marks = _from_trimap(opened, remap) if kind == "trimap" else _from_labels(opened, palette, unmarked, remap)
    if pixels is not None:
        check_size(_FN, path, marks.shape, pixels)
    return label_tensor(marks)


def guess_kind(path: PathLike, image: UInt8Array | Tensor | None = None, *, orientation: str | None = None) -> str:
    """Guesses the kind of marks in a file.

    A name that ends in ``.json``, and XML of CVAT, are annotations. Another name that ends in ``.xml`` is ScribbleSup.
    An image is

    * scribbles if it has transparent pixels, or if ``image`` is given, has the same size and agrees with it on at least
      half of the pixels;
    * labels if it has a palette, or is grey and all stored samples are 255 or below 64 and some are from 1 to 63, or
      has only colours of the VOC palette;
    * a trimap if it shows only grey, with the values 0, 255 and one other in 64..191.

    A file of 1 bit a pixel is none of these: its ones may be unmarked pixels, a class, or the object of a mask.

    Args:
        path: The file.
        image: The image that the marks belong to, as in ``read_marks``.
        orientation: ``"ignore"`` leaves the pixels as stored. Otherwise the EXIF data is applied, without a warning.

    Returns:
        ``"scribbles"``, ``"labels"``, ``"trimap"``, ``"scribblesup"`` or ``"annotations"``.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: The file is not an image, or no description fits, or more than one.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> from closedform_wsss.io import guess_kind
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "marks.png"
        ...     Image.fromarray(np.array([[0, 128, 255]], np.uint8)).save(path)
        ...     guess_kind(path)
        'trimap'
    """
    by_name = _kind_by_name(path)
    if by_name is not None:
        return by_name
    pixels = None if image is None else as_pixels("guess_kind", "image", image)
    return kind_of_file(open_image(path, "guess_kind", orientation=orientation or "apply"), pixels, None)


def _kind_by_name(path: PathLike) -> str | None:
    """The kind of a file that is text by its name."""
    suffix = Path(path).suffix.lower()
    if suffix == ".xml":
        with open(path, "rb") as file:
            start = file.read(8192).replace(b"\0", b"")  # of UTF-16
            return "annotations" if b"<annotations" in start else "scribblesup"
    return "annotations" if suffix == ".json" else None


def _from_annotations(path: PathLike, classes: Classes | None, size: tuple[int, int] | None) -> UInt8Array:
    found = annotations_of(path, _FN, classes=classes)
    if found.classes_from == "names":
        raise ValueError(
            f"{_FN}: classes must be given for {found.tool}, got None for {os.fspath(path)!r} with "
            f"{', '.join(map(repr, found.classes)) or 'no class'}: pass the names of all files of the data set, in "
            "class order (closedform-wsss marks --names on the command line)"
        )
    if len(found) != 1:
        raise ValueError(
            f"{_FN}: path must hold the annotations of one image, got {len(found)} in {os.fspath(path)!r}: "
            "read_annotations gives the marks of each (closedform-wsss marks on the command line)"
        )
    return found.marks(next(iter(found)), size)


def _from_labels(opened: Opened, palette: Palette, unmarked: int | None, remap: Remap | None) -> UInt8Array:
    codes = label_codes(opened, palette)
    if remap is None and unmarked is None:
        return as_labels(codes, _FN, f"in {opened.path!r}: remap gives others")
    return remap_marks(_FN, codes, remap, unmarked, opened.path)


def _from_trimap(opened: Opened, remap: Remap | None) -> UInt8Array:
    try:
        marks = trimap_marks(grey_values(opened, remap))
    except ValueError as error:
        if str(error).startswith(f"{_FN}: "):
            raise
        raise ValueError(f"{_FN}: path must hold a trimap, got {opened.path!r} ({error})") from error
    if marks.size and not (marks == IGNORE_INDEX).any():
        background, foreground = (int(np.count_nonzero(marks == label)) for label in (0, 1))
        raise ValueError(
            f"{_FN}: a trimap must leave something unknown, neither 0 nor 255, got a mask of {background} pixels 0 "
            f"and {foreground} pixels 255 in {opened.path!r}: erode both sides to leave a band between them"
        )
    return marks
