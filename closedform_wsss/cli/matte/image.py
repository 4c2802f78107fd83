"""What ``matte`` does for one image: read, solve, write."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from closedform_wsss import functional, io
from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss._matte import stretch
from closedform_wsss._resize import resize_marks, scaled_size
from closedform_wsss.cli.common.data_set import NotConverged
from closedform_wsss.cli.matte.files import write_alpha, write_cutout, write_matte
from closedform_wsss.cli.matte.unmarked import check_unmarked_pixels
from closedform_wsss.io._strokes.options import color_names


class NothingMarkedError(ValueError):
    """MARKS hold no mark at all."""


@dataclass(frozen=True)
class MatteOptions:
    """The options that decide what is in the files."""

    kind: str
    palette: str
    unmarked: int | None
    remap: tuple[tuple[int, int], ...] | Literal["reduce_zero"] | None
    orientation: str | None
    window: tuple[float, float] | None
    colors: tuple[tuple[int, int, int], ...] | None
    laplacian: Literal["closed_form", "learning_based"]
    eps: float
    radius: int
    mark_weight: float
    tol: float
    max_iter: int | None
    classes: int | None
    resize: int | None
    bits: int
    levels: tuple[float, float] | None
    cutout: bool


@dataclass(frozen=True)
class Problem:
    """An image, its marks, their classes, and a description of the file of marks."""

    image: Tensor  # uint8 (3, H, W)
    marks: Tensor  # uint8 (H, W): int64 would take eight times the memory until the files are written
    classes: list[int]
    about: str
    colors: tuple[str, ...] = ()  # of the strokes, in class order


def read_problem(image_path: Path, marks_path: Path, options: MatteOptions) -> Problem:
    """Reads both files and shrinks image and marks.

    Raises:
        OSError: A file cannot be read.
        NothingMarkedError: The marks hold no mark.
        ValueError: A file is damaged, or holds marks of one class only or of every pixel.
    """
    image = io.read_image(image_path, orientation=options.orientation, window=options.window)
    marks, about, colors = _read_marks(marks_path, image, options)
    check_unmarked_pixels(marks.numpy(), marks_path)
    if options.resize is not None:
        image, marks = _shrink(image, marks, options.resize)
    return Problem(image, marks, _marked_classes(marks, options.classes), about, colors)


def solve(
    problem: Problem, options: MatteOptions, callback: Callable[[int, float], None] | None = None
) -> functional.Solution:
    """The mattes of the marked classes, ``(1, C, H, W)``, and how the solve went."""
    # A class without marks has alpha 0 everywhere, so only the marked ones are solved for.
    number = torch.full((256,), IGNORE_INDEX)
    number[problem.classes] = torch.arange(len(problem.classes))
    more: dict[str, Any] = {} if options.max_iter is None else {"max_iter": options.max_iter}
    with warnings.catch_warnings():
        # The command itself reports it, with the names of its options.
        warnings.simplefilter("ignore", functional.ConvergenceWarning)
        return functional.solve_matting(
            number[problem.marks.long()][None],
            problem.image[None],
            num_classes=len(problem.classes),
            kind=options.laplacian,
            mark_weight=options.mark_weight,
            eps=options.eps,
            radius=options.radius,
            tol=options.tol,
            callback=callback,
            **more,
        )


def write(folder: Path, problem: Problem, solution: functional.Solution, options: MatteOptions) -> list[Path]:
    """Writes the mattes of all classes; with ``--classes`` also those of classes without marks."""
    alpha = stretch(solution.alpha[0], options.levels).numpy()
    every_class = problem.classes if options.classes is None else list(range(options.classes))
    if every_class != problem.classes:
        full = np.zeros((len(every_class), *alpha.shape[1:]), alpha.dtype)
        full[problem.classes] = alpha
        alpha = full
    image, marks = problem.image.permute(1, 2, 0).numpy(), problem.marks.numpy()
    return write_matte(folder, image, marks, alpha, every_class, options.bits, cutouts=options.cutout)


def write_one(path: Path, problem: Problem, solution: functional.Solution, options: MatteOptions) -> None:
    """Writes the alpha or the cut-out of the foreground, the second of two classes."""
    alpha = stretch(solution.alpha[0, 1], options.levels).numpy()
    if options.cutout:
        write_cutout(problem.image.permute(1, 2, 0).numpy(), alpha, path)
    else:
        write_alpha(alpha, options.bits, path)


def not_converged(solution: functional.Solution, options: MatteOptions) -> NotConverged:
    """The warning for a solve that stopped early."""
    return NotConverged(
        f"not converged after {solution.iterations} iterations, estimated error {solution.error:.1e} above "
        f"--tol {options.tol:g}; raise --max-iter"
    )


def _read_marks(path: Path, image: Tensor, options: MatteOptions) -> tuple[Tensor, str, tuple[str, ...]]:
    remap = dict(options.remap) if isinstance(options.remap, tuple) else options.remap
    kind, stored = options.kind, remap is not None or options.unmarked is not None
    if kind == "auto" and not stored:
        kind = io.guess_kind(path, image, orientation=options.orientation)
    if kind != "scribbles" or stored:
        marks = io.read_marks(
            path,
            image,
            kind=kind,
            colors=options.colors,
            palette=options.palette,
            unmarked=options.unmarked,
            remap=remap,
            orientation=options.orientation,
        )
        return marks.byte(), "remapped labels" if kind == "auto" else kind, ()
    marks, colors = io.read_scribbles(path, image, colors=options.colors, orientation=options.orientation)
    names = tuple(color_names(colors.numpy()))
    about = ", ".join(f"{name} is {index}" for index, name in enumerate(names))
    return marks.byte(), f"scribbles ({about})", names


def _shrink(image: Tensor, marks: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    height, width = marks.shape
    scale = longest / max(height, width)
    if scale >= 1:
        return image, marks
    size = scaled_size((height, width), scale)
    # Averages over areas keep a pixel of mixed colour the same mixture of its two layers.
    small = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((size[1], size[0]), Image.Resampling.BOX)
    # Numbers without gaps, because resize_marks holds the votes of all classes in memory.
    values, number = torch.unique(marks, return_inverse=True)
    target = number.masked_fill(marks == IGNORE_INDEX, IGNORE_INDEX)
    winner = resize_marks(target[None], size, len(values), IGNORE_INDEX)[0]
    # If pixels are unmarked, 255 is also the last of the values.
    return io.from_array(small), values[winner.clip(max=len(values) - 1)]


def _marked_classes(marks: Tensor, num_classes: int | None) -> list[int]:
    present: list[int] = [label for label in marks.unique().tolist() if label != IGNORE_INDEX]
    if not present:
        raise NothingMarkedError(
            "MARKS must hold marks of at least two classes, got none: "
            "for folders, --skip-unmarked leaves such images out"
        )
    if len(present) < 2:
        raise ValueError(
            "MARKS must hold marks of at least two classes, "
            f"got only class {present[0]} and unmarked pixels, {IGNORE_INDEX}"
        )
    if num_classes is not None and (num_classes > IGNORE_INDEX or present[-1] >= num_classes):
        raise ValueError(
            f"--classes must be above every class in MARKS and at most {IGNORE_INDEX}, "
            f"got {num_classes} with class {present[-1]} marked"
        )
    return present
