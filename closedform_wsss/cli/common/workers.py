"""Jobs shared out to processes, of which any may die without taking the others along."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")

_MAX_BY_DEFAULT = 8  # each holds torch in memory


@dataclass(frozen=True)
class Failure:
    """What a job gives if it fails."""

    reason: str


def default_workers() -> int:
    """As many as there are cores to this process, up to 8."""
    return min(_cores(), _MAX_BY_DEFAULT)


def run_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], *, workers: int
) -> Generator[tuple[Job, Result | Failure], None, None]:
    """Yields every job with its result, in the order in which they end.

    An exception fails its job alone, and so does the death of a worker, in whose place another starts. When the
    iterator is closed, or ends by an interruption, the workers are gone.

    Args:
        function: Importable by name, or a partial of such: workers are started afresh, since a fork would inherit
            locks of threads that it does not have.
        jobs: To pickle, as is the result.
        workers: Processes, each with one thread: sums of several threads are rounded otherwise, and results must not
            depend on the number of workers. One: in this process.

    Raises:
        RuntimeError: Workers cannot start.
    """
    workers = min(workers, len(jobs))
    if workers <= 1:
        with _one_thread():
            for job in jobs:
                yield job, _attempt(function, job)
        return
    waiting = deque(jobs)
    crew: list[_Worker] = []
    idle: list[_Worker] = []
    busy: dict[object, tuple[_Worker, Job]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                if not idle:
                    crew.append(_start(function))
                    idle.append(crew[-1])
                worker = idle.pop()
                job = waiting.popleft()
                busy[worker.pipe] = worker, job
                with contextlib.suppress(OSError):  # a dead worker: its pipe says so below
                    worker.pipe.send(job)
            for pipe in connection.wait([worker.pipe for worker, _ in busy.values()]):
                worker, job = busy.pop(pipe)
                try:
                    result: Result | Failure = worker.pipe.recv()
                    idle.append(worker)
                except (EOFError, OSError):
                    result = _death(worker)
                yield job, result
    finally:
        for worker in crew:
            worker.process.terminate()
            worker.process.join()
            worker.pipe.close()


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: connection.Connection


def _start(function: Callable[[Job], object]) -> _Worker:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, function), daemon=True)
    # Inherited by the worker: Ctrl-C reaches every process of a terminal, but is for the parent to handle.
    with _interruption_ignored():
        process.start()
    theirs.close()  # so that the pipe ends when the worker does
    return _Worker(process, ours)


def _serve(pipe: connection.Connection, function: Callable[[Any], object]) -> None:
    with _one_thread(), contextlib.suppress(EOFError, OSError):  # the parent is gone
        while True:
            pipe.send(_attempt(function, pipe.recv()))


def _attempt(function: Callable[[Job], Result], job: Job) -> Result | Failure:
    try:
        return function(job)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return Failure(f"{where}{error.strerror or error}")
    except ValueError as error:
        return Failure(" ".join(str(error).split()))
    except Exception as error:  # one image must not end a run over ten thousand
        return Failure(" ".join(f"{type(error).__name__}: {error}".split()))


def _death(worker: _Worker) -> Failure:
    worker.process.join()
    code = worker.process.exitcode or 0
    if code >= 0:  # it ended by itself, outside of any job, and others would as well
        raise RuntimeError(f"a worker process could not start (status {code}); its own message is above")
    return Failure(f"its worker process was killed by signal {-code}; if memory ran out, take fewer --workers")


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _interruption_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # elsewhere Python has no say in signals
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _cores() -> int:
    """Cores that this process may use; the ranks that torchrun starts on one machine share them."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(available // int(os.environ.get("LOCAL_WORLD_SIZE", 1)), 1)
