"""Seconds of work on a device: by CUDA events behind a flushed cache, or by the wall clock on a CPU."""

from __future__ import annotations

import time

import torch
from common.harness import Method

# More calls than this make no sample better.
MAX_CALLS = 50
SMALLEST_FLUSH = 256 * 2**20


class Clock:
    """A clock for :func:`common.harness.race`.

    Before each call a buffer of several times the L2 cache is overwritten, so that inputs come from memory, as they do
    between the layers of a network. The buffer also takes the device long enough for the host to queue the work
    behind it: a kernel's time does not hold the host's time to launch it, unless launching takes longer.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            cache = getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 0)
            self.flush = torch.empty(max(4 * cache, SMALLEST_FLUSH), dtype=torch.uint8, device=device)

    def __call__(self, method: Method, calls: int) -> float:
        """The mean of so many calls."""
        calls = min(calls, MAX_CALLS)
        return max(sum(self._once(method) for _ in range(calls)) / calls, 1e-9)

    def _once(self, method: Method) -> float:
        if self.device.type != "cuda":
            started = time.perf_counter()
            method.run()
            return time.perf_counter() - started
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.flush.zero_()
        start.record()
        method.run()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3
