"""``closedform-wsss refine-cams``: refined CAMs and pseudo-labels from a folder of CAMs."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from closedform_wsss import io
from closedform_wsss.cams.cues import CUES, check_method
from closedform_wsss.cams.methods import DEFAULT, REFINERS
from closedform_wsss.cams.refine_folder import KINDS
from closedform_wsss.cams.refined import DEFAULT_THRESHOLD, RefineOptions
from closedform_wsss.cli.common import data_set
from closedform_wsss.cli.common.arguments import (
    add_cam_file_arguments,
    add_list_argument,
    add_names_argument,
    add_picture_arguments,
    positive_float,
    unit_interval,
)
from closedform_wsss.cli.common.data_set import add_data_set_arguments, run_data_set
from closedform_wsss.cli.common.folders import CAM_SUFFIXES, IMAGE_SUFFIXES, check_apart, file_of, files_by_stem
from closedform_wsss.cli.common.names import class_names
from closedform_wsss.cli.common.pairs import Inputs
from closedform_wsss.cli.common.tags import Tags
from closedform_wsss.cli.refine_cams.image import ReadOptions, plan_job, refine_image

EPILOG = f"""\
DIR gets cams/ with the CAMs at the size of the images, values in 0..1, in the format of the input, labels/ with
pseudo-labels as PNG files (VOC palette, 0 background, 255 uncertain), sheet.png with some images under their labels,
and refine-cams.json, which records how they were made.

CAM files are the .npy dictionaries that IRN, ReCAM, EPS, L2G, CLIP-ES, Puzzle-CAM and others write, .npz files with
cams and classes, or files of maps alone (.npy, .pt) with --classes-of; see closedform_wsss.io.read_cam and read_tags.
An image and its CAM file have the same name, a.jpg and a.npy, or --pattern says how they differ.

{data_set.EPILOG}
exit status: 0 done; 1 some images failed (each has a line on stderr); 2 a mistake in the arguments.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    add = parser.add_argument
    add("images", metavar="IMAGES", type=Path, help="folder of images")
    add("cams", metavar="CAMS", type=Path, help="folder of CAM files with the images' names")
    add("--method", choices=tuple(REFINERS), default=DEFAULT, help="how CAMs are refined (%(default)s)")
    add("--normalize", action="store_true", help="divide each CAM by its maximum first")
    add("--write", choices=tuple(KINDS), default="both", help="what to write (%(default)s)")
    add(
        "--format",
        choices=io.CAM_FORMATS,
        help="format of the written CAMs (default: that of the input; npz with --classes-of or of .pt files)",
    )
    add(
        "--saliency",
        metavar="DIR",
        type=Path,
        help="folder of grey images with the images' names: white where an object of any class is, by another network",
    )
    add("--boundaries", metavar="DIR", type=Path, help="the same: white where objects end")
    background = parser.add_mutually_exclusive_group()
    background.add_argument(
        "--threshold",
        metavar="T",
        type=unit_interval,
        help=f"pixels where no CAM exceeds T are background ({DEFAULT_THRESHOLD})",
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
    add_list_argument(parser)
    add_cam_file_arguments(parser, of="CAMS")
    add_names_argument(parser)
    add_picture_arguments(parser, of="images")
    add_data_set_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Refines what is not done yet, prints a report, and returns the exit status."""
    kinds = KINDS[args.write]
    given = {"IMAGES": args.images, "CAMS": args.cams, **{f"--{cue}": getattr(args, cue) for cue in CUES}}
    check_apart([args.output / kind for kind in kinds], given)
    tags = Tags(args.classes_of, args.names)
    cams = Inputs("CAMS", args.cams, CAM_SUFFIXES, "CAMs", args.pattern)
    options = _options(args)
    folders = {cue: getattr(args, cue) for cue in CUES if getattr(args, cue) is not None}
    check_method(args.method, folders)
    cues = {cue: files_by_stem(f"--{cue}", folder, IMAGE_SUFFIXES) for cue, folder in folders.items()}
    return run_data_set(
        partial(refine_image, options, ReadOptions(args.orientation, args.window)),
        lambda stem, image, cam: plan_job(
            stem,
            image,
            cam,
            {cue: file_of(f"--{cue}", files, stem, "--list names the images to take") for cue, files in cues.items()},
            tags,
            args.output,
            kinds,
            options.format,
        ),
        (Inputs("IMAGES", args.images, IMAGE_SUFFIXES, "images"), cams),
        args,
        record="refine-cams.json",
        options={kind: {**options.recorded(kind), **_reading(args)} for kind in kinds},
        done="refined",
        sources=(args.classes_of,),
        chosen=args.list,
        names=() if args.names is None else class_names(args.names),
    )


def _options(args: argparse.Namespace) -> RefineOptions:
    threshold = DEFAULT_THRESHOLD if args.threshold is None and args.power is None else args.threshold
    format = args.format or ("npz" if args.classes_of is not None else None)  # it names the classes
    return RefineOptions(args.method, args.normalize, format, threshold, args.power, args.margin)


def _reading(args: argparse.Namespace) -> dict[str, object]:
    """How the files were read, as far as the bytes of the results depend on it."""
    tags = {"classes_of": str(args.classes_of.resolve()), "names": args.names} if args.classes_of is not None else {}
    return {
        **{cue: str(getattr(args, cue).resolve()) for cue in CUES if getattr(args, cue) is not None},
        "orientation": args.orientation,
        "window": None if args.window is None else list(args.window),
        **tags,
        **({"pattern": args.pattern} if args.pattern is not None else {}),
    }
