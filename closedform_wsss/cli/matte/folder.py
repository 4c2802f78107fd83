"""``matte`` over folders: a folder of results for each image, complete or not there."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from closedform_wsss.cli.common.caught_warnings import caught_warnings
from closedform_wsss.cli.common.data_set import Skipped, run_data_set
from closedform_wsss.cli.common.folders import IMAGE_SUFFIXES, check_apart
from closedform_wsss.cli.common.pairs import Inputs
from closedform_wsss.cli.matte.image import (
    MatteOptions,
    NothingMarkedError,
    not_converged,
    read_problem,
    solve,
    write,
)
from closedform_wsss.io._files.save import name_of_temporary

_KIND = "mattes"


@dataclass(frozen=True)
class _MatteJob:
    image: Path
    marks: Path
    output: Path

    @property
    def inputs(self) -> tuple[Path, ...]:
        return self.image, self.marks

    @property
    def outputs(self) -> tuple[Path, ...]:
        return (self.output,)


def run_folder(args: argparse.Namespace, options: MatteOptions) -> int:
    """Solves what is not done yet, prints a report, and returns the exit status."""
    check_apart([args.output / _KIND], {"IMAGE": args.image, "MARKS": args.marks})
    return run_data_set(
        partial(_matte, options, args.skip_unmarked),
        lambda stem, image, marks: _MatteJob(image, marks, args.output / _KIND / stem),
        (
            Inputs("IMAGE", args.image, IMAGE_SUFFIXES, "images"),
            Inputs("MARKS", args.marks, (*IMAGE_SUFFIXES, ".xml"), "marks"),
        ),
        args,
        record="matte.json",
        # As they are in a JSON file, to compare with one.
        options={_KIND: json.loads(json.dumps(asdict(options)))},
        done="solved",
    )


def _matte(options: MatteOptions, skip_unmarked: bool, job: _MatteJob) -> list[str]:
    try:
        with caught_warnings() as warned:
            problem = read_problem(job.image, job.marks, options)
    except NothingMarkedError as error:
        if skip_unmarked:
            return [Skipped(error)]
        raise
    if options.colors is None and problem.about.startswith("scribbles"):
        raise ValueError(
            "--colors must be given for a folder of scribbles, since a class that is missing in one image would "
            "change the number of others"
        )
    solution = solve(problem, options)
    # A folder under another name until all is in it, so that nobody sees only some of the files.
    own = name_of_temporary(job.output.name)
    with tempfile.TemporaryDirectory(
        prefix=f".{own}.", suffix=".tmp", dir=job.output.parent, ignore_cleanup_errors=True
    ) as hidden:
        whole = Path(hidden, job.output.name)
        whole.mkdir()
        write(whole, problem, solution, options)
        os.replace(whole, job.output)
    return warned if solution.converged else [*warned, not_converged(solution, options)]
