"""``closedform-wsss marks``: label maps from the exports of annotation tools, or from pictures of marks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import closedform_wsss
from closedform_wsss.cli.common.arguments import (
    add_orientation_argument,
    add_palette_argument,
    positive_int,
    stored_value,
)
from closedform_wsss.cli.common.folders import check_apart, composed
from closedform_wsss.cli.common.progress import note
from closedform_wsss.cli.common.sheet import SHEET, check_no_other_sheet, write_sheet
from closedform_wsss.cli.marks.convert import convert
from closedform_wsss.cli.marks.images import Images
from closedform_wsss.cli.marks.options import class_names, colors_of_classes, new_codes
from closedform_wsss.cli.marks.report import class_list, listed, names_by_number, report, warnings_of
from closedform_wsss.cli.marks.sources import Reading, Source, find_source
from closedform_wsss.io._files.record import claim, release
from closedform_wsss.io._files.save import atomic

EPILOG = """\
EXPORT is one of

  annotations.xml of CVAT ("CVAT for images 1.1"), a JSON file of Label Studio or COCO, or one file of labelme;
  a folder of such files, such as the JSON files of labelme, or of the XML files of ScribbleSup;
  a folder of pictures: label maps, label maps in colour (--colors), trimaps, layers of strokes, or copies of the
  images with strokes (--colors).

Sub-folders are searched, and links to folders elsewhere; results of this command in them are left out. DIR gets

  marks/        a label map (PNG, VOC palette, 255 unmarked) for each image, in the sub-folder that the image has
  classes.txt   the names of the classes, for eval --names
  sheet.png     some images with their marks, to see whether they fit
  marks.json    how they were made

exit status: 0 done; 1 some images failed (each has a line on stderr); 2 a mistake in the arguments or files.
"""
_KIND, _CLASSES, _RECORD = "marks", "classes.txt", "marks.json"
_FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    add = parser.add_argument
    add("export", metavar="EXPORT", type=Path, help="a file of annotations, or a folder of files: see below")
    add("-o", "--output", metavar="DIR", type=Path, required=True, help="folder for the results, made if missing")
    add(
        "--images",
        metavar="FOLDER",
        type=Path,
        help="the images, to compare their sizes and for the sheet; sub-folders are searched (default: EXPORT, if it "
        "is a folder)",
    )
    add(
        "--names",
        metavar="NAMES",
        help="classes in order, as in background,road, or with numbers, as in road:1,sky:255, where 255 is unmarked; "
        "or a file of them, one a line; or voc (default: the order of the file's own list, else of the names)",
    )
    add(
        "--boxes",
        choices=("fill", "skip"),
        help="mark all pixels of rectangles, or leave rectangles out (default: an error, because a bounding box holds "
        "background too)",
    )
    add("--width", metavar="N", type=positive_int, default=3, help="width of lines in pixels (%(default)s)")
    add("--radius", metavar="R", type=float, default=2.0, help="radius of points in pixels (%(default)s)")
    add(
        "--pattern",
        metavar="P",
        help="read only the files of a folder with this name, as in {stem}_mask.png, where {stem} is the name of the "
        "image without suffix, and * stands for anything",
    )
    add(
        "--kind",
        choices=("auto", "scribbles", "labels", "trimap"),
        default="auto",
        help="the kind of pictures, as in matte (default: guessed)",
    )
    add(
        "--colors",
        metavar="C",
        help="colours in class order of label maps in colour or of strokes, as in 000000,ff0000; or a file of them, "
        "such as labelmap.txt of CVAT",
    )
    add_palette_argument(parser)
    add("--unmarked", metavar="V", type=stored_value, help="value of unmarked pixels in a label map (255)")
    add(
        "--remap",
        metavar="A:B,...",
        help="the stored value A of a label map or trimap means label B, as in 0:255,1:0; or a file of such pairs, one "
        "a line; or reduce_zero",
    )
    add_orientation_argument(parser, of="images")
    add("--overwrite", action="store_true", help="delete earlier results in DIR first")
    add("--progress", action="store_true", help="show progress even if stderr is not a terminal")
    add("--quiet", action="store_true", help="print only errors and warnings")


def run(args: argparse.Namespace) -> int:
    """Converts all images, prints a report, and returns the exit status."""
    how = _reading(args)
    check_apart([args.output / _KIND], {"EXPORT": args.export, "--images": args.images})
    results = args.output.resolve()
    source = find_source(args.export, results, how)
    if not source.entries:
        raise ValueError(f"EXPORT must hold marks of images, got {source.what} without an image in {args.export}")
    images = _images(args, source, results)
    check_no_other_sheet(args.output)
    if not args.overwrite:
        _check_class_list(args.output, source)
    made = {"closedform_wsss": closedform_wsss.__version__, "export": str(args.export.resolve()), **_recorded(how)}
    claim(args.output / _RECORD, {_KIND: made}, overwrite=args.overwrite)
    shown = not args.quiet and (args.progress or sys.stderr.isatty())
    try:
        done = convert(source, images, args.output / _KIND, shown=shown)
    finally:
        release(args.output / _RECORD, (_KIND,))  # if nothing was written
    if done.failed and not done.written:
        return _FAILED  # their lines say all
    wrote = [f"wrote {len(done.written)} label maps to {args.output / _KIND}"]
    if source.classes:
        with atomic(args.output / _CLASSES) as file:
            file.write(_class_lines(source))
        wrote.append(f"wrote {args.output / _CLASSES}")
    if done.panels:
        write_sheet(args.output / SHEET, done.panels, names_by_number(source.classes), args.orientation)
        with_images = any(panel.image is not None for panel in done.panels)
        cure = "look whether the marks fit the images" if with_images else "the marks on grey; --images adds the images"
        wrote.append(f"wrote {args.output / SHEET}: {cure}")
    if not args.quiet:
        print("\n".join([*report(source, done), *wrote]))
    if kept := _of_earlier_runs(args.output / _KIND, done.written):
        note(
            f"closedform-wsss marks: warning: {len(kept)} label maps of an earlier run are still there, such as "
            f"{kept[0]}: --overwrite deletes them"
        )
    for text in warnings_of(source, done, images, by_value=how.remap is not None or how.unmarked is not None):
        note(f"closedform-wsss marks: warning: {text}")
    return _FAILED if done.failed else 0


def _class_lines(source: Source) -> bytes:
    """The list of classes as a file; a name with line breaks is still one line."""
    lines = [" ".join(name.splitlines()) for name in class_list(source.classes)]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _check_class_list(output: Path, source: Source) -> None:
    """Refuses to replace a list of classes that this command did not write: other tools keep theirs under this name.

    Raises:
        ValueError: There is one, with other classes.
    """
    path = output / _CLASSES
    if not source.classes or (output / _RECORD).exists() or not path.is_file():
        return
    if path.read_bytes().split() != _class_lines(source).split():
        raise ValueError(
            f"-o must not hold a {_CLASSES} of another program, got {path}: choose another folder, or --overwrite it"
        )


def _of_earlier_runs(folder: Path, written: Iterable[str]) -> list[Path]:
    names = set(map(composed, written))
    return [
        path for path in sorted(folder.rglob("*.png")) if composed(path.relative_to(folder).as_posix()) not in names
    ]


def _images(args: argparse.Namespace, source: Source, results: Path) -> Images:
    """The images of ``--images``, or those beside the marks.

    Raises:
        ValueError: It is no folder, or holds none of the images.
    """
    if args.images is None:
        folder = args.export if args.export.is_dir() else None
        return Images(folder, results, source.files, args.orientation)
    if not args.images.is_dir():
        raise ValueError(f"--images must be a folder, got {args.images}")
    beside = args.export.is_dir() and args.images.resolve() == args.export.resolve()
    images = Images(args.images, results, source.files if beside else frozenset(), args.orientation)
    if not any(images.has(entry.name) for entry in source.entries):
        raise ValueError(
            f"--images must hold the images of EXPORT, such as {source.entries[0].name}, got "
            f"{listed(images.paths) or 'no image'} in {args.images}: for files with other names than their images see "
            "--pattern"
        )
    return images


def _reading(args: argparse.Namespace) -> Reading:
    return Reading(
        names=None if args.names is None else class_names(args.names),
        boxes=args.boxes,
        width=args.width,
        radius=args.radius,
        pattern=args.pattern,
        kind=args.kind,
        colors=None if args.colors is None else colors_of_classes(args.colors),
        palette=args.palette,
        unmarked=args.unmarked,
        remap=None if args.remap is None else new_codes(args.remap),
        orientation=args.orientation,
    )


def _recorded(how: Reading) -> dict[str, str]:
    """The options, as they are in a JSON file."""
    return {name: str(value) for name, value in asdict(how).items() if value is not None}
