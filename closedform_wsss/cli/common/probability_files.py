"""Options of the commands that read images, probabilities and marks, and what these read."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.cli.common.arguments import add_list_argument, add_picture_arguments, stored_value
from closedform_wsss.cli.common.folders import file_of
from closedform_wsss.io import read_marks


def add_probability_arguments(parser: argparse.ArgumentParser) -> None:
    """IMAGES, PROBABILITIES, ``--logits``, ``--pattern``, ``--list``, ``--unmarked``, and how images are read."""
    add = parser.add_argument
    add("images", metavar="IMAGES", type=Path, help="folder of images")
    add(
        "probabilities",
        metavar="PROBABILITIES",
        type=Path,
        help="folder of files (.npy, .npz, .pt) with the images' names: (C, h, w), as a network predicts them",
    )
    add("--logits", action="store_true", help="the files hold logits")
    add(
        "--pattern",
        metavar="P",
        help="read only the files of PROBABILITIES with this name, as in {stem}_prob.npz, where {stem} is the name of "
        "the image without suffix, and * stands for anything",
    )
    add_list_argument(parser)
    add("--unmarked", metavar="V", type=stored_value, help="value of unmarked pixels in MARKS (255)")
    add_picture_arguments(parser, of="images and marks")


def marks_of(files: Mapping[str, Path], stem: str) -> Path:
    """The file of marks of an image.

    Raises:
        ValueError: There is none.
    """
    cure = "an image without a mark needs a file in which all pixels are unmarked, and --list names the images to take"
    return file_of("--marks", files, stem, cure)


def read_class_marks(
    path: Path, unmarked: int | None, classes: int, size: tuple[int, int], orientation: str | None
) -> Tensor:
    """Marks ``(H, W)`` of an image of this size.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged, has another size, or holds classes that the probabilities do not have.
    """
    marks = read_marks(path, kind="labels", unmarked=unmarked, orientation=orientation)
    if marks.shape != size:
        raise ValueError(f"the marks must have the image's size {size}, got {tuple(marks.shape)} in {path}")
    wrong = marks[(marks != IGNORE_INDEX) & (marks >= classes)].unique()
    if len(wrong):
        raise ValueError(
            f"the marks must be below {classes}, the number of classes in the probabilities, or 255, got "
            f"{wrong[:5].tolist()} in {path}"
        )
    return marks
