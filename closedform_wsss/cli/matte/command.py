"""``closedform-wsss matte``: alpha mattes from an image and marks, or from folders of both."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from closedform_wsss import io
from closedform_wsss.cli.common import data_set
from closedform_wsss.cli.common.arguments import (
    add_palette_argument,
    add_picture_arguments,
    levels,
    positive_float,
    positive_int,
    remap,
    stored_value,
    stroke_colors,
)
from closedform_wsss.cli.common.caught_warnings import caught_warnings
from closedform_wsss.cli.common.data_set import NOT_CONVERGED, add_data_set_arguments
from closedform_wsss.cli.common.folders import PICTURE_SUFFIXES
from closedform_wsss.cli.common.progress import error_callback, progress_bar
from closedform_wsss.cli.matte.files import result_names
from closedform_wsss.cli.matte.folder import run_folder
from closedform_wsss.cli.matte.image import MatteOptions, Problem, not_converged, read_problem, solve, write, write_one
from closedform_wsss.laplacian import KINDS

EPILOG = f"""\
DIR gets alpha_<class>.png for each class, labels.png (the class with the largest alpha, VOC palette) and
overlay.png (the image under the colours of the classes, with the marks on top). If the classes are 0 and 1,
background and foreground, alpha.png is the matte of the foreground, the same as alpha_1.png. With --cutout there is
also cutout.png, the foreground in its own colours on a transparent background; with other classes,
cutout_<class>.png for each. Files of the same names are replaced, IMAGE and MARKS never.

If DIR is a name that ends in .png, and the marks have two classes, only the alpha of the foreground is written to
this file: the second of the two, class 1 of background and foreground. With --cutout it is the cut-out.

If IMAGE and MARKS are folders, an image and its marks have the same name, a.jpg and a.png. DIR then gets
mattes/a/ with these files, all of them or none, and matte.json, which records how they were made.

{data_set.EPILOG}
exit status: 0 done; 1 some images of a folder failed (each has a line on stderr); 2 a mistake in the arguments or
files; 3 files written, but not converged.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    add = parser.add_argument
    add("image", metavar="IMAGE", type=Path, help="the image, or a folder of images")
    add("marks", metavar="MARKS", type=Path, help="marks of the same size, or a folder of them: see --kind")
    add(
        "--kind",
        choices=("auto", *io.KINDS),
        default="auto",
        help="MARKS is a copy of the image with colour strokes (scribbles; black is 0, white the last), "
        "a map of class numbers with 255 unmarked (labels), a grey picture with 0 background and "
        "255 foreground (trimap), an XML file (scribblesup), or a file of CVAT or COCO with one image (annotations; "
        "the command marks converts other exports); default: guessed, an error if in doubt",
    )
    add(
        "--colors",
        metavar="C",
        type=stroke_colors,
        help="colours of the strokes in class order, as in 000000,ffffff (default: as found); needed for folders",
    )
    add_palette_argument(parser)
    add(
        "--unmarked",
        metavar="V",
        type=stored_value,
        help="value of unmarked pixels in a label map (255)",
    )
    add(
        "--remap",
        metavar="A:B,...",
        type=remap,
        help="the stored value A of a label map or trimap means label B, as in 0:0,1:255,2:1; or reduce_zero: "
        "0 is unmarked, and every other label becomes one less",
    )
    add_picture_arguments(parser, of="images and marks")
    add(
        "--laplacian",
        choices=KINDS,
        default="closed_form",
        help="kind of matting Laplacian (%(default)s)",
    )
    add(
        "--eps",
        type=positive_float,
        default=1e-7,
        help="regularisation of the matting Laplacian (%(default)s)",
    )
    add("--radius", type=positive_int, default=1, help="window radius in pixels (%(default)s)")
    add("--mark-weight", type=positive_float, default=100.0, help="weight of the marks (%(default)s)")
    add("--tol", type=positive_float, default=1e-3, help="stop when the error of alpha is below this (%(default)s)")
    add("--max-iter", metavar="N", type=positive_int, help="stop after N iterations")
    add(
        "--classes",
        metavar="N",
        type=positive_int,
        help="classes are 0..N-1; classes without marks get alpha 0 everywhere (default: the marked classes)",
    )
    add(
        "--resize",
        metavar="LONGEST_SIDE",
        type=positive_int,
        help="shrink larger images to this many pixels first; the results have that size",
    )
    add("--bits", type=int, choices=(8, 16), default=8, help="bits of the alpha files (%(default)s)")
    add("--cutout", action="store_true", help="also write the object in its own colours on a transparent background")
    add(
        "--levels",
        metavar="LOW,HIGH",
        type=levels,
        help="alpha up to LOW becomes 0, from HIGH on 1, as in --levels 0.05,0.95 against a faint haze",
    )
    add("--threads", metavar="N", type=positive_int, help="CPU threads for one image (default: the choice of torch)")
    add("--skip-unmarked", action="store_true", help="leave out images whose label map or annotations hold no mark")
    add_data_set_arguments(parser, more=", or a name that ends in .png for one picture")


def run(args: argparse.Namespace) -> int:
    """Reads, solves, writes, prints a report, and returns the exit status."""
    options = MatteOptions(
        **{name: getattr(args, name) for name in MatteOptions.__dataclass_fields__},
    )
    one_file = _is_file_name(args.output)
    if args.image.is_dir() and args.marks.is_dir():
        if one_file:
            raise ValueError(f"-o must be a folder for the results of folders, got the name of a file, {args.output}")
        if args.threads is not None:
            raise ValueError(f"--threads must be left out with folders, got {args.threads}: see --workers")
        return run_folder(args, options)
    if args.image.is_dir() != args.marks.is_dir() and args.image.exists() and args.marks.exists():
        folder, file = (args.image, args.marks) if args.image.is_dir() else (args.marks, args.image)
        raise ValueError(
            f"IMAGE and MARKS must be two files or two folders, got the folder {folder} and the file {file}"
        )
    for name in ("workers", "overwrite", "skip_unmarked"):
        if getattr(args, name):
            raise ValueError(
                f"--{name.replace('_', '-')} goes with folders of images and marks, got {args.image} and {args.marks}"
            )
    return _run_image(args, options)


def _run_image(args: argparse.Namespace, options: MatteOptions) -> int:
    one_file = _is_file_name(args.output)
    problem = _read(args, options)
    if one_file and len(problem.classes) != 2:
        raise ValueError(
            f"-o must be a folder unless the marks have two classes, got {args.output} and classes "
            f"{', '.join(map(str, problem.classes))}: {problem.about}"
        )
    _check_overwrites(args, problem)
    # Before the solve, so that a folder that cannot be written to fails early.
    (args.output.parent if one_file else args.output).mkdir(parents=True, exist_ok=True)

    started = time.perf_counter()
    shown = not args.quiet and (args.progress or sys.stderr.isatty())
    with _threads(args.threads):
        with progress_bar(shown=shown, total=100, bar_format="{l_bar}{bar}| {elapsed}{postfix}") as bar:
            solution = solve(problem, options, error_callback(bar, args.tol))
        seconds = time.perf_counter() - started
        if one_file:
            write_one(args.output, problem, solution, options)
            files = [args.output]
        else:
            files = write(args.output, problem, solution, options)
    if not args.quiet:
        height, width = problem.marks.shape
        print(f"marks: {problem.about}; classes {', '.join(map(str, problem.classes))}{_foreground(problem, args)}")
        print(
            f"solved {width} x {height} pixels in {solution.iterations} iterations, "
            f"{seconds:.2f} seconds; estimated error of alpha {solution.error:.1e}"
        )
        for file in files:
            print(f"wrote {file}")
    if not solution.converged:
        _warn(not_converged(solution, options))
        return NOT_CONVERGED
    return 0


def _check_overwrites(args: argparse.Namespace, problem: Problem) -> None:
    """Refuses results with the names of the files that are read: what somebody drew would be lost."""
    classes = problem.classes if args.classes is None else range(args.classes)
    one_file = _is_file_name(args.output)
    names = [""] if one_file else result_names(classes, cutouts=args.cutout)
    for path in (args.output / name for name in names):
        for argument, source in (("IMAGE", args.image), ("MARKS", args.marks)):
            if path.exists() and path.samefile(source):
                raise ValueError(
                    f"-o must not replace {argument}, got {path}: name another {'file' if one_file else 'folder'}"
                )


def _foreground(problem: Problem, args: argparse.Namespace) -> str:
    """Which of two classes is cut out; if it follows from the order of found colours, how to swap them."""
    if len(problem.classes) != 2 or not (problem.classes == [0, 1] or _is_file_name(args.output)):
        return ""
    colors = problem.colors
    if len(colors) != 2:
        return f"; the foreground is class {problem.classes[1]}"
    swapped = ",".join(color[1:] for color in colors[::-1])
    swap = "" if args.colors is not None else f" (--colors {swapped} swaps them)"
    return f"; the foreground is class 1, {colors[1]}{swap}"


def _is_file_name(output: Path) -> bool:
    """Whether ``-o`` names a file for one picture and not a folder.

    Raises:
        ValueError: It names a picture in another format than PNG.
    """
    if output.is_dir() or output.suffix.lower() not in PICTURE_SUFFIXES:
        return False
    if output.suffix.lower() != ".png":
        raise ValueError(f"-o must be a folder or the name of a PNG file, got {output}")
    return True


def _read(args: argparse.Namespace, options: MatteOptions) -> Problem:
    """Reads the files and prints the readers' warnings on stderr, even if they fail."""
    warned: list[str] = []
    try:
        with caught_warnings() as warned:
            return read_problem(args.image, args.marks, options)
    finally:
        for text in warned:
            _warn(text)


def _warn(text: str) -> None:
    print(f"closedform-wsss matte: warning: {text}", file=sys.stderr)


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Sets torch's number of threads, which the kernels use too, and restores it."""
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
