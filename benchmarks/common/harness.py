"""Fair timing: methods take turns, and what is reported are medians of ratios within a turn.

A shared machine slows down and speeds up by tens of per cent within a minute. Timed one after the other, the
method that happened to run in a quiet minute wins. Here all methods run once in every round; a ratio
compares two neighbours in time, and the median over rounds ignores the rounds in which something else woke
up.
"""

from __future__ import annotations

import gc
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from common.machine import describe_machine, machine_markdown
from common.paths import RESULTS

# A sample shorter than this is repeated within the sample: the clock and the first cache misses would blur
# it.
SHORTEST_SAMPLE = 0.02


@dataclass
class Method:
    """Something to time: a name and a function of no arguments whose result is thrown away."""

    name: str
    run: Callable[[], Any]
    note: str = ""
    # Seconds of a call made before the race, which then needs no warming: for those that take half a minute.
    warmed_s: float | None = None


@dataclass
class Result:
    """One method in one case: seconds a call, and how many times as long as the reference it took."""

    section: str
    case: str
    threads: int
    name: str
    rounds: int
    median_s: float
    min_s: float
    quartiles_s: tuple[float, float]
    # Time / time of the reference in the same round: median and quartiles over the rounds. Above 1 is slower.
    ratio: float
    ratio_quartiles: tuple[float, float]
    note: str = ""
    # Every sample, in the order of the rounds, so that other ratios can be formed afterwards.
    samples_s: list[float] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def paired(own: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Ratios within the rounds that both took part in."""
    return [a / b for a, b in zip(own, reference, strict=False)]


def _seconds(method: Method, calls: int) -> float:
    """Seconds a call, the mean of so many."""
    started = time.perf_counter()
    for _ in range(calls):
        method.run()
    return max(time.perf_counter() - started, 1e-9) / calls


def race(
    section: str,
    case: str,
    threads: int,
    methods: Sequence[Method],
    *,
    repeats: int,
    budget: float = 12.0,
    clock: Callable[[Method, int], float] = _seconds,
) -> list[Result]:
    """Time methods in turns. The first is the reference of all ratios.

    Every method is warmed before. A slow one runs in fewer rounds, as many as fit ``budget`` seconds, but
    in three at least, or in one if a call takes half the budget; the reference runs in all. ``clock`` gives the
    seconds a call, from so many calls.
    """
    inner, rounds = [], []
    for method in methods:
        once = clock(method, 1) if method.warmed_s is None else method.warmed_s
        if once < budget / 2:  # the first call may have loaded something
            once = clock(method, 1)
        inner.append(max(1, math.ceil(SHORTEST_SAMPLE / once)))
        fewest = 3 if once < budget / 2 else 1
        rounds.append(min(repeats, max(fewest, int(budget / (once * inner[-1])))))
    rounds[0] = max(rounds)

    seconds: list[list[float]] = [[] for _ in methods]
    collecting = gc.isenabled()
    gc.disable()  # a collection would land in an arbitrary method's sample
    try:
        for turn in range(max(rounds)):
            # Alternate the order, so that nobody always runs with the caches that the same neighbour left.
            order = range(len(methods)) if turn % 2 == 0 else reversed(range(len(methods)))
            for k in order:
                if turn >= rounds[k]:
                    continue
                seconds[k].append(clock(methods[k], inner[k]))
            gc.collect()
    finally:
        if collecting:
            gc.enable()

    results = []
    for method, own in zip(methods, seconds, strict=True):
        ratios = paired(own, seconds[0])
        results.append(
            Result(
                *(section, case, threads, method.name, len(own)),
                *(statistics.median(own), min(own), _quartiles(own)),
                *(statistics.median(ratios), _quartiles(ratios)),
                note=method.note,
                samples_s=own,
            )
        )
    return results


def milliseconds(seconds: float) -> str:
    """Three significant digits."""
    value = seconds * 1e3
    digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:.{min(digits, 3)}f}"


def ratio_text(result: Result, reference: Result | None = None) -> str:
    """A ratio with its quartiles, ``12.3 (11.9 to 13.0)``: to another result where one is given."""
    middle, (low, high) = result.ratio, result.ratio_quartiles
    if reference is not None:
        ratios = paired(result.samples_s, reference.samples_s)
        middle, (low, high) = statistics.median(ratios), _quartiles(ratios)
    if low == middle == high == 1:
        return "1"
    digits = 2 if middle < 10 else 1 if middle < 100 else 0
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are aligned to the right."""
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join(["---"] + ["---:"] * (len(header) - 1)) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def write_json(name: str, payload: dict[str, Any], folder: Path = RESULTS) -> Path:
    """``results/NAME.json``, replaced in one step so that an interrupted run leaves the old file whole."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    scratch = path.with_suffix(".json.part")
    scratch.write_text(json.dumps(payload, indent=1, default=_plain) + "\n")
    scratch.replace(path)
    return path


def _plain(value: Any) -> Any:
    if isinstance(value, Result):
        return asdict(value)
    raise TypeError(f"cannot write {type(value).__name__} to JSON")


def write_markdown(
    name: str, title: str, command: str, machine: dict[str, Any], body: str, folder: Path = RESULTS
) -> Path:
    """``results/NAME.md``, also printed."""
    text = f"# {title}\n\n{machine_markdown(machine)}\n* Command: `{command}`\n\n{body}\n"
    print(text)
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.md"
    path.write_text(text)
    return path


__all__ = [
    "RESULTS",
    "Method",
    "Result",
    "describe_machine",
    "milliseconds",
    "paired",
    "race",
    "ratio_text",
    "table",
    "write_json",
    "write_markdown",
]
