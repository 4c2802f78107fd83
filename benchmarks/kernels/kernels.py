"""Measure the kernels against their baselines on this machine, in one run, and report ratios.

    python benchmarks kernels                 all sizes, one and two threads
    python benchmarks kernels --quick         tiny sizes: does everything run and agree?

Writes results/kernels.json and results/kernels.md (quick: kernels_quick.*).
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from typing import Any

import torch
from common.harness import Result, describe_machine, write_json, write_markdown

from kernels import build, filter, loss, product

SECTIONS = ("build", "product", "loss", "filter")
SIZES: dict[str, Any] = {
    "build": [(321, 321), (513, 513), (1024, 2048)],
    "product": [321, 512],
    "classes": [21, 4, 1],
    "loss": (8, 21, 321),
    "filter": (8, 11, 90, 120),
}
QUICK: dict[str, Any] = {
    "build": [(48, 64)],
    "product": [48],
    "classes": [4, 1],
    "loss": (2, 5, 48),
    "filter": (2, 5, 24, 32),
}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--threads", type=int, nargs="+", default=[1, 2], help="thread counts (default: 1 2)")
    add("--repeats", type=int, default=11, help="rounds of each race, fewer where one is slow (%(default)s)")
    add("--only", nargs="+", choices=SECTIONS, help="some sections only; needs --name")
    add("--quick", action="store_true", help="tiny sizes, 3 rounds: a smoke test whose figures mean nothing")
    add("--no-memory", action="store_true", help="leave out the peak memory")
    add("--name", help="of the result files (default: kernels, or kernels_quick)")
    args = parser.parse_args()
    if args.repeats < 1 or min(args.threads) < 1:
        parser.error("--repeats and --threads must be at least 1")
    if args.only and not args.name and not args.quick:
        parser.error("--only needs --name: kernels.md would lose its other sections")
    args.only = args.only or list(SECTIONS)
    return args


def main() -> None:
    """Run the sections for every thread count, write after each so that little is lost."""
    args = arguments()
    sizes = QUICK if args.quick else SIZES
    repeats = 3 if args.quick else args.repeats
    name = args.name or ("kernels_quick" if args.quick else "kernels")
    machine, started = describe_machine(), time.perf_counter()
    found: dict[str, list[Result]] = {section: [] for section in args.only}
    for threads in args.threads:
        # What a job needs hardly depends on the threads: once is enough.
        memory = not args.no_memory and threads == args.threads[0]
        torch.set_num_threads(threads)
        for section in args.only:
            print(
                f"{time.perf_counter() - started:5.0f} s  {section}, {threads} thread(s)",
                file=sys.stderr,
                flush=True,
            )
            if section == "build":
                found[section] += build.measure(sizes["build"], threads, repeats, threads == args.threads[0], memory)
            elif section == "product":
                found[section] += product.measure(sizes["product"], sizes["classes"], threads, repeats)
            elif section == "filter":
                found[section] += filter.measure(*sizes["filter"], threads, repeats)
            else:
                found[section] += loss.measure(*sizes["loss"], threads, repeats, memory)
            write_json(name, {"machine": machine, "results": [r for part in found.values() for r in part]})

    makers = {"build": build.markdown, "product": product.markdown, "loss": loss.markdown, "filter": filter.markdown}
    body = "\n\n".join(makers[section](found[section]) for section in args.only)
    body = (
        "Ratios are time / our time within a round, medians over the rounds with the quartiles in brackets; "
        "above 1 is slower than ours. Absolute times hold for this machine only.\n\n" + body
    )
    path = write_markdown(
        name, "Kernels", shlex.join(["python", "benchmarks", "kernels", *sys.argv[1:]]), machine, body
    )
    print(
        f"{time.perf_counter() - started:.0f} s; wrote {path} and {path.with_suffix('.json')}",
        file=sys.stderr,
    )
