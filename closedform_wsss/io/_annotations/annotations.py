"""The marks of all images of an export."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from closedform_wsss._checks import check_count, check_not_negative, check_option
from closedform_wsss.io._annotations.classes import Classes, class_numbers, listing
from closedform_wsss.io._annotations.draw import Pen, drawn
from closedform_wsss.io._annotations.formats import read_export
from closedform_wsss.io._annotations.shapes import AnnotatedImage, Export
from closedform_wsss.io._tensors import label_tensor
from closedform_wsss.io._types import PathLike, UInt8Array


class Annotations(Mapping[str, Tensor]):
    """The marks of the images of an export, as :func:`read_annotations` gives them: name of the image -> marks.

    ``annotations[name]`` draws the marks of an image, int64 ``(H, W)`` with 255 where unmarked. Nothing is kept, so an
    export may be larger than the memory that its marks would take. ``annotations.items()`` draws one image after the
    other.

    Attributes:
        tool: The format: ``"CVAT for images"``, ``"labelme"``, ``"Label Studio"`` or ``"COCO"``.
        classes: The number of each class, in ascending order.
        classes_from: Where the numbers are from: ``"argument"``; ``"file"``, the order of the file's own list of
            classes; or ``"names"``, the sorted names of the classes that occur.
    """

    def __init__(
        self,
        fn: str,
        tool: str,
        images: Mapping[str, tuple[str, AnnotatedImage]],
        classes: dict[str, int],
        by: str,
        pen: Pen,
    ) -> None:
        self.tool = tool
        self.classes = classes
        self.classes_from = by
        self._fn = fn
        self._images = images
        self._pen = pen

    def __getitem__(self, name: str) -> Tensor:
        return self.draw(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._images)

    def __len__(self) -> int:
        return len(self._images)

    def __repr__(self) -> str:
        return f"Annotations({self.tool}, {len(self)} images, {self.classes})"

    def size(self, name: str) -> tuple[int, int] | None:
        """``(H, W)`` of an image, as the export states it; None if it does not."""
        return self._images[name][1].size

    def labels(self, name: str) -> frozenset[str]:
        """The names of the classes of the shapes of an image that are drawn."""
        return _drawn_labels(self._images[name][1], self._pen)

    def left_out(self) -> Counter[str]:
        """How many rectangles of each class ``boxes="skip"`` leaves out."""
        if self._pen.fills_boxes:
            return Counter()
        return Counter(label for _, image in self._images.values() for label in image.boxed)

    def draw(self, name: str, size: tuple[int, int] | None = None) -> Tensor:
        """The marks of an image.

        Args:
            name: The name of the image in the export.
            size: ``(H, W)`` of the image, to compare. It is needed if the export does not state it: old files of
                labelme, and tasks of Label Studio without regions.

        Returns:
            int64 ``(H, W)``, 255 where unmarked.

        Raises:
            KeyError: The export has no such image.
            ValueError: The sizes differ, no size is known, or a shape cannot be drawn.
        """
        return label_tensor(self.marks(name, size))

    def marks(self, name: str, size: tuple[int, int] | None) -> UInt8Array:
        """``draw``, as an array of uint8."""
        path, image = self._images[name]
        wanted = image.size or size
        if wanted is None:
            raise ValueError(
                f"{self._fn}: the size of {name!r} must be given, as in draw(name, size), because {path!r} does not "
                "state it"
            )
        if size is not None and tuple(size) != wanted:
            is_turned = tuple(size) == wanted[::-1]
            cure = ": one of them was turned as the EXIF data says (--orientation on the command line)" * is_turned
            raise ValueError(
                f"{self._fn}: the size of {name!r} must be (H, W) = {wanted}, on which its shapes were drawn, got "
                f"{tuple(size)}{cure}"
            )
        try:
            return drawn(image, wanted, self.classes, self._pen)
        except ValueError as error:
            raise ValueError(f"{self._fn}: the shapes of {name!r} in {path!r} cannot be drawn: {error}") from error


def read_annotations(
    path: PathLike | Sequence[PathLike],
    *,
    classes: Classes | None = None,
    width: int = 3,
    radius: float = 2.0,
    boxes: str | None = None,
) -> Annotations:
    """Reads what annotators drew in CVAT, labelme, Label Studio, or a tool that writes COCO.

    * CVAT for images 1.1, XML: polylines, polygons, points, ellipses, masks, boxes, and the visible points of
      skeletons. Tags have no place and are left out.
    * labelme, JSON: polygons, linestrips, lines, points, circles, masks, rectangles.
    * Label Studio, JSON or JSON-MIN: polygons, brushes, keypoints, ellipses, rectangles, and vectors with straight
      segments. Of several annotations of a task, the one marked as ground truth counts, else the newest; cancelled
      ones and predictions do not.
    * COCO, JSON: the polygons and masks of the segmentation, compressed or not; without one the visible keypoints;
      without these the box.

    Later shapes of the file cover earlier ones; in CVAT those with a higher ``z_order`` cover the others. Shapes are
    clipped to the image. A pixel belongs to an area if its centre is inside.

    **Boxes.** A rectangle may be an area, all of one class, or a bounding box around an object. A bounding box holds
    background too, and as marks it would teach the class there. So rectangles need ``boxes``.

    Args:
        path: The file, or several files of one format, such as those of labelme, which writes one for each image.
        classes: Names in class order, or a dictionary that gives each name a number from 0 to 254, or 255 to leave it
            unmarked. Default: the order of the file's own list (CVAT, COCO), else the sorted names of the classes that
            occur in the files (labelme, Label Studio). Pass names for a data set in parts, so that all parts have the
            same numbers. ``__ignore__`` is unmarked unless it is named.
        width: The width of lines in pixels, at least 1. Default 3.
        radius: The radius of points in pixels; 0 marks single pixels. Default 2.
        boxes: ``"fill"`` marks all pixels of a rectangle, ``"skip"`` leaves rectangles out. Default: a
            rectangle is an error.

    Returns:
        The marks of each image by its name, and the numbers of the classes.

    Raises:
        OSError: A file is missing or may not be read.
        TypeError: ``classes`` is neither names nor a dictionary of integers.
        ValueError: A file is damaged or of another format, two images have one name, there are rectangles and ``boxes``
            is None, a class that is drawn is not in ``classes``, or an option is out of range. Shapes are decoded when
            they are drawn, so their errors come then.

    Example:
        >>> import json, pathlib, tempfile
        >>> from closedform_wsss.io import read_annotations
        >>> line = {"label": "road", "shape_type": "linestrip", "points": [[0.5, 1.5], [3.5, 1.5]]}
        >>> file = {"shapes": [line], "imagePath": "a.jpg", "imageHeight": 3, "imageWidth": 5}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "a.json")
        ...     _ = path.write_text(json.dumps(file))
        ...     annotations = read_annotations(path, classes=["background", "road"], width=1)
        >>> annotations.classes
        {'background': 0, 'road': 1}
        >>> annotations["a.jpg"].tolist()
        [[255, 255, 255, 255, 255], [1, 1, 1, 1, 255], [255, 255, 255, 255, 255]]
    """
    return annotations_of(path, "read_annotations", classes=classes, width=width, radius=radius, boxes=boxes)


def annotations_of(
    path: PathLike | Sequence[PathLike],
    fn: str,
    *,
    classes: Classes | None,
    width: int = 3,
    radius: float = 2.0,
    boxes: str | None = None,
) -> Annotations:
    """``read_annotations`` in the name of the function ``fn``."""
    check_count(fn, "width", width, 1)
    check_option(fn, "boxes", boxes, (None, "fill", "skip"))
    pen = Pen(width, check_not_negative(fn, "radius", radius), boxes == "fill")
    paths = [path] if isinstance(path, (str, os.PathLike)) else list(path)
    if not paths:
        raise ValueError(f"{fn}: path must be a file or files, got none")
    exports = [read_export(one, fn) for one in paths]
    tools = sorted({export.tool for export in exports})
    if len(tools) > 1:
        raise ValueError(f"{fn}: path must be files of one format, got {' and '.join(tools)}")
    images = _by_name(fn, paths, exports)
    if boxes is None:
        _refuse_boxes(fn, images)
    listed = _listed(exports)
    used = frozenset().union(*(_drawn_labels(image, pen) for _, image in images.values()))
    by = "argument" if classes is not None else "file" if listed is not None else "names"
    return Annotations(fn, tools[0], images, class_numbers(fn, classes, listed, used), by, pen)


def _drawn_labels(image: AnnotatedImage, pen: Pen) -> frozenset[str]:
    return image.labels | set(image.boxed) - {""} if pen.fills_boxes else image.labels


def _refuse_boxes(fn: str, images: Mapping[str, tuple[str, AnnotatedImage]]) -> None:
    with_boxes = [name for name, (_, image) in images.items() if image.boxed]
    if with_boxes:
        labels = sorted(frozenset().union(*(images[name][1].boxed for name in with_boxes)))
        raise ValueError(
            f"{fn}: annotations must have no rectangles, which may be bounding boxes and hold background too, got some "
            f"of {listing(labels)} in {len(with_boxes)} images such as {with_boxes[0]!r}: "
            "read_annotations(boxes='fill') marks all of a rectangle, boxes='skip' leaves it out (--boxes on the "
            "command line)"
        )


def _by_name(fn: str, paths: Sequence[PathLike], exports: Sequence[Export]) -> dict[str, tuple[str, AnnotatedImage]]:
    """The images and their files; names in several files start with the folder of the file."""
    folders = [Path(os.path.abspath(path)).parent for path in paths]
    root = Path(os.path.commonpath(folders))
    images: dict[str, tuple[str, AnnotatedImage]] = {}
    for path, folder, export in zip(paths, folders, exports, strict=True):
        for image in export.images:
            name = (folder.relative_to(root) / image.name).as_posix()
            if name in images:
                raise ValueError(
                    f"{fn}: images must have different names, got {name!r} twice, in {images[name][0]!r} and "
                    f"{os.fspath(path)!r}: export each task alone, each into a folder of its own"
                )
            images[name] = os.fspath(path), image
    return images


def _listed(exports: Sequence[Export]) -> tuple[str, ...] | None:
    """The names of all lists, in order; None if a file has no list."""
    if any(export.labels is None for export in exports):
        return None
    return tuple(dict.fromkeys(label for export in exports for label in export.labels or ()))
