"""``closedform-wsss matte``: from an image and marks to alpha mattes, in files."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from closedform_wsss import functional, labels
from closedform_wsss.cli._arguments import positive_float, positive_int
from closedform_wsss.cli._matte_files import write_matte
from closedform_wsss.cli._progress import Progress
from closedform_wsss.functional._resize import resize_marks
from closedform_wsss.laplacian import KINDS

_NOT_CONVERGED = 3
_UNMARKED = 255
_UInt8Array = np.typing.NDArray[np.uint8]

_EPILOG = """\
DIR gets alpha_<class>.png for each class, labels.png (the class with the largest alpha, VOC palette) and
overlay.png (the image under the classes' colours, the marks on top). If the classes are 0 and 1, background
and foreground, alpha.png is the matte of the foreground, the same as alpha_1.png. Files of the same names are
replaced.

exit status: 0 done; 2 a mistake in the arguments or files; 3 files written, but not converged.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("image", metavar="IMAGE", type=Path, help="the image")
    add("marks", metavar="MARKS", type=Path, help="marks of the same size: see --kind")
    add(
        "-o",
        "--output",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder for the results, made if missing",
    )
    add(
        "--kind",
        choices=("auto", *labels.KINDS),
        default="auto",
        help="MARKS is a copy of the image with colour strokes (scribbles; black is 0, white the last), "
        "a map of class numbers with 255 unmarked (labels), a grey picture with 0 background and "
        "255 foreground (trimap), or an XML file (scribblesup); default: found out, an error if in doubt",
    )
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
    add("--confidence", type=positive_float, default=100.0, help="weight of the marks (%(default)s)")
    add("--tol", type=positive_float, default=1e-3, help="largest error of alpha to stop at (%(default)s)")
    add("--max-iter", metavar="N", type=positive_int, help="stop after N iterations in any case")
    add(
        "--classes",
        metavar="N",
        type=positive_int,
        help="classes are 0..N-1; those without marks get alpha 0 everywhere (default: the classes marked)",
    )
    add(
        "--resize",
        metavar="LONGEST_SIDE",
        type=positive_int,
        help="shrink larger images to this many pixels first; the results have that size",
    )
    add("--bits", type=int, choices=(8, 16), default=8, help="of the alpha files (%(default)s)")
    add("--threads", metavar="N", type=positive_int, help="CPU threads (default: torch's choice)")
    add("--progress", action="store_true", help="show progress even if stderr is no terminal")
    add("--quiet", action="store_true", help="print nothing but errors and warnings")


def run(args: argparse.Namespace) -> int:
    """Reads, solves, writes, reports, and returns the exit status."""
    image = labels.read_image(args.image)
    marks, about = _read_marks(args.marks, image, args.kind)
    if args.resize is not None:
        image, marks = _shrink(image, marks, args.resize)
    classes = _marked_classes(marks, args.classes)
    # Before the long part, so that a folder that cannot be written to is known at once.
    args.output.mkdir(parents=True, exist_ok=True)

    started = time.perf_counter()
    with _threads(args.threads):
        alpha, info = _solve(image, marks, classes, args)
    seconds = time.perf_counter() - started

    every_class = classes if args.classes is None else list(range(args.classes))
    if every_class != classes:
        full = np.zeros((len(every_class), *alpha.shape[1:]), alpha.dtype)
        full[classes] = alpha
        alpha = full
    files = write_matte(args.output, image, marks, alpha, every_class, args.bits)
    if not args.quiet:
        print(f"marks: {about}; classes {', '.join(map(str, classes))}")
        print(
            f"solved {image.shape[1]} x {image.shape[0]} pixels in {info.iterations} iterations, "
            f"{seconds:.2f} seconds; estimated error of alpha {info.error:.1e}"
        )
        for file in files:
            print(f"wrote {file}")
    if not info.converged:
        print(
            f"closedform-wsss matte: warning: not converged after {info.iterations} iterations, "
            f"estimated error {info.error:.1e} above --tol {args.tol:g}; raise --max-iter",
            file=sys.stderr,
        )
        return _NOT_CONVERGED
    return 0


def _read_marks(path: Path, image: _UInt8Array, kind: str) -> tuple[_UInt8Array, str]:
    """The marks, and in words what they were read from."""
    if kind == "auto":
        kind = labels.guess_kind(path, image)
    if kind != "scribbles":
        return labels.read_marks(path, image, kind=kind), kind
    marks, colors = labels.read_scribbles(path, image)
    names = (f"#{red:02x}{green:02x}{blue:02x} is {index}" for index, (red, green, blue) in enumerate(colors.tolist()))
    return marks, f"scribbles ({', '.join(names)})"


def _shrink(image: _UInt8Array, marks: _UInt8Array, longest: int) -> tuple[_UInt8Array, _UInt8Array]:
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image, marks
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    # Averages over areas: they keep a pixel of mixed colour the same mixture of its two layers.
    small = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BOX)
    # Numbers without gaps, because the votes of all classes are held at once.
    values, number = np.unique(marks, return_inverse=True)
    target = torch.from_numpy(np.where(marks == _UNMARKED, _UNMARKED, number.reshape(marks.shape)))
    winner = resize_marks(target[None], size, len(values), _UNMARKED)[0].numpy()
    # If something is unmarked, 255 is the last of the values too.
    return np.array(small), values[winner.clip(max=len(values) - 1)]


def _marked_classes(marks: _UInt8Array, num_classes: int | None) -> list[int]:
    present: list[int] = [label for label in np.unique(marks).tolist() if label != _UNMARKED]
    if len(present) < 2:
        got = f"only class {present[0]}" if present else "none"
        raise ValueError(f"MARKS must hold marks of at least two classes, got {got}")
    if num_classes is not None and (num_classes > _UNMARKED or present[-1] >= num_classes):
        raise ValueError(
            f"--classes must be above every class in MARKS and at most {_UNMARKED}, "
            f"got {num_classes} with class {present[-1]} marked"
        )
    return present


def _solve(
    image: _UInt8Array, marks: _UInt8Array, classes: list[int], args: argparse.Namespace
) -> tuple[np.typing.NDArray[np.floating], functional.SolveInfo]:
    # A class without marks has alpha 0 everywhere, so only the marked ones are solved for.
    number = np.full(256, _UNMARKED, np.int64)
    number[classes] = np.arange(len(classes))
    options = {} if args.max_iter is None else {"max_iter": args.max_iter}
    shown = not args.quiet and (args.progress or sys.stderr.isatty())
    with Progress(args.tol, shown=shown) as progress, warnings.catch_warnings():
        # Told below with the exit status, and in terms of the command's own options.
        warnings.simplefilter("ignore", functional.ConvergenceWarning)
        alpha, info = functional.solve_matting(
            torch.from_numpy(image).permute(2, 0, 1)[None].contiguous(),
            torch.from_numpy(number[marks])[None],
            num_classes=len(classes),
            laplacian=args.laplacian,
            confidence=args.confidence,
            eps=args.eps,
            radius=args.radius,
            tol=args.tol,
            callback=progress,
            return_info=True,
            **options,
        )
    return alpha[0].numpy(), info


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Sets torch's thread count, which the kernels follow, and sets it back."""
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
