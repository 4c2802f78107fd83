"""``matte`` over folders: a folder of results for each image, whole or not there."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import closedform_wsss
from closedform_wsss.cli.common.caught_warnings import caught_warnings
from closedform_wsss.cli.common.data_set import rank_and_world, report, work
from closedform_wsss.cli.common.folders import IMAGE_SUFFIXES, files_by_stem
from closedform_wsss.cli.common.record import claim, remove_leftovers
from closedform_wsss.cli.matte.image import (
    MatteOptions,
    NotConverged,
    not_converged,
    read_problem,
    solve,
    write,
)

_RECORD = "matte.json"
_KIND = "mattes"
_MARK_SUFFIXES = (*IMAGE_SUFFIXES, ".xml")
_FAILED, _NOT_CONVERGED = 1, 3


@dataclass(frozen=True)
class _MatteJob:
    image: Path
    marks: Path
    output: Path


def run_folder(args: argparse.Namespace, options: MatteOptions) -> int:
    """Solves what is not done yet, reports, and returns the exit status."""
    rank, world = rank_and_world(args)
    images = files_by_stem("IMAGE", args.image, IMAGE_SUFFIXES)
    marks = files_by_stem("MARKS", args.marks, _MARK_SUFFIXES)
    stems = sorted(images.keys() & marks.keys())
    if not stems:
        raise ValueError(
            "IMAGE and MARKS must be folders of files of the same names, apart from the suffix, "
            f"got {next(iter(images.values())).name} and {next(iter(marks.values())).name}"
        )
    folder = args.output / _KIND
    record = {
        "closedform_wsss": closedform_wsss.__version__,
        "images": str(args.image.resolve()),
        "marks": str(args.marks.resolve()),
        # As they are in a JSON file, to compare with one.
        **json.loads(json.dumps(asdict(options))),
    }
    claim(args.output / _RECORD, {_KIND: record}, overwrite=args.overwrite)
    mine = stems[rank::world]
    remove_leftovers(folder, mine)
    present = {path.name for path in folder.iterdir()}
    jobs = [_MatteJob(images[stem], marks[stem], folder / stem) for stem in mine if stem not in present]
    outcome = work(partial(_matte, options), jobs, args, rank=rank, done="solved", counted=NotConverged)
    if not args.quiet:
        line = report(outcome, rank, world, done="solved", before=len(mine) - len(jobs))
        print(f"{line}, {outcome.warned} not converged")
        if rank == 0:
            print(f"{len(images) - len(stems)} images without marks, {len(marks) - len(stems)} marks without image")
            print(f"results in {folder}")
    if world > 1:  # torchrun would stop the other processes
        return 0
    return _FAILED if outcome.failed else _NOT_CONVERGED if outcome.warned else 0


def _matte(options: MatteOptions, job: _MatteJob) -> list[str]:
    with caught_warnings() as warned:
        problem = read_problem(job.image, job.marks, options)
    if options.colors is None and problem.about.startswith("scribbles"):
        raise ValueError(
            "--colors must be given for a folder of scribbles, since a class that is missing in one image would "
            "change the number of others"
        )
    solution = solve(problem, options)
    # A folder under another name until all is in it: nobody sees half of the files.
    with tempfile.TemporaryDirectory(
        prefix=f".{job.output.name}.", suffix=".tmp", dir=job.output.parent, ignore_cleanup_errors=True
    ) as hidden:
        whole = Path(hidden, job.output.name)
        whole.mkdir()
        write(whole, problem, solution.alpha[0].numpy(), options)
        os.replace(whole, job.output)
    return warned if solution.converged else [*warned, not_converged(solution, options)]
