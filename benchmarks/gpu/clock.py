"""Seconds of work on a device: by CUDA events behind a flushed cache, or by the wall clock on a CPU."""

from __future__ import annotations

import statistics
import time

import torch
from common.harness import Method

# More calls than this make no sample better.
MAX_CALLS = 20
MIN_FLUSH_BYTES = 256 * 2**20
# About 2 ms on the clocks of today's GPUs: longer than the host needs for any call but the solver's.
DELAY_CYCLES = 4_000_000
WARM_UP_SECONDS = 1.0


class Clock:
    """A clock for :func:`common.harness.race`.

    Before each call a buffer of several times the L2 cache is overwritten, so that inputs come from memory, as they do
    between the layers of a network. A delay on the device follows. It gives the host time to queue the call, so that
    the events see the device's time and not the host's. What the host itself needs is measured apart: ``host_s`` holds
    a figure a sample for each method. A call that waits for the device, or that takes the host longer than the delay,
    has some of the host's time in both.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.host_s: dict[str, list[float]] = {}
        if device.type == "cuda":
            cache = getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 0)
            self.flush = torch.empty(max(4 * cache, MIN_FLUSH_BYTES), dtype=torch.uint8, device=device)
            self._warm_up()

    def __call__(self, method: Method, calls: int) -> float:
        """The mean of so many calls."""
        calls = min(calls, MAX_CALLS)
        if self.device.type == "cuda":
            self.host_s.setdefault(method.name, []).append(self._host(method))
        return max(sum(self._once(method) for _ in range(calls)) / calls, 1e-9)

    def host_median(self, name: str) -> float | None:
        """Seconds until a call of that method returns to the host, None on a CPU."""
        samples = self.host_s.get(name)
        return statistics.median(samples) if samples else None

    def _warm_up(self) -> None:
        """An idle GPU has slow clocks."""
        x = torch.rand(4096, 4096, device=self.device)
        end = time.perf_counter() + WARM_UP_SECONDS
        while time.perf_counter() < end:
            x @ x
            torch.cuda.synchronize(self.device)

    def _host(self, method: Method) -> float:
        """The device is idle: nothing that is queued makes the host wait."""
        torch.cuda.synchronize(self.device)
        started = time.perf_counter()
        method.run()
        seconds = time.perf_counter() - started
        torch.cuda.synchronize(self.device)
        return seconds

    def _once(self, method: Method) -> float:
        if self.device.type != "cuda":
            started = time.perf_counter()
            method.run()
            return time.perf_counter() - started
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.flush.zero_()
        torch.cuda._sleep(DELAY_CYCLES)
        start.record()
        method.run()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3
