"""Commands on two folders of files that belong together: results for each pair of files."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol, TypeVar

import closedform_wsss
from closedform_wsss.cli.common.arguments import positive_int
from closedform_wsss.cli.common.failures import Failures
from closedform_wsss.cli.common.pairs import Inputs, pairs_of
from closedform_wsss.cli.common.progress import note, progress_bar
from closedform_wsss.cli.common.sheet import SHEET, check_no_other_sheet, write_label_sheet
from closedform_wsss.cli.common.workers import Failure, default_workers, run_jobs
from closedform_wsss.io._files.record import claim, release, remove_leftovers

FAILED, NOT_CONVERGED = 1, 3

EPILOG = """\
A run that was stopped continues where it ended when the same command is given again. Under torchrun every process
works on its part of the images. The exit status is then 0 in place of 1 and 3, because torchrun would stop the
other processes.
"""


class NotConverged(str):
    """A warning that a solve stopped early."""


class Skipped(str):
    """In place of warnings: the image was left out, as the user asked."""


class ImageJob(Protocol):
    """One image, the files that its results depend on, and the files or folders that these will be."""

    @property
    def image(self) -> Path: ...
    @property
    def inputs(self) -> tuple[Path, ...]: ...
    @property
    def outputs(self) -> tuple[Path, ...]: ...


Job = TypeVar("Job", bound=ImageJob)


def add_data_set_arguments(parser: argparse.ArgumentParser, *, more: str = "") -> None:
    """``-o``, whose help ends with ``more``, ``--workers``, ``--overwrite``, ``--progress`` and ``--quiet``."""
    add = parser.add_argument
    text = f"folder for the results, made if missing{more}"
    add("-o", "--output", metavar="DIR", type=Path, required=True, help=text)
    add("--workers", metavar="N", type=positive_int, help="processes (default: the number of cores, at most 8)")
    add("--overwrite", action="store_true", help="delete earlier results in DIR first")
    add("--progress", action="store_true", help="show progress even if stderr is not a terminal")
    add("--quiet", action="store_true", help="print only errors and warnings")


def run_data_set(
    function: Callable[[Job], Sequence[str]],
    plan: Callable[[str, Path, Path], Job],
    inputs: tuple[Inputs, Inputs],
    args: argparse.Namespace,
    *,
    record: str,
    options: Mapping[str, Mapping[str, Any]],
    done: str,
    sources: Sequence[Path | None] = (),
    chosen: Path | None = None,
    names: Sequence[str] = (),
) -> int:
    """Does what an earlier run has not done yet, prints a report, and returns the exit status.

    Args:
        function: Does one job and returns warnings, or a :class:`Skipped`; see ``run_jobs``.
        plan: The job of a name, an image and the other file.
        inputs: The images, and the files with the same names.
        args: With the arguments of ``add_data_set_arguments`` and ``add_picture_arguments``.
        record: The name of the file that says how the results were made.
        options: For each kind of result, whose folder has its name, all options that it depends on.
        done: What the images then are, such as "refined", for messages.
        sources: Files that the results of all images depend on; None counts for nothing.
        chosen: A list of images; the others are left out.
        names: The names of the classes, for a sheet of some images under their labels.

    Raises:
        OSError: A folder cannot be read or made.
        ValueError: The folders have no names in common, the sheet would be among the images, or see
            ``files_by_stem``, ``rank_and_world``, ``claim`` and ``Failures``.
    """
    rank, world = rank_and_world(args)
    if "labels" in options:
        check_sheet(args.output, inputs[0])
    folders = [args.output / kind for kind in options]
    pairs = pairs_of(inputs, chosen, (args.output, *folders))
    origin = {source.content.lower(): str(source.folder.resolve()) for source in inputs}
    made = {"closedform_wsss": closedform_wsss.__version__, **origin}
    planned = [plan(stem, *both) for stem, both in list(pairs.both.items())[rank::world]]
    claim(args.output / record, {kind: {**made, **how} for kind, how in options.items()}, overwrite=args.overwrite)
    jobs = _undone(planned, folders)
    undone = set(map(id, jobs))
    _warn_of_older_results([job for job in planned if id(job) not in undone], sources)
    started = time.perf_counter()
    failures = Failures(len(jobs), stops=world == 1 and len(jobs) == len(planned))
    try:
        finished, not_converged, skipped = _work(function, jobs, failures, args, shown=rank == 0, done=done)
    finally:
        if world == 1:  # other processes may write
            release(args.output / record, options)  # if nothing was written
    failed = failures.count
    labels = [(job.image, path) for job in planned for path in job.outputs if path.parent.name == "labels"]
    sheet = write_label_sheet(args.output, labels, names, args.orientation, args.window) if rank == 0 else []
    if not args.quiet:
        print(
            f"{f'rank {rank} of {world}: ' if world > 1 else ''}{finished} images {done} in "
            f"{time.perf_counter() - started:.1f} seconds, {len(planned) - len(jobs)} done before, {failed} failed"
            f"{f', {not_converged} not converged' if not_converged else ''}"
            f"{f', {skipped} skipped' if skipped else ''}"
        )
        if rank == 0:
            content = inputs[1].content
            print(f"{pairs.images_alone} images without {content}, {pairs.others_alone} {content} without image")
            if finished or len(jobs) < len(planned) or world > 1:
                print("\n".join([f"results in {', '.join(map(str, folders))}", *sheet]))
    if world > 1:  # torchrun would stop the other processes
        return 0
    return FAILED if failed else NOT_CONVERGED if not_converged else 0


def check_sheet(output: Path, images: Inputs) -> None:
    """Refuses the folder of the images for the results: the next run would take ``sheet.png`` for an image.

    Raises:
        ValueError: It is this folder, or holds a ``sheet.png`` that is no sheet.
    """
    if output.resolve() == images.folder.resolve():
        raise ValueError(f"-o must not be {images.argument}, where {SHEET} would be one of the images, got {output}")
    check_no_other_sheet(output)


def rank_and_world(args: argparse.Namespace) -> tuple[int, int]:
    """This process among those that torchrun started.

    Raises:
        ValueError: The environment is not as torchrun sets it, or several processes would overwrite.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return 0, 1
    try:
        rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except ValueError:
        rank, world = 0, 0
    if not 0 <= rank < world:
        raise ValueError(
            "the environment must hold a RANK from 0 to WORLD_SIZE - 1, as torchrun sets it, "
            f"got RANK {os.environ['RANK']!r} and WORLD_SIZE {os.environ['WORLD_SIZE']!r}"
        )
    if args.overwrite and world > 1:
        raise ValueError(f"--overwrite must not be given to several processes at once: delete {args.output} before")
    return rank, world


def _undone(jobs: list[Job], folders: list[Path]) -> list[Job]:
    """The jobs of which a result is missing."""
    names = {path.name for job in jobs for path in job.outputs}
    for folder in folders:
        remove_leftovers(folder, names)
    present = {path for folder in folders for path in folder.iterdir()}
    return [job for job in jobs if not present.issuperset(job.outputs)]


def _warn_of_older_results(done: Sequence[ImageJob], sources: Sequence[Path | None]) -> None:
    """A note on results that were made before one of their files was changed: they are not made anew."""
    common = max((_changed(path) for path in sources if path is not None), default=0.0)
    older = [
        job
        for job in done
        if max(common, *map(_changed, job.inputs)) > min(map(_changed, job.outputs), default=float("inf"))
    ]
    if older:
        note(
            f"warning: {len(older)} results are older than the files that they were made from, such as "
            f"{older[0].outputs[0]}: --overwrite makes all results anew"
        )


def _changed(path: Path) -> float:
    """When a file was changed; 0 if it is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _work(
    function: Callable[[Job], Sequence[str]],
    jobs: Sequence[Job],
    failures: Failures,
    args: argparse.Namespace,
    *,
    shown: bool,
    done: str,
) -> tuple[int, int, int]:
    """How many jobs were done, were done without convergence, and were skipped."""
    finished = not_converged = skipped = 0
    shown = shown and not args.quiet and (args.progress or sys.stderr.isatty())
    results = run_jobs(function, jobs, workers=args.workers or default_workers())
    try:
        with closing(results), failures, progress_bar(shown=shown, total=len(jobs), unit=" images") as bar:
            for job, result in results:
                if isinstance(result, Failure):
                    failures.add(job.image, result.reason)
                elif any(isinstance(warning, Skipped) for warning in result):
                    failures.flush()
                    skipped += 1
                else:
                    failures.flush()
                    finished += 1
                    not_converged += any(isinstance(warning, NotConverged) for warning in result)
                    for warning in result:
                        note(f"{job.image}: warning: {warning}")
                bar.update()
    except KeyboardInterrupt:
        note(f"stopped with {finished} of {len(jobs)} images {done}; the same command continues from here")
        raise
    return finished, not_converged, skipped
