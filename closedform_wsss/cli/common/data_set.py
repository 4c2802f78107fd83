"""What the commands over a data set share: the images of each process, progress, failures."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from closedform_wsss.cli.common.arguments import positive_int
from closedform_wsss.cli.common.image_progress import ImageProgress
from closedform_wsss.cli.common.workers import Failure, default_workers, run_jobs


class ImageJob(Protocol):
    """Something to do for one image."""

    @property
    def image(self) -> Path:
        """The image's file."""


Job = TypeVar("Job", bound=ImageJob)


def add_data_set_arguments(parser: argparse.ArgumentParser) -> None:
    """``--workers``, ``--overwrite``, ``--progress`` and ``--quiet``."""
    add = parser.add_argument
    add("--workers", metavar="N", type=positive_int, help="processes (default: the number of cores, at most 8)")
    add("--overwrite", action="store_true", help="delete earlier results in DIR first")
    add("--progress", action="store_true", help="show progress even if stderr is no terminal")
    add("--quiet", action="store_true", help="print nothing but errors and warnings")


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


@dataclass(frozen=True)
class Outcome:
    """What became of the jobs of this process."""

    done: int
    failed: int
    warned: int
    seconds: float


def work(
    function: Callable[[Job], Sequence[str]],
    jobs: Sequence[Job],
    args: argparse.Namespace,
    *,
    rank: int,
    done: str,
    counted: type[str] = str,
) -> Outcome:
    """Does the jobs in ``args.workers`` processes.

    Args:
        function: Does one job and returns warnings; see ``run_jobs``.
        jobs: What is left of this process's share.
        args: With the arguments of ``add_data_set_arguments``.
        rank: Rank 0 shows progress.
        done: What the images then are, such as "refined", for messages.
        counted: Which of the warnings are counted.

    Returns:
        How many were done, failed, or were done with warnings of that type, and the time.
    """
    started = time.perf_counter()
    shown = rank == 0 and not args.quiet and (args.progress or sys.stderr.isatty())
    finished = failed = warned = 0
    results = run_jobs(function, jobs, workers=args.workers or default_workers())
    try:
        with closing(results), ImageProgress(len(jobs), shown=shown) as progress:
            for job, result in results:
                if isinstance(result, Failure):
                    failed += 1
                    progress.note(f"{job.image}: {result.reason}")
                else:
                    finished += 1
                    warned += any(isinstance(warning, counted) for warning in result)
                    for warning in result:
                        progress.note(f"{job.image}: warning: {warning}")
                progress.advance()
    except KeyboardInterrupt:
        print(
            f"stopped with {finished} of {len(jobs)} images {done}; the same command goes on from here",
            file=sys.stderr,
        )
        raise
    return Outcome(finished, failed, warned, time.perf_counter() - started)


def report(outcome: Outcome, rank: int, world: int, *, done: str, before: int) -> str:
    """One line on the jobs of this process, ``before`` of which an earlier run had done."""
    share_of = f"rank {rank} of {world}: " if world > 1 else ""
    return (
        f"{share_of}{outcome.done} images {done} in {outcome.seconds:.1f} seconds, "
        f"{before} done before, {outcome.failed} failed"
    )
