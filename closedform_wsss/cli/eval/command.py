"""``closedform-wsss eval``: label maps or CAMs against ground truth."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

from closedform_wsss.cli.common.arguments import (
    add_cam_file_arguments,
    add_list_argument,
    add_names_argument,
    add_orientation_argument,
    add_palette_argument,
    positive_int,
    remap,
    unit_interval,
)
from closedform_wsss.cli.common.failures import Failures
from closedform_wsss.cli.common.folders import LABEL_SUFFIXES, files_by_stem
from closedform_wsss.cli.common.names import class_names
from closedform_wsss.cli.common.progress import note, progress_bar
from closedform_wsss.cli.common.tags import Tags
from closedform_wsss.cli.common.workers import Failure, run_jobs
from closedform_wsss.cli.eval.counts import EvalJob, EvalOptions, Total, count_image, empty_histogram
from closedform_wsss.cli.eval.images import check_pairs, chosen_images, find_predictions
from closedform_wsss.cli.eval.report import report, table
from closedform_wsss.io._files.save import atomic

_FAILED = 1
_STEPS = 100
_MAX_CLASSES = 255  # labels 0 to 254; 255 means unlabelled

EPILOG = """\
The pixels of all images go into one confusion matrix. The mean IoU is over the classes that occur in it, background
included. Pixels with the ignore index in GT do not count; their fraction is printed. A warning on stderr says where
the scores mean less than they seem to.

A line of --list is a name with or without its suffix, a path, or columns with tabs, semicolons, commas or spaces
between them, one of which names an image; the other columns are not read. Empty lines and lines that start with # are
skipped.

Masks of 0 and 255, which many label tools write, need --remap 255:1. --remap reduce_zero is for data sets such as
ADE20K: 0 becomes 255, and every other class becomes one less.

CAMs are resized bilinearly to the size of GT. A pixel is background if no CAM exceeds the threshold. Without
--threshold, 0, 0.01, ..., 1 are tried and the best is reported. It is chosen on the same images that it is measured
on. For a fair figure it is also chosen on each half of the images and measured on the other half.

exit status: 0 done; 1 some images failed (each has a line on stderr) and are not counted; 2 a mistake in the arguments.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    add = parser.add_argument
    add("predictions", metavar="PRED", type=Path, help="folder of label maps (PNG), or of CAMs or probabilities")
    add("truths", metavar="GT", type=Path, help="folder of label maps (PNG) with the same names")
    add_list_argument(parser)
    add_cam_file_arguments(parser, of="PRED")
    add(
        "--probabilities",
        action="store_true",
        help="PRED holds arrays (C, h, w): probabilities of all classes, no CAMs",
    )
    add("--logits", action="store_true", help="the same, with logits")
    add("--threshold", metavar="T", type=unit_interval, help="threshold of CAMs, in place of the best one")
    add("--normalize", action="store_true", help="divide each CAM by its maximum first")
    add("--num-classes", metavar="N", type=positive_int, help="background included (default: highest label + 1)")
    add_names_argument(parser)
    add("--ignore-index", metavar="I", type=int, default=255, help="label in GT that does not count (%(default)s)")
    add(
        "--remap",
        metavar="A:B,...",
        type=remap,
        help="stored value A means label B, in GT and in predicted label maps, applied first; or reduce_zero",
    )
    add_palette_argument(parser)
    add_orientation_argument(parser, of="label maps")
    add("--unlabelled", choices=("wrong", "skip"), help="how 255 in a predicted label map counts; default: an error")
    add("--allow-missing", action="store_true", help="skip images of GT without a prediction")
    add("--json", metavar="FILE", type=Path, help="also write the results to FILE")
    add("--workers", metavar="N", type=positive_int, default=1, help="processes (%(default)s)")
    add("--progress", action="store_true", help="show progress even if stderr is not a terminal")


def run(args: argparse.Namespace) -> int:
    """Counts, prints, and returns the exit status."""
    truths = files_by_stem("GT", args.truths, LABEL_SUFFIXES)
    are_probabilities = args.probabilities or args.logits
    predictions, are_arrays = find_predictions(args.predictions, args.pattern, truths, arrays=are_probabilities)
    names, classes = _classes(args.names, args.num_classes)
    if are_probabilities and not are_arrays:
        raise ValueError(f"--probabilities and --logits are for arrays, got label maps in {args.predictions}")
    are_cams = are_arrays and not are_probabilities
    normalize = args.normalize or None
    for option, got in (("threshold", args.threshold), ("normalize", normalize), ("classes-of", args.classes_of)):
        if got is not None and not are_cams:
            what = "probabilities" if are_probabilities else "label maps"
            raise ValueError(f"--{option} is for CAMs, got {what} in {args.predictions}")
    listed = chosen_images(args.truths, truths, predictions, args.list)
    missing = check_pairs(listed.stems, predictions, truths, folder=args.predictions, allow_missing=args.allow_missing)
    stems = [stem for stem in listed.stems if stem in predictions]
    thresholds = (args.threshold,) if args.threshold is not None else tuple(n / _STEPS for n in range(_STEPS + 1))
    options = EvalOptions(
        thresholds if are_cams else None,
        classes,
        args.ignore_index,
        args.unlabelled,
        args.normalize,
        dict(args.remap) if isinstance(args.remap, tuple) else args.remap,
        args.palette,
        args.orientation,
        "logits" if args.logits else "probabilities" if args.probabilities else "labels",
    )
    tags = Tags(args.classes_of, args.names if args.classes_of is not None else None)
    jobs = [
        EvalJob(predictions[stem], truths[stem], n % 2, tags.of(stem), tags.all_classes) for n, stem in enumerate(stems)
    ]
    if args.json is not None:
        _check_json(args.json)
    total = _count(options, jobs, args)
    if total.failed == len(jobs):
        return _FAILED
    counted = {"images": len(jobs) - total.failed, "missing": len(missing), "failed": total.failed}
    result = {**counted, **report(options, total, names)}
    result["warnings"] = [*listed.warnings, *result["warnings"]]
    print(table(result))
    for warning in result["warnings"]:
        print(f"closedform-wsss eval: warning: {warning}", file=sys.stderr)
    if args.json is not None:
        with atomic(args.json) as file:
            file.write((json.dumps(result, indent=2) + "\n").encode())
    return _FAILED if total.failed else 0


def _check_json(path: Path) -> None:
    """Makes the folder of the file, before all images are read for it.

    Raises:
        OSError: The folder cannot be made.
        ValueError: It is the name of a folder.
    """
    if path.is_dir():
        raise ValueError(f"--json must be a file, got the folder {path}")
    path.parent.mkdir(parents=True, exist_ok=True)


def _classes(source: str | None, num_classes: int | None) -> tuple[list[str] | None, int | None]:
    """The names of the classes and their number, if known."""
    names = None
    if source is not None:
        names = class_names(source)
        if num_classes is not None and num_classes != len(names):
            raise ValueError(f"--names must name --num-classes {num_classes} classes, got {len(names)} in {source}")
    classes = num_classes if names is None else len(names)
    if classes is not None and not 2 <= classes <= _MAX_CLASSES:
        option = "--num-classes" if names is None else "--names"
        raise ValueError(f"{option} must be of 2 to {_MAX_CLASSES} classes, background included, got {classes}")
    return names, classes


def _count(options: EvalOptions, jobs: list[EvalJob], args: argparse.Namespace) -> Total:
    total = Total((empty_histogram(options), empty_histogram(options)))
    shown = args.progress or sys.stderr.isatty()
    results, failures = run_jobs(partial(count_image, options), jobs, workers=args.workers), Failures(len(jobs))
    with closing(results), failures, progress_bar(shown=shown, total=len(jobs), unit=" images") as bar:
        for job, result in results:
            if isinstance(result, Failure):
                failures.add(job.prediction, result.reason)
            elif result.undecided:  # a score of the other images would not be that of the data set
                raise ValueError(f"{job.prediction}: {result.undecided}")
            else:
                failures.flush()
                for warning in result.warnings:
                    note(f"{job.prediction}: warning: {warning}")
                total.add(job, result)
            bar.update()
    total.failed = failures.count
    return total
