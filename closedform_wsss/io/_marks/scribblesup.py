"""Marks from the XML files of the ScribbleSup data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np
from torch import Tensor

from closedform_wsss._checks import check_count, check_names
from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.io._annotations.shapes import MAX_PIXELS, number
from closedform_wsss.io._drawing.rasterize import draw_line
from closedform_wsss.io._files.xml import parse_xml
from closedform_wsss.io._labels.label_png import VOC_CLASSES
from closedform_wsss.io._tensors import label_tensor
from closedform_wsss.io._types import PathLike, UInt8Array

_OTHER_NAMES = {
    "plane": "aeroplane",
    "airplane": "aeroplane",
    "bike": "bicycle",
    "table": "diningtable",
    "motorcycle": "motorbike",
    "plant": "pottedplant",
    "couch": "sofa",
    "tv": "tvmonitor",
    "monitor": "tvmonitor",
}


def read_scribblesup_xml(path: PathLike, *, class_names: Sequence[str] = VOC_CLASSES, width: int = 3) -> Tensor:
    """Reads a ScribbleSup annotation and draws its scribbles.

    The file holds ``<size>`` with ``<width>`` and ``<height>``, and ``<polygon>`` elements, each with a
    ``<tag>`` that names the class and ``<point>`` elements with ``<X>`` and ``<Y>``. Every polygon is drawn
    as an open line through its points. Later lines of the file cover earlier ones. Lines are clipped to the image.
    Document type declarations and entities are refused, so an untrusted file can neither name other files nor expand to
    a huge size.

    Lin et al., "ScribbleSup: Scribble-Supervised Convolutional Networks for Semantic Segmentation", CVPR
    2016.

    Args:
        path: The XML file.
        class_names: Names in class order, background included. Common other names of VOC classes (``plant`` for
            ``pottedplant``, ``tv`` for ``tvmonitor``) are accepted too.
        width: The width of the lines in pixels, at least 1. Default 3.

    Returns:
        int64 ``(H, W)`` with the classes, 255 outside the lines.

    Raises:
        OSError: The file is missing or may not be read.
        TypeError: An option is of another type.
        ValueError: The file is not of this kind, has a document type declaration, names an unknown class, or has only
            objects with bounding boxes; class_names has a name twice.

    Example:
        >>> import pathlib, tempfile
        >>> from closedform_wsss.io import read_scribblesup_xml
        >>> text = '''<annotation><size><width>5</width><height>3</height></size><polygon><tag>cat</tag>
        ... <point><X>0</X><Y>1</Y></point><point><X>3</X><Y>1</Y></point></polygon></annotation>'''
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "cat.xml"
        ...     _ = path.write_text(text)
        ...     read_scribblesup_xml(path, width=1).tolist()
        [[255, 255, 255, 255, 255], [8, 8, 8, 8, 255], [255, 255, 255, 255, 255]]
    """
    return label_tensor(scribblesup_marks(path, class_names, width))


def scribblesup_marks(path: PathLike, class_names: Sequence[str] = VOC_CLASSES, width: int = 3) -> UInt8Array:
    """``read_scribblesup_xml``, as an array."""
    check_count("read_scribblesup_xml", "width", width, 1)
    check_names("read_scribblesup_xml", "class_names", class_names)
    if not 1 <= len(class_names) <= IGNORE_INDEX:
        raise ValueError(f"read_scribblesup_xml: class_names must be 1 to {IGNORE_INDEX} names, got {len(class_names)}")
    name = os.fspath(path)
    root = parse_xml(path, "read_scribblesup_xml")
    columns, rows = (round(_number(root, f"size/{side}", name)) for side in ("width", "height"))
    if columns < 1 or rows < 1 or columns * rows > MAX_PIXELS:
        raise ValueError(f"read_scribblesup_xml: size must be that of an image, got {columns} x {rows} in {name!r}")
    if root.find("object") is not None and next(root.iter("polygon"), None) is None:
        raise ValueError(
            f"read_scribblesup_xml: path must hold polygons, got objects with bounding boxes only in {name!r}: these "
            "are annotations for detection, as of PASCAL VOC, and a box holds background too"
        )
    index = {label: place for place, label in enumerate(class_names)}
    marks = np.full((rows, columns), IGNORE_INDEX, np.uint8)
    for polygon in root.iter("polygon"):
        tag = (polygon.findtext("tag") or "").strip()
        label = index.get(tag, index.get(_OTHER_NAMES.get(tag, tag)))
        if label is None:
            raise ValueError(
                f"read_scribblesup_xml: tag must be one of {', '.join(class_names)}, got {tag!r} in {name!r}"
            )
        line = [(_number(point, "X", name), _number(point, "Y", name)) for point in polygon.iter("point")]
        if line:
            draw_line(marks, np.array(line), label, width)
    return marks


def _number(element: ElementTree.Element, child: str, path: str) -> float:
    try:
        return number(element.findtext(child), child)
    except ValueError as error:
        raise ValueError(f"read_scribblesup_xml: {error} in {path!r}") from error
