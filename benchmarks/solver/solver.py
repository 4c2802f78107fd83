"""Measure solve_matting against what else solves for mattes: time, memory, error, from 0.1 to 12 megapixels.

    python benchmarks solver                    photographs with scribbles, and 12 megapixels by the command line
    python benchmarks solver DATA               and pymatting's lemur with its trimap
    python benchmarks solver --largest 0.6      the smaller sizes
    python benchmarks solver --quick            tiny sizes: does everything run? Its figures mean nothing

DATA holds lemur/image.png and lemur/trimap.png (0 background, 255 foreground, all else unknown), from pymatting's
repository. The photographs come with scikit-image. pyamg and cholespy run where they are installed.

Writes results/solver.json as it goes, so that an interrupted run goes on where it stopped; results/solver.md; and,
where matplotlib is installed, charts (chart.py), to docs/_static or, with --quick or --output, beside them.
"""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from common.harness import RESULTS, write_markdown
from common.paths import ROOT

from solver.cases import Measurements, agreement, measure_case, tell
from solver.inputs import PHOTOS, lemur, scribbles
from solver.large import measure_large
from solver.table import markdown

STATIC = ROOT / "docs" / "_static"
SECTIONS = ("scribbles", "lemur", "large")
SIZES: dict[str, Any] = {
    # Height, width: all photographs up to "small" pixels, and ours with one thread too; the first photograph beyond.
    "two": [(321, 321), (512, 512), (612, 816), (866, 1154), (1224, 1632), (1732, 2310), (2448, 3264)],
    "many": [(321, 321), (512, 512), (612, 816), (866, 1154), (1224, 1632)],
    "small": 512 * 512,
    "classes": 21,
    "photos": PHOTOS,
    "large": (3000, 4000),
}
QUICK: dict[str, Any] = {
    "two": [(24, 32)],
    "many": [(24, 32)],
    "small": 24 * 32,
    "classes": 5,
    "photos": PHOTOS[:1],
    "large": (48, 64),
}


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("data", metavar="DATA", type=Path, nargs="?", help="folder with lemur/; without it that section is left out")
    add("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="some sections only")
    add("--largest", type=float, metavar="MP", default=1e9, help="no photographs with scribbles above MP megapixels")
    add("--photographs", type=int, metavar="N", help="the first N at the small sizes (default: all)")
    add("--threads", type=int, help="CPU threads (default: torch's choice)")
    add("--repeats", type=int, default=5, help="rounds of those that take less than 10 seconds (%(default)s)")
    add(
        "--limit",
        type=float,
        metavar="SECONDS",
        default=120.0,
        help="of a method's run (%(default)g); five times as much for ours and for tight solutions",
    )
    add("--quick", action="store_true", help="tiny sizes, 2 rounds: a smoke test whose figures mean nothing")
    add("--fresh", action="store_true", help="forget what was measured before")
    add("--output", type=Path, metavar="FOLDER", default=RESULTS, help="of the result files (default: results)")
    args = parser.parse_args(argv)
    if args.repeats < 1 or (args.threads or 1) < 1 or args.limit <= 0:
        parser.error("--repeats, --threads and --limit must be positive")
    if args.data and not (args.data / "lemur").is_dir():
        parser.error("DATA must hold a folder lemur/")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Section after section, then tables and charts of all that is known."""
    args, started = arguments(argv), time.perf_counter()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as an interrupt does: its children are ended too
    sizes = QUICK if args.quick else SIZES
    if args.threads:
        torch.set_num_threads(args.threads)
    done = Measurements(args, torch.get_num_threads())
    if "scribbles" in args.only:
        if done.payload["agreement"] is None:
            problem = scribbles(sizes["photos"][0], *sizes["two"][0], classes=2)
            done.payload["agreement"] = {"case": problem.name} | agreement(problem, done.payload["threads"], args)
        for which, classes in (("two", 2), ("many", sizes["classes"])):
            for height, width in sizes[which]:
                if height * width > args.largest * 1e6:
                    continue
                small = height * width <= sizes["small"]
                for photo in sizes["photos"][: args.photographs if small else 1]:
                    tell(f"{time.perf_counter() - started:5.0f} s")
                    measure_case(done, "scribbles", photo, scribbles(photo, height, width, classes), small)
    if "lemur" in args.only and args.data:
        measure_case(done, "lemur", "lemur", lemur(args.data / "lemur"), small=True)
    if "large" in args.only and done.payload["large"] is None:
        done.payload["large"] = measure_large(*sizes["large"], done.payload["threads"])
    done.write()

    # Whoever repeats this has folders of other names.
    named = {str(args.data): "DATA", str(args.output): "FOLDER"}
    options = [named.get(option, option) for option in (sys.argv[1:] if argv is None else argv)]
    command = shlex.join(["python", "benchmarks", "solver", *options])
    body = markdown(done.payload, sizes["photos"][0])
    write_markdown(done.name, "Solver", command, done.payload["machine"], body, args.output)
    if importlib.util.find_spec("matplotlib") is None:
        tell("no charts: matplotlib is not installed")
    else:
        from solver.chart import draw_all

        draw_all(done.payload, STATIC if args.output == RESULTS and not args.quick else args.output)
    tell(f"{time.perf_counter() - started:.0f} s")
    return 0
