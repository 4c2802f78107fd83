"""Answer what only a GPU can answer: eigenvectors, TF32 in the solver, its bits, the host's time of ASAM.

    python benchmarks gpu.probe                         about a minute
    python benchmarks gpu.probe --quick --device cpu    tiny sizes on a CPU: a test of this script

Prints the answers and writes probe.json and probe.md. Exit status 1 if a solve is wrong or a question fails.
"""

from __future__ import annotations

import argparse
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from common.asam import CELL, STEPS
from common.harness import Method, write_json
from common.inputs import marks, photo

from closedform_wsss import functional
from closedform_wsss.solver.multigrid import w_cycle
from gpu.clock import Clock

# Of alpha, between a GPU and a CPU, as the tests have it.
MAX_DIFFERENCE = 5e-3
Answers = Iterator[dict[str, Any]]


def _timed(device: torch.device, run: Callable[[], Any]) -> tuple[Any, float]:
    """The result and seconds by the wall clock, of a second call."""
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    result = run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return result, time.perf_counter() - started


def eigenvectors(device: torch.device, quick: bool) -> Answers:
    """The solver needs those of thousands of 64 x 64 matrices."""
    for n in (8, 16) if quick else (24, 32, 48, 64):
        x = torch.rand(256, n, n, generator=torch.Generator().manual_seed(0))
        x = x @ x.mT / n
        for place in dict.fromkeys((device, torch.device("cpu"))):
            own = x.to(place)
            _, seconds = _timed(place, lambda own=own: torch.linalg.eigh(own))
            yield {"question": f"eigh, 256 of {n} x {n} on {place}", "ms_each": seconds / 256 * 1e3}


@contextmanager
def _coarsest(size: int) -> Iterator[list[int]]:
    """No coarsest system has more unknowns, on any device. Gives the number of levels of each solve."""
    seen: list[int] = []
    make = w_cycle.WCycle.__init__

    def count(self: w_cycle.WCycle, *args: Any) -> None:
        make(self, *args)
        seen.append(len(self.levels))

    with (
        mock.patch.multiple(w_cycle, MAX_COARSEST=size, MAX_COARSEST_DENSE=size),
        mock.patch.object(w_cycle.WCycle, "__init__", count),
    ):
        yield seen


def solver(device: torch.device, quick: bool) -> Answers:
    """Does it agree with the CPU, with coarse levels, and with TF32 as most training scripts set it?"""
    before = torch.backends.cuda.matmul.allow_tf32
    for side, coarsest in ((64, 30),) if quick else ((321, 4096), (512, 4096), (512, 500)):
        image, target = photo(side, side), marks(1, 4, side, side)
        there = target.to(device), image.to(device)
        with _coarsest(coarsest) as levels:
            expected = functional.solve_matting(target, image, num_classes=4).alpha
            for tf32 in (False, True):
                torch.backends.cuda.matmul.allow_tf32 = tf32
                try:
                    found, seconds = _timed(device, lambda there=there: functional.solve_matting(*there, num_classes=4))
                finally:
                    torch.backends.cuda.matmul.allow_tf32 = before
                difference = float((found.alpha.cpu() - expected).abs().max())
                yield {
                    "question": f"solve {side} x {side}, coarsest at most {coarsest}, TF32 {'on' if tf32 else 'off'}",
                    "seconds": seconds,
                    "levels": levels[-1],
                    "iterations": found.iterations,
                    "converged": found.converged,
                    "difference_from_cpu": difference,
                    "wrong": not (found.converged and difference < MAX_DIFFERENCE),  # NaN is wrong
                }


def bits(device: torch.device, quick: bool) -> Answers:
    """Are those of a batch the same in every run?"""
    side = 48 if quick else 256
    image, target = photo(side, side, 3).to(device), marks(3, 3, side, side).to(device)
    first, *others = (functional.solve_matting(target, image, num_classes=3).alpha for _ in range(3))
    same = all(torch.equal(first, other) for other in others)
    yield {"question": f"a batch of three solves at {side} x {side}, the same bits in three runs", "same": same}


def host(device: torch.device, quick: bool) -> Answers:
    """Is ASAM bound by the host?"""
    n, side = (1, 48) if quick else (8, 512)
    superpixels = functional.soft_slic(photo(side, side, n).to(device), cell_size=CELL)
    x = torch.rand(n, 21, side, side, device=device)
    clock = Clock(device)
    method = Method("asam", lambda: functional.asam(x, superpixels, num_iters=STEPS))
    samples = [clock(method, 3) for _ in range(5)]
    seconds = clock.host_median("asam")
    yield {
        "question": f"asam, {STEPS} steps, {n} x 21 x {side} x {side}",
        "ms": statistics.median(samples) * 1e3,
        "host_ms": None if seconds is None else seconds * 1e3,
    }


def text(answer: dict[str, Any]) -> str:
    """A line of Markdown."""
    parts = []
    for name, value in answer.items():
        if name not in ("question", "wrong") and value is not None:
            parts.append(f"{name.replace('_', ' ')} {f'{value:.3g}' if isinstance(value, float) else value}")
    return f"* {'WRONG: ' if answer.get('wrong') else ''}{answer['question']}: {', '.join(parts)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Ask everything. A question that fails does not stop the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="where to run (default: cuda)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: figures mean nothing")
    parser.add_argument("--output", type=Path, metavar="FOLDER", required=True, help="of probe.json and probe.md")
    args = parser.parse_args(argv)
    device = torch.device(args.device)
    answers: list[dict[str, Any]] = []
    for ask in (eigenvectors, solver, bits, host):
        try:
            for answer in ask(device, args.quick):
                print(text(answer), flush=True)
                answers.append(answer)
        except Exception as error:  # the machine may be here for minutes only
            traceback.print_exc()
            answers.append({"question": ask.__name__, "error": repr(error), "wrong": True})
        write_json("probe", {"probe": answers}, args.output)
        (args.output / "probe.md").write_text("\n".join(map(text, answers)) + "\n")
    return 1 if any(answer.get("wrong") for answer in answers) else 0


if __name__ == "__main__":
    raise SystemExit(main())
