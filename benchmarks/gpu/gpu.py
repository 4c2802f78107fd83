"""Time the CUDA kernels on this machine's GPU: against a copy of the bytes that they must move, and plain PyTorch.

    python benchmarks gpu                         8 x 21 x 321^2 and 512^2, a solve at 1024 x 2048, a training step
    python benchmarks gpu --quick                 tiny sizes: does everything run and agree?
    python benchmarks gpu --quick --device cpu    the same on a CPU, by the wall clock: a test of this script

Writes results/gpu.json and results/gpu.md (quick: gpu_quick.*). benchmarks/gpu.sh does this and more.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common.harness import (
    RESULTS,
    Method,
    Result,
    describe_machine,
    milliseconds,
    paired,
    race,
    ratio_text,
    table,
    write_json,
    write_markdown,
)
from common.machine import describe_gpu

import closedform_wsss
from gpu.cases import Case, graph, matting, solver, superpixels, training
from gpu.clock import Clock

# Of float32 sums in another order, relative in the 2-norm.
TOLERANCE = 1e-3
TRAINING = "training"
OURS, COPY, PLAIN = "closedform_wsss", "copy", "plain PyTorch"
SIZES: dict[str, Any] = {"maps": [(8, 21, 321), (8, 21, 512)], "solve": (21, 1024, 2048), "step": (8, 21, 321)}
QUICK: dict[str, Any] = {"maps": [(2, 3, 48)], "solve": (3, 48, 64), "step": (2, 3, 48)}


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda", help="where to run (default: cuda)")
    add("--repeats", type=int, default=11, help="rounds of each race, fewer where one is slow (%(default)s)")
    add("--quick", action="store_true", help="tiny sizes, 3 rounds: figures mean nothing")
    add("--seconds", type=float, default=float("inf"), help="start no case after so many (default: no limit)")
    add("--output", type=Path, metavar="FOLDER", default=RESULTS, help="of the result files (default: results)")
    args = parser.parse_args(argv)
    if args.repeats < 1:
        parser.error("--repeats must be at least 1")
    if args.device == "cuda":
        kernels = closedform_wsss.build_info()["cuda_kernels"]
        if kernels != "used":
            parser.exit(2, f"benchmarks gpu: there is nothing to measure here, the CUDA kernels are {kernels}\n")
    return args


def agree(case: Case) -> float:
    """How much plain PyTorch and ours differ; an error if it is more than rounding."""
    assert case.plain is not None
    ours, plain = case.run().double(), case.plain().double()
    error = float((ours - plain).norm() / plain.norm())
    assert error < TOLERANCE, f"{case.name}: plain PyTorch and ours differ by {error:.1e}, more than {TOLERANCE:.0e}"
    return error


def measure(case: Case, size: str, device: torch.device, clock: Clock, repeats: int) -> list[Result]:
    """One case: ours, a copy of as many bytes, plain PyTorch."""
    methods, extra = [Method(OURS, case.run)], {"case": case.name, "bytes": case.bytes}
    if case.bytes is not None:
        # Random: memory and caches may compress zeros.
        source = torch.randint(256, (case.bytes // 2,), dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
        methods.append(Method(COPY, lambda: target.copy_(source)))
    if case.plain is not None:
        try:
            extra["difference"] = agree(case)
            methods.append(Method(PLAIN, case.plain))
        except torch.OutOfMemoryError:
            extra["plain_out_of_memory"] = True
            torch.cuda.empty_cache()
    threads = torch.get_num_threads()
    clock.host_s.clear()
    results = race("gpu", f"{case.name}, {size}", threads, methods, repeats=repeats, budget=4.0, clock=clock)
    for result in results:
        result.extra = extra | {"host_s": clock.host_median(result.name)}
    return results


def rows(results: list[Result]) -> list[list[str]]:
    """A line for each case."""
    cases: dict[str, dict[str, Result]] = {}
    for result in results:
        cases.setdefault(result.case, {})[result.name] = result
    lines = []
    for case, found in cases.items():
        ours, copy, plain = found[OURS], found.get(COPY), found.get(PLAIN)
        missing = "out of memory" if ours.extra.get("plain_out_of_memory") else ""
        lines.append(
            [
                case,
                milliseconds(ours.median_s),
                "" if ours.extra["host_s"] is None else milliseconds(ours.extra["host_s"]),
                "" if copy is None else f"{ours.extra['bytes'] / 1e6:.1f}",
                "" if copy is None else milliseconds(copy.median_s),
                "" if copy is None else ratio_text(ours, copy),
                missing if plain is None else milliseconds(plain.median_s),
                "" if plain is None else ratio_text(plain),
                str(ours.rounds),
            ]
        )
    return lines


def train(size: tuple[int, int, int], device: torch.device, clock: Clock, repeats: int, large: bool) -> list[Result]:
    """A training step without and with the loss."""
    methods = [Method(case.name, case.run) for case in training(*size, device, large)]
    text = " x ".join(map(str, (*size, size[-1])))
    return race(TRAINING, text, torch.get_num_threads(), methods, repeats=repeats, clock=clock)


def overhead(without: Result, with_loss: Result) -> str:
    """What the loss adds to a training step."""
    share = statistics.median(paired(with_loss.samples_s, without.samples_s)) - 1
    added = with_loss.median_s - without.median_s
    return f"The closed-form loss adds {milliseconds(max(added, 0))} ms, {100 * share:.1f} %, to that training step."


def main(argv: Sequence[str] | None = None) -> int:
    """Time everything; write after each part so that little is lost. What fails is left out, exit status 1."""
    args = arguments(argv)
    device = torch.device(args.device)
    sizes, repeats = (QUICK, 3) if args.quick else (SIZES, args.repeats)
    name = "gpu_quick" if args.quick else "gpu"
    machine = describe_machine() | ({"gpu": describe_gpu()} if device.type == "cuda" else {})
    end = time.monotonic() + args.seconds
    clock, results, failed = Clock(device), [], []

    def attempt(part: str, run: Callable[[], Iterable[Result]]) -> None:
        try:
            results.extend(run())
        except Exception as error:  # a machine with a GPU may be at hand for minutes only: on to the next
            traceback.print_exc()
            failed.append(f"{part}{': no time was left' if isinstance(error, TimeoutError) else ''}")
        write_json(name, {"machine": machine, "results": results, "failed": failed}, args.output)

    def race_all(make: Callable[..., list[Case]], text: str, *size: int) -> Iterator[Result]:
        for case in make(*size, device):
            if time.monotonic() > end:
                raise TimeoutError
            print(f"{case.name}, {text}", file=sys.stderr, flush=True)
            yield from measure(case, text, device, clock, repeats)

    def train_network() -> list[Result]:
        if time.monotonic() > end:
            raise TimeoutError
        return train(sizes["step"], device, clock, repeats, large=device.type == "cuda" and not args.quick)

    for n, classes, size in sizes["maps"]:
        for make in (matting, superpixels, graph):
            text = f"{n} x {classes} x {size} x {size}"
            attempt(f"{make.__name__}, {text}", partial(race_all, make, text, n, classes, size))
    classes, height, width = sizes["solve"]
    text = f"1 x {classes} x {height} x {width}"
    attempt(f"{solver.__name__}, {text}", partial(race_all, solver, text, classes, height, width))
    attempt("training step", train_network)
    command = shlex.join(["python", "benchmarks", "gpu", *(sys.argv[1:] if argv is None else argv)])
    write_markdown(name, "CUDA kernels", command, machine, markdown(device, results, failed), args.output)
    return 1 if failed else 0


def markdown(device: torch.device, results: list[Result], failed: list[str]) -> str:
    """What was measured, and the tables."""
    raced = [result for result in results if result.section == TRAINING]
    how = (
        "CUDA events around one call, behind a flush of the L2 cache and a delay in which the host queues the call; "
        "host: until it returns to Python, on an idle device. Where that is more than 2 ms, launches are in both"
        if device.type == "cuda"
        else "**on a CPU, by the wall clock: this only tests the script**"
    )
    head = [
        "case",
        "ms",
        "host ms",
        "minimum MB moved",
        "ms of a copy of these",
        "time / copy",
        "plain PyTorch ms",
        "plain PyTorch / ours",
        "rounds",
    ]
    steps = [[f"{r.name}, {r.case}", milliseconds(r.median_s), str(r.rounds)] for r in raced]
    return (
        f"float32; {how}. Medians over rounds in which all methods of a row take turns, quartiles in brackets. The "
        "minimum counts every input read once and every output written once; the copy reads half of these "
        "bytes and writes the other half. Plain PyTorch: the reference implementations, asserted "
        f"to agree within {TOLERANCE:.0e} (relative 2-norm) before the timing. Cells of 16 pixels.\n\n"
        + table(head, rows([result for result in results if result.section != TRAINING]))
        + "\n\n"
        + table(["training step", "ms", "rounds"], steps)
        + "\n\n"
        + (overhead(*raced) if raced else "")
        + "".join(f"\n\n**Failed: {text}**" for text in failed)
    )


if __name__ == "__main__":
    raise SystemExit(main())
