"""``closedform-wsss self-label``: labels of a training set from a network's predictions, the marks and the images."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from torch import Tensor

import closedform_wsss
from closedform_wsss import io
from closedform_wsss.cams.values import check_upright
from closedform_wsss.cli.common.caught_warnings import caught_warnings
from closedform_wsss.cli.common.data_set import check_sheet
from closedform_wsss.cli.common.folders import CAM_SUFFIXES, IMAGE_SUFFIXES, LABEL_SUFFIXES, check_apart, files_by_stem
from closedform_wsss.cli.common.pairs import Inputs, pairs_of
from closedform_wsss.cli.common.probability_files import add_probability_arguments, marks_of, read_class_marks
from closedform_wsss.cli.common.progress import note, progress_bar
from closedform_wsss.cli.common.sheet import write_label_sheet
from closedform_wsss.io._files.record import claim, release
from closedform_wsss.io._files.save import atomic
from closedform_wsss.training import PseudoLabeler, Recipe
from closedform_wsss.training.label_round import state_file

_WEIGHTS, _RECORD = "class_weights.json", "self-label.json"

EPILOG = f"""\
One round of self-training for a program that has its own training loop (mmsegmentation, nnU-Net, detectron2): train on
the marks for a third of the training, predict the training images, make labels with this command, and continue with
these. Make them once more at half of the training. It is closedform_wsss.training.PseudoLabeler: see the page
"Training from marks" of the documentation.

DIR gets labels/ with label maps (PNG, VOC palette, 255 where the label is ambiguous: ignore it) at the size of the
images, sheet.png with some images under their labels, {_WEIGHTS} with the weights of the classes for the
cross-entropy, and self-label.json, which records how they were made.

exit status: 0 done; 2 a mistake in the arguments or files.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    add = parser.add_argument
    add_probability_arguments(parser)
    add("--marks", metavar="MARKS", type=Path, required=True, help="folder of label maps (PNG, 255 unmarked)")
    add(
        "--incomplete-marks",
        action="store_true",
        help="an image may hold classes without a mark in it (default: its labels hold only the classes of its marks)",
    )
    add("-o", "--output", metavar="DIR", type=Path, required=True, help="folder for the results, made if missing")
    add("--overwrite", action="store_true", help="delete earlier results in DIR first")
    add("--progress", action="store_true", help="show progress even if stderr is not a terminal")
    add("--quiet", action="store_true", help="print only errors and warnings")


def run(args: argparse.Namespace) -> int:
    """Makes the labels of all images together, prints a report, and returns the exit status."""
    inputs = (
        Inputs("IMAGES", args.images, IMAGE_SUFFIXES, "images"),
        Inputs("PROBABILITIES", args.probabilities, CAM_SUFFIXES, "probabilities", args.pattern),
    )
    check_sheet(args.output, inputs[0])
    _check_weights(args.output / _WEIGHTS)
    given = {"IMAGES": args.images, "PROBABILITIES": args.probabilities, "--marks": args.marks}
    check_apart([args.output / "labels"], given)
    pairs = pairs_of(inputs, args.list, (args.output, args.output / "labels"))
    marks = files_by_stem("--marks", args.marks, LABEL_SUFFIXES)
    files = [(stem, image, probs, marks_of(marks, stem)) for stem, (image, probs) in pairs.both.items()]
    classes = len(io.read_probabilities(files[0][2], logits=args.logits))
    made = {
        "closedform_wsss": closedform_wsss.__version__,
        **{name: str(getattr(args, name).resolve()) for name in ("images", "probabilities", "marks")},
        **{name: getattr(args, name) for name in ("logits", "unmarked", "incomplete_marks", "orientation")},
        "window": None if args.window is None else list(args.window),
        "list": None if args.list is None else str(args.list.resolve()),
    }
    claim(args.output / _RECORD, {"labels": made}, overwrite=args.overwrite)
    if any((args.output / "labels").iterdir()):
        raise ValueError(f"-o must be a new folder for each round, got the labels of one in {args.output}: --overwrite")
    shown = not args.quiet and (args.progress or sys.stderr.isatty())
    work = args.output / ".self-label"
    shutil.rmtree(work, ignore_errors=True)
    try:
        labeler = PseudoLabeler(work, classes, Recipe(complete_marks=not args.incomplete_marks))
        with caught_warnings() as warned, progress_bar(shown=shown, total=len(files), unit=" images") as bar:
            report = labeler.update_from(_samples(args, files, classes, bar.update))
        for warning in warned:
            note(f"closedform-wsss self-label: warning: {warning}")
        weights = [round(float(weight), 6) for weight in labeler.class_weight]
        with atomic(args.output / _WEIGHTS) as file:
            file.write((json.dumps({"class_weight": weights}) + "\n").encode())
        _put_into_place(work / "labels", args.output / "labels")
    finally:
        shutil.rmtree(work, ignore_errors=True)
        release(args.output / _RECORD, ("labels",))  # after a failure
    labels = [(image, args.output / "labels" / f"{stem}.png") for stem, image, *_ in files]
    sheet = write_label_sheet(args.output, labels, (), args.orientation, args.window)
    if not args.quiet:
        print(str(report).partition("\n")[2])
        print(f"{len(files)} labels in {args.output / 'labels'}, weights of the classes in {args.output / _WEIGHTS}")
        print("\n".join(sheet))
    return 0


def _check_weights(path: Path) -> None:
    """Refuses to replace weights of another program: this command's are replaced by those of its next round.

    Raises:
        ValueError: The file is not of this command.
    """
    try:
        if not path.exists() or json.loads(path.read_bytes()).keys() == {"class_weight"}:
            return
    except (ValueError, AttributeError):
        pass
    raise ValueError(f"-o must not hold a {path.name} of another program, got {path}: choose another folder")


def _put_into_place(new: Path, labels: Path) -> None:
    """Moves the label maps into an empty folder, all at once: some of them would look like a whole round.

    The weights are there before, so that no labels are without theirs.
    """
    state_file(new.parent).unlink()
    if os.name == "nt":  # where no folder takes the place of another
        labels.rmdir()
    os.replace(new, labels)


def _samples(
    args: argparse.Namespace, files: list[tuple[str, Path, Path, Path]], classes: int, done: Callable[[], object]
) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
    for stem, image_file, probability_file, mark_file in files:
        image = io.read_image(image_file, orientation=args.orientation, window=args.window)
        probs = io.read_probabilities(probability_file, logits=args.logits)
        if len(probs) != classes:
            raise ValueError(
                f"PROBABILITIES must have one number of classes, got {classes} in {files[0][2]} and {len(probs)} in "
                f"{probability_file}"
            )
        size = (image.shape[1], image.shape[2])
        check_upright(probs, *size, what="probabilities", image=image_file)
        yield stem, image, read_class_marks(mark_file, args.unmarked, classes, size, args.orientation), probs
        done()
