"""``closedform-wsss eval``: label maps or CAMs against ground truth."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

from closedform_wsss.cli._arguments import positive_int
from closedform_wsss.cli._cam_values import share
from closedform_wsss.cli._eval_counts import Counts, EvalJob, EvalOptions, count_image, empty_histogram
from closedform_wsss.cli._eval_report import report, table
from closedform_wsss.cli._folders import CAM_SUFFIXES, LABEL_SUFFIXES, files_by_stem
from closedform_wsss.cli._image_progress import ImageProgress
from closedform_wsss.cli._workers import Failure, run_jobs
from closedform_wsss.labels import VOC_CLASSES
from closedform_wsss.labels._save import atomic

_FAILED = 1
_STEPS = 100

_EPILOG = """\
The pixels of all images go into one confusion matrix; the mean IoU is over the classes that occur in it, background
included. Pixels with the ignore index in GT do not count.

CAMs are resized to GT bilinearly, and a pixel is background where none exceeds the threshold. Without --threshold all
of 0, 0.01, ..., 1 are tried and the best is reported. It was chosen on the images that it is measured on; for a
figure without that advantage, it is also chosen on either half of the images and measured on the other.

exit status: 0 done; 1 some images failed (each has a line on stderr) and are left out; 2 a mistake in the arguments.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("predictions", metavar="PRED", type=Path, help="folder of label maps (PNG) or of CAMs (.npy, .npz)")
    add("truths", metavar="GT", type=Path, help="folder of label maps (PNG) with the same names")
    add("--list", metavar="FILE", type=Path, help="measure only the images named in FILE, one a line")
    add("--threshold", metavar="T", type=share, help="of CAMs, in place of the best one")
    add("--normalize", action="store_true", help="divide each CAM by its maximum first")
    add("--num-classes", metavar="N", type=positive_int, help="background included (default: highest label + 1)")
    add("--names", metavar="FILE", help="class names, one a line, background first; or voc")
    add("--ignore-index", metavar="I", type=int, default=255, help="label in GT that does not count (%(default)s)")
    add("--unlabelled", choices=("wrong", "skip"), help="what 255 in a predicted label map is; default: an error")
    add("--allow-missing", action="store_true", help="leave out images of GT without a prediction")
    add("--json", metavar="FILE", type=Path, help="write the results there, too")
    add("--workers", metavar="N", type=positive_int, default=1, help="processes (%(default)s)")
    add("--progress", action="store_true", help="show progress even if stderr is no terminal")


def run(args: argparse.Namespace) -> int:
    """Counts, prints, and returns the exit status."""
    truths = files_by_stem("GT", args.truths, LABEL_SUFFIXES)
    predictions, are_cams = _predictions(args.predictions)
    names = _names(args.names, args.num_classes)
    if args.threshold is not None and not are_cams:
        raise ValueError(f"--threshold is for CAMs, got label maps in {args.predictions}")
    stems = _listed(args.list, truths)
    missing = [stem for stem in stems if stem not in predictions]
    if len(missing) == len(stems) or (missing and not args.allow_missing):
        raise ValueError(
            f"PRED must hold a file for every image, got none for {len(missing)} of {len(stems)}, such as "
            f"{missing[0]}; --list names the images to measure, --allow-missing leaves these out"
        )
    stems = [stem for stem in stems if stem in predictions]
    thresholds = (args.threshold,) if args.threshold is not None else tuple(n / _STEPS for n in range(_STEPS + 1))
    options = EvalOptions(
        thresholds if are_cams else None,
        args.num_classes if names is None else len(names),
        args.ignore_index,
        args.unlabelled,
        args.normalize,
    )
    jobs = [EvalJob(predictions[stem], truths[stem], n % 2) for n, stem in enumerate(stems)]
    histograms, failed = _count(options, jobs, args)
    if failed == len(jobs):
        return _FAILED
    counted = {"images": len(jobs) - failed, "missing": len(missing), "failed": failed}
    result = {**counted, **report(options, histograms, names)}
    print(table(result))
    if args.json is not None:
        with atomic(args.json) as file:
            file.write((json.dumps(result, indent=2) + "\n").encode())
    return _FAILED if failed else 0


def _predictions(folder: Path) -> tuple[dict[str, Path], bool]:
    """The files, and whether they are CAMs."""
    found = files_by_stem("PRED", folder, (*LABEL_SUFFIXES, *CAM_SUFFIXES))
    kinds = {path.suffix.lower() in CAM_SUFFIXES for path in found.values()}
    if len(kinds) > 1:
        raise ValueError(f"PRED must hold label maps or CAMs, got both in {folder}")
    return found, kinds.pop()


def _names(source: str | None, num_classes: int | None) -> list[str] | None:
    if source is None:
        return None
    names = list(VOC_CLASSES) if source == "voc" else _text("--names", Path(source)).split("\n")
    names = [name.strip() for name in names if name.strip()]
    if num_classes is not None and num_classes != len(names):
        raise ValueError(f"--names must name --num-classes {num_classes} classes, got {len(names)} in {source}")
    return names


def _text(option: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{option} must be a text file in UTF-8, got {path} ({error})") from error


def _listed(path: Path | None, truths: dict[str, Path]) -> list[str]:
    if path is None:
        return list(truths)
    # Lists often hold a path, with a suffix, or labels after the name.
    words = [Path(line.split()[0]).name for line in _text("--list", path).splitlines() if line.strip()]
    stems = [word if word in truths else Path(word).stem for word in words]
    unknown = [stem for stem in stems if stem not in truths]
    if unknown or not stems:
        raise ValueError(f"--list must name images in GT, got {unknown[0] if unknown else 'no name'} in {path}")
    return sorted(set(stems))


def _count(options: EvalOptions, jobs: list[EvalJob], args: argparse.Namespace) -> tuple[list[Counts], int]:
    """The histograms of both halves, and how many images failed."""
    histograms = [empty_histogram(options), empty_histogram(options)]
    failed = 0
    shown = args.progress or sys.stderr.isatty()
    results = run_jobs(partial(count_image, options), jobs, workers=args.workers)
    with closing(results), ImageProgress(len(jobs), shown=shown) as progress:
        for job, result in results:
            if isinstance(result, Failure):
                failed += 1
                progress.note(f"{job.prediction}: {result.reason}")
            else:
                cells, counts = result
                histograms[job.half].reshape(-1)[cells] += counts
            progress.advance()
    return histograms, failed
