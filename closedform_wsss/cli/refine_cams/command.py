"""``closedform-wsss refine-cams``: from a folder of CAMs to refined CAMs and pseudo-labels."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import closedform_wsss
from closedform_wsss import io
from closedform_wsss.cli.common.arguments import add_picture_arguments, positive_float, unit_interval
from closedform_wsss.cli.common.data_set import add_data_set_arguments, rank_and_world, report, work
from closedform_wsss.cli.common.folders import CAM_SUFFIXES, IMAGE_SUFFIXES, files_by_stem
from closedform_wsss.cli.common.record import claim, remove_leftovers
from closedform_wsss.cli.refine_cams.image import RefineJob, RefineOptions, plan_job, refine_image
from closedform_wsss.cli.refine_cams.methods import DEFAULT, REFINERS

RECORD = "refine-cams.json"
_FAILED = 1
_DEFAULT_THRESHOLD = 0.4
_KINDS = {"cams": ("cams",), "labels": ("labels",), "both": ("cams", "labels")}

_EPILOG = """\
DIR gets cams/ with the CAMs at the images' size, values in 0..1, in the format of the input, labels/ with
pseudo-labels as PNG files (VOC palette, 0 background, 255 doubtful), and refine-cams.json, which records how they
were made. A run that was stopped goes on where it ended when the same command is given again.

CAM files are the .npy dictionaries that IRN, ReCAM, EPS, L2G, CLIP-ES, Puzzle-CAM and others write, or .npz files with
cams and classes; see closedform_wsss.io.read_cam. Images and CAMs belong together by name: a.jpg and a.npy.

Under torchrun every process does its share of the images.

exit status: 0 done; 1 some images failed (each has a line on stderr; not under torchrun, which would then stop the
other processes); 2 a mistake in the arguments.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("images", metavar="IMAGES", type=Path, help="folder of images")
    add("cams", metavar="CAMS", type=Path, help="folder of CAM files with the images' names")
    add("-o", "--output", metavar="DIR", type=Path, required=True, help="folder for the results, made if missing")
    add("--method", choices=tuple(REFINERS), default=DEFAULT, help="how CAMs are refined (%(default)s)")
    add("--normalize", action="store_true", help="divide each CAM by its maximum first")
    add("--write", choices=tuple(_KINDS), default="both", help="what to write (%(default)s)")
    add("--format", choices=io.CAM_FORMATS, help="of the CAMs written (default: that of the input)")
    background = parser.add_mutually_exclusive_group()
    background.add_argument(
        "--threshold",
        metavar="T",
        type=unit_interval,
        help=f"pixels whose CAMs are all up to T are background ({_DEFAULT_THRESHOLD})",
    )
    background.add_argument(
        "--power", metavar="A", type=positive_float, help="the background's score is (1 - largest CAM)^A instead"
    )
    add(
        "--margin",
        metavar="M",
        type=unit_interval,
        default=0.0,
        help="label pixels 255 whose best score leads the second best by less than M (%(default)s)",
    )
    add_picture_arguments(parser, of="images")
    add_data_set_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Refines what is not done yet, reports, and returns the exit status."""
    rank, world = rank_and_world(args)
    images = files_by_stem("IMAGES", args.images, IMAGE_SUFFIXES)
    cams = files_by_stem("CAMS", args.cams, CAM_SUFFIXES)
    stems = sorted(images.keys() & cams.keys())
    if not stems:
        raise ValueError(
            "IMAGES and CAMS must hold files of the same names, apart from the suffix, "
            f"got {next(iter(images.values())).name} and {next(iter(cams.values())).name}"
        )
    kinds = _KINDS[args.write]
    for kind in kinds:
        if (args.output / kind).resolve() in (args.images.resolve(), args.cams.resolve()):
            raise ValueError(f"-o must not make IMAGES or CAMS the folder for results, got {args.output / kind}")
    options = _options(args)
    record = {kind: _record(kind, options, args) for kind in kinds}
    claim(args.output / RECORD, record, overwrite=args.overwrite)

    planned = [plan_job(images[stem], cams[stem], args.output, kinds, options.format) for stem in stems[rank::world]]
    jobs = _undone(planned, args.output, kinds)
    outcome = work(partial(refine_image, options), jobs, args, rank=rank, done="refined")
    if not args.quiet:
        print(report(outcome, rank, world, done="refined", before=len(planned) - len(jobs)))
        if rank == 0:
            print(f"{len(images) - len(stems)} images without CAM, {len(cams) - len(stems)} CAMs without image")
            print(f"results in {', '.join(str(args.output / kind) for kind in kinds)}")
    return _FAILED if outcome.failed and world == 1 else 0


def _options(args: argparse.Namespace) -> RefineOptions:
    threshold = _DEFAULT_THRESHOLD if args.threshold is None and args.power is None else args.threshold
    return RefineOptions(
        args.method, args.normalize, args.format, threshold, args.power, args.margin, args.orientation, args.window
    )


def _record(kind: str, options: RefineOptions, args: argparse.Namespace) -> dict[str, object]:
    """All that the bytes of the results depend on."""
    record = {
        "closedform_wsss": closedform_wsss.__version__,
        "images": str(args.images.resolve()),
        "cams": str(args.cams.resolve()),
        "method": options.method,
        "normalize": options.normalize,
        "orientation": options.orientation,
        "window": None if options.window is None else list(options.window),
    }
    if kind == "cams":
        return {**record, "format": options.format}
    return {**record, "threshold": options.threshold, "power": options.power, "margin": options.margin}


def _undone(jobs: list[RefineJob], output: Path, kinds: tuple[str, ...]) -> list[RefineJob]:
    """The jobs of which a result is missing."""
    outputs = {job: [path for path in (job.cam_output, job.label_output) if path is not None] for job in jobs}
    names = {path.name for paths in outputs.values() for path in paths}
    for kind in kinds:
        remove_leftovers(output / kind, names)
    present = {path for kind in kinds for path in (output / kind).iterdir()}
    return [job for job, paths in outputs.items() if not present.issuperset(paths)]
