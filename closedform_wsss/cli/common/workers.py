"""Jobs in several processes. If one process dies, the others continue."""

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

from closedform_wsss.cli.common.failures import reason_of

Job = TypeVar("Job")
Result = TypeVar("Result")

_MAX_BY_DEFAULT = 8  # each holds torch in memory


@dataclass(frozen=True)
class Failure:
    """The result of a job that failed."""

    reason: str


def default_workers() -> int:
    """The number of cores of this process, at most 8."""
    return min(_cores(), _MAX_BY_DEFAULT)


def run_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], *, workers: int
) -> Generator[tuple[Job, Result | Failure], None, None]:
    """Yields every job with its result, in the order in which jobs end.

    An exception fails only its own job. If a worker dies, its job fails and another worker starts. When the iterator is
    closed, or an interruption ends it, all workers have ended.

    Args:
        function: Importable by name, or a partial of such a function. Workers are spawned, because a fork would inherit
            locks of threads that it does not have.
        jobs: They must be picklable, and their results too.
        workers: The number of processes, each with one thread, because the rounding of sums depends on the number of
            threads and results must not depend on the number of workers. With one, jobs run in this process.

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
                with contextlib.suppress(OSError):  # the worker is dead, and its pipe reports this below
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
    # The worker inherits this: Ctrl-C reaches every process of a terminal, but only the parent handles it.
    with _interruption_ignored():
        process.start()
    theirs.close()  # so that the pipe closes when the worker ends
    return _Worker(process, ours)


def _serve(pipe: connection.Connection, function: Callable[[Any], object]) -> None:
    with _one_thread(), contextlib.suppress(EOFError, OSError):  # the parent is gone
        while True:
            pipe.send(_attempt(function, pipe.recv()))


def _attempt(function: Callable[[Job], Result], job: Job) -> Result | Failure:
    try:
        return function(job)
    except Exception as error:
        return Failure(reason_of(error))


def _death(worker: _Worker) -> Failure:
    worker.process.join()
    code = worker.process.exitcode or 0
    if code >= 0:  # it ended outside of any job, and every other worker would do the same
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
    if threading.current_thread() is not threading.main_thread():  # other threads cannot set signal handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _cores() -> int:
    """The cores that this process may use, divided by the ranks that torchrun started on this machine."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(available // int(os.environ.get("LOCAL_WORLD_SIZE", 1)), 1)
