"""What the command converts: an export of an annotation tool, or a folder of files of marks."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import torch
from torch import Tensor

from closedform_wsss.cli.common.folders import IMAGE_SUFFIXES, composed
from closedform_wsss.cli.common.pattern import files_below, name_of_image, stem_pattern
from closedform_wsss.cli.marks.options import Codes, Palette
from closedform_wsss.io import (
    IGNORE_INDEX,
    VOC_CLASSES,
    guess_kind,
    read_annotations,
    read_image,
    read_marks,
    read_scribblesup_xml,
)
from closedform_wsss.io._pictures.open import open_image
from closedform_wsss.io._strokes.scribbles import check_size

_TEXT = (".json", ".xml")
_LABEL_MAP, _LABEL_FOLDER = "labelmap.txt", "SegmentationClass"  # of CVAT's export "Segmentation mask"

NAMES = "--names"  # where the numbers of classes are from, if they are from there

Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Entry:
    """The marks of one image.

    Attributes:
        name: The name of the image, with ``/`` between folders.
        size: ``(H, W)`` as the export states it; None if it does not.
        is_empty: Whether the export has no shapes for it.
        read: Gives the marks ``(H, W)`` for the image file, if there is one, and its size.
    """

    name: str
    size: Size | None
    is_empty: bool
    read: Callable[[Path | None, Size | None], Tensor]


@dataclass(frozen=True)
class Source:
    """All marks.

    Attributes:
        what: Their kind, for the report.
        entries: The marks of each image.
        classes: The number of each class, as far as they have names.
        order: Where the numbers are from, for the report.
        files: The files with marks, relative to EXPORT if that is a folder.
        left_out: The number of rectangles of each class that are not drawn.
        of_values: Whether the files may store classes as numbers, and not as names.
    """

    what: str
    entries: Sequence[Entry]
    classes: Mapping[str, int]
    order: str
    files: frozenset[str] = frozenset()
    left_out: Mapping[str, int] = field(default_factory=dict)
    of_values: bool = False


@dataclass(frozen=True)
class Reading:
    """The options of the command that say how marks are read; see its help."""

    names: tuple[str, ...] | dict[str, int] | None
    boxes: str | None
    width: int
    radius: float
    pattern: str | None
    kind: str
    colors: Palette | None
    palette: str
    unmarked: int | None
    remap: Codes | None
    orientation: str | None


def find_source(export: Path, results: Path, how: Reading) -> Source:
    """Finds out what EXPORT is. The folder ``results`` is not searched.

    Raises:
        OSError: A file is missing or may not be read.
        ValueError: It holds no marks, marks of several kinds, or an option does not fit them.
    """
    if not export.is_dir():
        if how.pattern is not None:
            raise ValueError(f"--pattern goes with a folder of files, got the file {export}")
        if export.suffix.lower() in IMAGE_SUFFIXES or _is_scribblesup(export):
            return _files(export.parent, [(export.name, export.stem)], how)
        return _annotations(export, [export.name], how)
    files = files_below(export, results)
    if how.pattern is None:
        _refuse_cvat_masks(export, files)
    pattern = None if how.pattern is None else stem_pattern(how.pattern)
    named = [(file, stem) for file in files if (stem := name_of_image(file, pattern)) is not None]
    texts = [(file, stem) for file, stem in named if file.lower().endswith(_TEXT)]
    pictures = [(file, stem) for file, stem in named if file.lower().endswith((*IMAGE_SUFFIXES, ".gif"))]
    if texts and pictures and pattern is not None:
        raise ValueError(f"--pattern must fit files of one kind, got {texts[0][0]} and {pictures[0][0]} in {export}")
    if texts:  # pictures beside them are the images
        return _texts(export, texts, how)
    if not pictures:
        raise ValueError(
            f"EXPORT must hold files of marks (JSON, XML or pictures), got {len(files)} other files in {export}"
            + (f", of which none fits --pattern {how.pattern}" if pattern is not None and files else "")
        )
    return _files(export, pictures, how)


def _refuse_cvat_masks(export: Path, files: Sequence[str]) -> None:
    """Says how to read CVAT's export of label maps: only the user knows whether its background is unmarked."""
    if _LABEL_MAP in files and any(file.startswith(f"{_LABEL_FOLDER}/") for file in files):
        raise ValueError(
            f"EXPORT must be a folder of marks, got {export} with {_LABEL_MAP} and {_LABEL_FOLDER}, CVAT's export of "
            f"label maps in colour: pass {export / _LABEL_FOLDER} --colors {export / _LABEL_MAP}, and --unmarked 0 if "
            "pixels without annotation are unmarked and not background"
        )


def _texts(export: Path, texts: Sequence[tuple[str, str]], how: Reading) -> Source:
    """JSON and XML files, and the names of their images: annotations, or all of ScribbleSup."""
    of_scribblesup = [_is_scribblesup(export / file) for file, _ in texts]
    if all(of_scribblesup):
        return _files(export, texts, how)
    if any(of_scribblesup):
        one, other = (texts[of_scribblesup.index(is_one)][0] for is_one in (True, False))
        raise ValueError(
            f"EXPORT must hold marks of one kind, got {one} and {other} in {export}: --pattern chooses files"
        )
    return _annotations(export, [file for file, _ in texts], how)


def _is_scribblesup(path: Path) -> bool:
    return path.suffix.lower() == ".xml" and guess_kind(path) == "scribblesup"


def _annotations(export: Path, files: Sequence[str], how: Reading) -> Source:
    _refuse_options_of_pictures("annotations", export, how)
    folder = export if export.is_dir() else export.parent
    found = read_annotations(
        [folder / file for file in files], classes=how.names, width=how.width, radius=how.radius, boxes=how.boxes
    )
    # Files of labelme are beside their images, so their names start with the common folder of the files too.
    folders = [PurePosixPath(file).parent.as_posix() for file in files]
    common = PurePosixPath(posixpath.commonpath(folders) if found.tool == "labelme" else "")

    def entry(name: str) -> Entry:
        shapes_of = found.labels(name)
        return Entry(
            (common / name).as_posix(), found.size(name), not shapes_of, lambda _, size: found.draw(name, size)
        )

    order = {"argument": NAMES, "file": "the order of the file's list", "names": "the order of their names"}
    return Source(
        found.tool,
        [entry(name) for name in found],
        found.classes,
        order[found.classes_from],
        frozenset(files),
        found.left_out(),
    )


def _refuse_options_of_pictures(what: str, where: Path, how: Reading) -> None:
    for option, got in (("colors", how.colors), ("unmarked", how.unmarked), ("remap", how.remap)):
        if got is not None:
            raise ValueError(
                f"--{option} goes with pictures of marks, got it for {what} in {where}: --names gives classes their "
                "numbers, and 255 leaves one unmarked"
            )


def _check_one_for_each(folder: Path, files: Sequence[tuple[str, str]]) -> None:
    """Refuses a folder that holds the photographs beside their marks, or marks twice.

    Raises:
        ValueError: Two files have the name of one image.
    """
    found: dict[str, str] = {}
    for file, name in files:
        if (other := found.setdefault(composed(name), file)) != file:
            raise ValueError(
                f"EXPORT must hold one file of marks for each image, got {other} and {file} in {folder}: --pattern "
                f"chooses files, as in --pattern '{{stem}}.png'"
            )


def _files(folder: Path, files: Sequence[tuple[str, str]], how: Reading) -> Source:
    _check_one_for_each(folder, files)

    def entry(file: str, name: str) -> Entry:
        return Entry(name, None, False, lambda image, _: _read(folder / file, image, how, several=len(files) > 1))

    is_text = files[0][0].lower().endswith(_TEXT)
    if is_text:
        _refuse_options_of_pictures("ScribbleSup", folder, how)
    if how.names is not None:
        classes = how.names if isinstance(how.names, dict) else {name: n for n, name in enumerate(how.names)}
        order = NAMES
    else:
        listed = how.colors.names if how.colors is not None else ()
        classes, order = {name: number for number, name in enumerate(listed) if name}, "the order of the colours"
    return Source(
        "files of marks",
        [entry(*pair) for pair in files],
        classes,
        order,
        frozenset(file for file, _ in files),
        of_values=how.colors is None and not is_text,
    )


def _read(path: Path, image: Path | None, how: Reading, *, several: bool) -> Tensor:
    pixels = None if image is None else read_image(image, orientation=how.orientation or "apply")
    if path.suffix.lower() in _TEXT:
        return _read_scribblesup(path, pixels, how)
    colors = None if how.colors is None else how.colors.colors
    kind = how.kind
    if kind == "auto" and colors is not None:
        kind = "labels" if _shows_only(path, colors) else "scribbles"
        if kind == "scribbles" and pixels is None:
            raise ValueError(
                f"--images must hold the image that strokes were drawn on, got none for {path}; if this is a label map "
                "in colour, --colors lacks some of its colours, and --kind labels says which"
            )
    if kind == "auto" and how.unmarked is None and how.remap is None:
        kind = guess_kind(path, pixels, orientation=how.orientation)
    if kind == "scribbles" and colors is None and several:
        raise ValueError(
            "--colors must be given for a folder of strokes, since a class that is missing in one image would change "
            "the number of others"
        )
    palette: str | Sequence[Sequence[int]] = how.palette
    if kind == "labels" and colors is not None:
        palette, colors = colors, None
    return read_marks(
        path,
        pixels,
        kind=kind,
        colors=colors,
        palette=palette,
        unmarked=how.unmarked,
        remap=how.remap,
        orientation=how.orientation,
    )


def _read_scribblesup(path: Path, image: Tensor | None, how: Reading) -> Tensor:
    names = VOC_CLASSES if how.names is None else tuple(how.names)
    marks = read_scribblesup_xml(path, class_names=names, width=how.width)
    if image is not None:
        check_size("read_scribblesup_xml", path, tuple(marks.shape), image.permute(1, 2, 0).numpy())
    if not isinstance(how.names, dict):
        return marks
    numbers = torch.full((256,), IGNORE_INDEX)
    numbers[: len(names)] = torch.tensor(list(how.names.values()))
    return numbers[marks]


def _shows_only(path: Path, colors: Sequence[tuple[int, int, int]]) -> bool:
    """Whether a picture is opaque and has no other colours, as a label map in colour."""
    found = open_image(path, "read_marks", orientation="ignore").image.convert("RGBA").getcolors(256)
    return found is not None and {color for _, color in found} <= {(*color, 255) for color in colors}
