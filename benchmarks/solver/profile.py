"""Where the time of solve_matting goes, by parts, and how near its sweeps over the pixels come to the memory's speed.

    python benchmarks solver.profile DATA              one and 20 maps from 0.1 to 12 megapixels; needs 8 GB
    python benchmarks solver.profile --largest 0.6     the smaller sizes
    python benchmarks solver.profile --quick           tiny: does it run?

The photograph and the strokes of solver.py, and with the folder DATA its lemur; small problems of two classes also with
the learning-based Laplacian. Writes results/solver_profile.json and .md.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from common.harness import describe_machine, table, write_json, write_markdown
from common.parts import PartClock

from closedform_wsss import _ops
from closedform_wsss.functional import solve_matting
from closedform_wsss.io import from_array
from closedform_wsss.laplacian import KINDS, Kind
from closedform_wsss.solver import tile_solver
from closedform_wsss.solver.multigrid import w_cycle
from solver.inputs import PHOTOS, Problem, lemur, scribbles

SIZES = (((321, 321), 2), ((321, 321), 21), ((612, 816), 2), ((612, 816), 21), ((1224, 1632), 2), ((3000, 4000), 2))
SMALL = 0.6  # megapixels up to which both Laplacians are solved
ROUNDS = 3  # of solves that take less than 10 seconds
COPIED = 2**28  # bytes
# What is timed, and as which part.
PARTS = {
    "local functions": (tile_solver, "local_basis"),
    "coarse levels, set-up": (tile_solver, "WCycle"),
    "product": (_ops, "tile_product"),
    "relaxation": (_ops, "tile_relax"),
    "to the functions": (_ops, "tile_restrict"),
    "from the functions": (_ops, "tile_prolong"),
    "coarse levels": (w_cycle.WCycle, "correct"),
}
PIXELS = ("product", "relaxation")


class Sweeps:
    """Bytes that the sweeps over the pixels move at least."""

    def __init__(self) -> None:
        self.bytes = 0

    def add(self, part: str, arguments: tuple[Any, ...], _: Any) -> None:
        """The stencil's 12 numbers and the diagonal, and x and y, or x, b, y and a weight."""
        if part in PIXELS:
            tiles, maps = arguments[4].shape[:2]
            moved = 13 + 2 * maps if part == "product" else 14 + 3 * maps
            self.bytes += 256 * tiles * moved * arguments[4].element_size()


def copy_speed() -> float:
    """Bytes a second, read and written."""
    source = torch.ones(COPIED // 4)
    target = torch.empty_like(source).zero_()
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        target.copy_(source)
        seconds.append(time.perf_counter() - started)
    return 2 * COPIED / min(seconds)


def measure(problem: Problem, kind: Kind) -> dict[str, Any]:
    """Seconds of each part, of the median solve."""
    image = from_array(problem.image)[None].contiguous()
    marks = torch.from_numpy(problem.marks)[None]
    runs: list[dict[str, Any]] = []
    while len(runs) < ROUNDS and (not runs or runs[0]["seconds"] < 10):
        sweeps = Sweeps()
        with PartClock(PARTS, sweeps.add) as clock:
            started = time.perf_counter()
            solution = solve_matting(marks, image, kind=kind, num_classes=problem.classes)
            seconds = time.perf_counter() - started
        parts = {part: clock.seconds[part] for part in PARTS}
        parts["the rest"] = seconds - sum(parts.values())
        swept = sweeps.bytes / sum(clock.seconds[part] for part in PIXELS)
        runs.append({"seconds": seconds, "iterations": solution.iterations, "parts": parts, "swept": swept})
    middle = statistics.median_low(run["seconds"] for run in runs)
    chosen = next(run for run in runs if run["seconds"] == middle)
    maps = problem.classes - (kind == "closed_form")  # the closed form's last class is what the others leave
    return {"name": problem.name, "kind": kind, "maps": maps} | chosen


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path, nargs="?", help="folder with lemur/")
    parser.add_argument("--largest", type=float, metavar="MP", default=1e9, help="nothing above MP megapixels")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--quick", action="store_true", help="tiny: does it run?")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    sizes = [((24, 32), 2), ((24, 32), 5)] if args.quick else SIZES
    machine, speed = describe_machine(), copy_speed()
    problems = [scribbles(PHOTOS[0], *size, n) for size, n in sizes if size[0] * size[1] <= args.largest * 1e6]
    if args.data:
        problems.insert(0, lemur(args.data / "lemur"))
    measured = [
        measure(problem, kind)
        for problem in problems
        for kind in KINDS
        if kind == "closed_form" or (problem.classes == 2 and problem.megapixels < SMALL)
    ]
    if args.quick:
        return 0
    write_json("solver_profile", {"machine": machine, "copy": speed, "rows": measured})
    names = list(measured[0]["parts"])
    rows = [
        [
            f"{row['name']}, {row['maps']} map{'s' if row['maps'] > 1 else ''}, {row['kind'].replace('_', ' ')}",
            f"{row['seconds']:.3g}",
        ]
        + [str(row["iterations"])]
        + [f"{100 * row['parts'][name] / row['seconds']:.0f} %" for name in names]
        + [f"{100 * row['swept'] / speed:.0f} %"]
        for row in measured
    ]
    body = (
        f"{torch.get_num_threads()} thread(s). Shares of the whole time: set-up of the functions in tiles and of the "
        "coarse levels; per iteration three relaxations and two products over the pixels, the way to the functions and "
        "back, and a cycle over the coarse levels; the rest is the stencil, vectors and marks. Last column: what the "
        "sweeps over the pixels move at least (the stencil, the diagonal, and every map once), as a share of a copy's "
        f"{speed / 1e9:.0f} GB/s; small systems stay in the cache.\n\n"
        + table(["problem", "s", "iterations", *names, "sweeps / copy"], rows)
    )
    options = ["DATA" if value == str(args.data) else value for value in (sys.argv[1:] if argv is None else argv)]
    command = shlex.join(["python", "benchmarks", "solver.profile", *options])
    write_markdown("solver_profile", "Where the solver's time goes", command, machine, body)
    return 0
