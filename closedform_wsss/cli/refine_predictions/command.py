"""``closedform-wsss refine-predictions``: a network's predictions, aligned with the images."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from closedform_wsss.cli.common import data_set
from closedform_wsss.cli.common.arguments import positive_float, unit_interval
from closedform_wsss.cli.common.data_set import add_data_set_arguments, run_data_set
from closedform_wsss.cli.common.folders import CAM_SUFFIXES, IMAGE_SUFFIXES, LABEL_SUFFIXES, check_apart, files_by_stem
from closedform_wsss.cli.common.pairs import Inputs
from closedform_wsss.cli.common.probability_files import add_probability_arguments, marks_of
from closedform_wsss.cli.refine_predictions.image import RefineJob, RefineOptions, refine_image
from closedform_wsss.cli.refine_predictions.methods import DEFAULT, FIDELITY, METHODS, SCALE

_KINDS = {"labels": ("labels",), "probabilities": ("probabilities",), "both": ("labels", "probabilities")}

EPILOG = f"""\
DIR gets labels/ with label maps (PNG, VOC palette) at the size of the images, probabilities/ if they are wanted (.npz,
float16), sheet.png with some images under their labels, and refine-predictions.json, which records how they were made.
closedform-wsss eval measures PROBABILITIES (with --probabilities) and DIR/labels: the difference is what was gained.

Files of probabilities are arrays (C, h, w) of any size, as nnU-Net, mmsegmentation, detectron2 or torch.save write
them; see closedform_wsss.io.read_probabilities.

{data_set.EPILOG}
exit status: 0 done; 1 some images failed (each has a line on stderr); 2 a mistake in the arguments.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    add = parser.add_argument
    add_probability_arguments(parser)
    add("--marks", metavar="MARKS", type=Path, help="folder of label maps (PNG, 255 unmarked): they are kept")
    add("--method", choices=tuple(METHODS), default=DEFAULT, help="how predictions are refined (%(default)s)")
    add(
        "--scale",
        metavar="S",
        type=unit_interval,
        default=SCALE,
        help="matting: filter at this fraction of the image's size (%(default)s)",
    )
    add(
        "--fidelity",
        metavar="F",
        type=positive_float,
        default=FIDELITY,
        help="matting: how strongly the result is held to the prediction (%(default)s)",
    )
    add("--write", choices=tuple(_KINDS), default="labels", help="what to write (%(default)s)")
    add(
        "--margin",
        metavar="M",
        type=unit_interval,
        default=0.0,
        help="label pixels 255 whose best probability leads the second best by less than M (%(default)s)",
    )
    add_data_set_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Refines what is not done yet, prints a report, and returns the exit status."""
    if args.scale == 0:
        raise ValueError("--scale must be above 0, got 0")
    if args.unmarked is not None and args.marks is None:
        raise ValueError(f"--unmarked goes with --marks, which is missing, got {args.unmarked}")
    kinds = _KINDS[args.write]
    given = {"IMAGES": args.images, "PROBABILITIES": args.probabilities, "--marks": args.marks}
    check_apart([args.output / kind for kind in kinds], given)
    options = RefineOptions(
        args.method, args.scale, args.fidelity, args.logits, args.margin, args.unmarked, args.orientation, args.window
    )
    marks = None if args.marks is None else files_by_stem("--marks", args.marks, LABEL_SUFFIXES)

    def plan(stem: str, image: Path, probabilities: Path) -> RefineJob:
        return RefineJob(
            image,
            probabilities,
            None if marks is None else marks_of(marks, stem),
            args.output / "labels" / f"{stem}.png" if "labels" in kinds else None,
            args.output / "probabilities" / f"{stem}.npz" if "probabilities" in kinds else None,
        )

    return run_data_set(
        partial(refine_image, options),
        plan,
        (
            Inputs("IMAGES", args.images, IMAGE_SUFFIXES, "images"),
            Inputs("PROBABILITIES", args.probabilities, CAM_SUFFIXES, "probabilities", args.pattern),
        ),
        args,
        record="refine-predictions.json",
        options={kind: _dependencies(kind, options, args.marks) for kind in kinds},
        done="refined",
        chosen=args.list,
    )


def _dependencies(kind: str, options: RefineOptions, marks: Path | None) -> dict[str, object]:
    """All options that the bytes of the results depend on."""
    found = {
        "method": options.method,
        "scale": options.scale,
        "fidelity": options.fidelity,
        "logits": options.logits,
        "marks": None if marks is None else str(marks.resolve()),
        "unmarked": options.unmarked,
        "orientation": options.orientation,
        "window": None if options.window is None else list(options.window),
    }
    return {**found, "margin": options.margin} if kind == "labels" else found
