"""Every method in a process of its own, which makes its inputs, waits to be told to run, and can be killed."""

from __future__ import annotations

import contextlib
import functools
import io
import multiprocessing
import multiprocessing.forkserver
import os
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common.memory import measure
from common.paths import BENCHMARKS

from closedform_wsss.io import IGNORE_INDEX
from solver.inputs import Problem
from solver.methods import REFERENCES, SOLVERS, Solution

START = 600.0  # seconds to make inputs in
SIDE = 16  # of the tiny problem that is solved first: threads started, code loaded
ICHOL_FAILED = "Thresholded incomplete Cholesky decomposition failed"


@functools.cache
def _context(quick: bool) -> multiprocessing.context.SpawnContext | multiprocessing.context.ForkServerContext:
    """How children are started. Quick: forked from a process that has imported everything, at once.

    That costs the forked a quarter of their speed with two threads, for a reason unknown; fresh interpreters are as
    fast as any, and take seconds to import what they need.
    """
    if not quick:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["solver.solver"])
    before = Path.cwd()
    os.chdir(BENCHMARKS)  # where the process finds what to import
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        os.chdir(before)
    return context


class LimitReached(Exception):
    """The job ran into its limit and was killed."""


class JobFailed(Exception):
    """The job ended with an error, or its process died."""


class Child:
    """A method or a reference with its inputs made, waiting."""

    def __init__(self, name: str, problem: Problem, threads: int, quick: bool = False) -> None:
        context = _context(quick)
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, problem, threads), daemon=True)
        self._process.start()
        theirs.close()
        self._receive(START)

    def run(self, limit: float, path: Path | None = None) -> dict[str, Any]:
        """One run: seconds, peak bytes, iterations, ...; the mattes to ``path``.

        Raises:
            LimitReached: After ``limit`` seconds; the child is gone.
            JobFailed: With the reason; the child is gone.
        """
        with contextlib.suppress(ConnectionError):  # of a child that died: told from the other side below
            self._connection.send(path)
        return self._receive(limit)

    def _receive(self, limit: float) -> dict[str, Any]:
        message: dict[str, Any] | None
        try:
            message = self._connection.recv() if self._connection.poll(limit) else None
        except (EOFError, ConnectionError):
            self._process.join()
            message = {"error": f"its process died with status {self._process.exitcode}"}
        if message is None:
            self.close()
            raise LimitReached
        if "error" in message:
            self.close()
            raise JobFailed(message["error"])
        return message

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._connection.close()


def _serve(connection: Connection, name: str, problem: Problem, threads: int) -> None:
    """The child: run whenever a message comes."""
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")  # whether a solver converged is in the report
    make = (SOLVERS | REFERENCES)[name].make

    def timed() -> tuple[Solution, float]:
        started = time.perf_counter()
        solution = run()
        return solution, time.perf_counter() - started

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            make(_tiny(problem))()
            run = make(problem)
        connection.send({})
        while True:
            path = connection.recv()
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                (solution, seconds), used, exact = measure(timed)
            if path is not None:
                np.save(path, solution.mattes)
            connection.send(
                {
                    "seconds": seconds,
                    "peak_bytes": used,
                    "peak_exact": exact,
                    "iterations": solution.iterations,
                    "converged": solution.converged,
                    "ichol_shifts": printed.getvalue().count(ICHOL_FAILED),
                }
            )
            del solution
    except EOFError:
        pass
    except Exception as error:
        connection.send({"error": f"{type(error).__name__}: {error}"})


def _tiny(problem: Problem) -> Problem:
    """The same classes in few pixels, with enough marks for every solver to be done at once."""
    marks = np.full((SIDE, SIDE), IGNORE_INDEX, dtype=np.int64)
    marks.flat[::8] = np.arange(SIDE * SIDE // 8) % problem.classes
    image = np.ascontiguousarray(problem.image[:SIDE, :SIDE])
    return Problem("tiny", image, marks, problem.classes, problem.trimap)
