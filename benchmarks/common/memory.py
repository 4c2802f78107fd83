"""Peak memory of one job, in a process of its own.

A process's peak never falls, so two jobs in one process cannot be told apart. Each job gets a fresh child,
which imports everything, makes the inputs and runs the job once at a tiny size (threads started, compiled
code loaded); only then does the measurement start. What is reported is the peak of the job minus what was
resident just before it.

On Linux the peak is reset at that point (``/proc/self/clear_refs``) and read as VmHWM, the very counter
behind ``getrusage().ru_maxrss``. Without the reset ``ru_maxrss`` also holds what the *parent* had resident
when it started the child, which a fork passes on through exec. Elsewhere plain ``ru_maxrss`` is the best
there is, and the result a lower bound.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from common.paths import script

T = TypeVar("T")


def _status(field: str) -> int:
    """A field of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def _start() -> tuple[bool, int]:
    """Reset the peak; return whether that worked and the bytes resident now."""
    # Freed memory that malloc still holds would be used again unseen: give it back first.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return True, _status("VmRSS")
    except (OSError, KeyError):
        return False, _maxrss()


def _maxrss() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure(run: Callable[[], T]) -> tuple[T, int, bool]:
    """What ``run`` returns, the bytes it needed at its worst moment, and whether those are more than a lower bound."""
    exact, before = _start()
    kept = run()  # bound to a name: results count as long as the user holds them
    peak = _status("VmHWM") if exact else _maxrss()
    return kept, max(peak - before, 0), exact


def peak_bytes(job: str, height: int, width: int, threads: int) -> int:
    """Bytes that ``JOBS[job]`` needs beyond its inputs at its worst moment."""
    command = [*script("common.memory"), job, str(height), str(width), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"memory job {job} failed:\n{done.stderr}")
    return int(json.loads(done.stdout.splitlines()[-1])["bytes"])


def available_bytes() -> int | None:
    """Memory free for a job, so that one that cannot fit is left out and not killed half-way."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def main() -> None:
    """The child: JOB HEIGHT WIDTH THREADS."""
    import torch

    from common.jobs import JOBS

    job, (height, width, threads) = sys.argv[1], map(int, sys.argv[2:5])
    torch.set_num_threads(threads)
    JOBS[job](16, 16)()
    run = JOBS[job](height, width)
    _, used, exact = measure(run)
    print(json.dumps({"bytes": used, "exact": exact}))
