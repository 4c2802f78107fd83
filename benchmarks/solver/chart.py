"""Charts of results/solver.json: time and peak memory against megapixels, a line for each solver.

    python benchmarks solver.chart FOLDER      writes FOLDER/solver_time.svg and FOLDER/solver_memory.svg

Drawn is the photograph that was measured in every size. An open triangle is a run that was killed at its limit.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from common.chart import FAINT, INK
from common.harness import RESULTS
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Okabe and Ito's colours, one for each library; dashes tell its solvers apart.
STYLES: dict[str, tuple[str, str, str]] = {
    "closedform_wsss": ("#D55E00", "-", "o"),
    "closedform_wsss, learning-based": ("#D55E00", "--", "o"),
    "pymatting cf, ichol": ("#0072B2", "-", "s"),
    "pymatting cf, ichol, soft": ("#0072B2", "--", "s"),
    "pymatting cf, V-cycle, soft": ("#56B4E9", "-", "D"),
    "pymatting lbdm, ichol": ("#56B4E9", "--", "D"),
    "SciPy direct": ("#009E73", "-", "v"),
    "SciPy CSR, Jacobi": ("#009E73", "--", "v"),
    "pyamg root-node, soft": ("#CC79A7", "-", "^"),
    "pyamg smoothed aggregation, soft": ("#CC79A7", "--", "^"),
    "cholespy": ("#E69F00", "-", "P"),
}
Row = dict[str, Any]


def wording(name: str) -> str:
    """A solver in the legend."""
    return name.replace("closedform_wsss", "ours")


def seconds(row: Row) -> float:
    """The median."""
    return float(statistics.median(row["samples_s"]))


def gigabytes(row: Row) -> float:
    """The peak."""
    return float(row["peak_bytes"]) / 2**30


def panel(axes: Axes, rows: list[Row], value: Callable[[Row], float], limits: bool) -> None:
    """The lines of one number of classes."""
    for name, (color, dashes, marker) in STYLES.items():
        own = sorted((row for row in rows if row["solver"] == name), key=lambda row: int(row["pixels"]))
        done = [row for row in own if row["status"] == "ok"]
        x, y = [row["pixels"] / 1e6 for row in done], [value(row) for row in done]
        over = [row for row in own if row["status"] == "limit"] if limits else []
        if over:
            x, y = [*x, over[0]["pixels"] / 1e6], [*y, over[0]["limit_s"]]
            axes.plot(x[-1], y[-1], marker="^", markersize=7, color=color, markerfacecolor="white", zorder=5)
        thick = 2.2 if name.startswith("closedform") else 1.4
        marks = range(len(done))
        axes.plot(
            x, y, dashes, color=color, linewidth=thick, marker=marker, markersize=4, markevery=list(marks), zorder=3
        )


def draw(payload: dict[str, Any], value: Callable[[Row], float], label: str, limits: bool, path: Path) -> None:
    """One chart: a panel for each number of classes."""
    plt.rcParams.update(
        {"font.family": "DejaVu Sans", "font.size": 10, "svg.fonttype": "path", "svg.hashsalt": "closedform"}
    )
    threads, rows = payload["threads"], [row for row in payload["rows"] if row["section"] == "scribbles"]
    if not rows:
        raise SystemExit("no results of photographs with scribbles in this file")
    photo = max(rows, key=lambda row: int(row["pixels"]))["photo"]
    rows = [row for row in rows if row["photo"] == photo and row["threads"] == threads]
    counts = sorted({row["classes"] for row in rows})
    figure, grid = plt.subplots(
        1, len(counts), figsize=(1.2 + 3.7 * len(counts), 4.9), sharey=True, squeeze=False, layout="constrained"
    )
    for axes, classes in zip(grid[0], counts, strict=True):
        panel(axes, [row for row in rows if row["classes"] == classes], value, limits)
        title = "Two classes" if classes == 2 else f"{classes} classes"
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=6)
        decorate(axes)
    grid[0, 0].set_ylabel(label, color=INK)
    used = {row["solver"] for row in rows}
    handles = [
        Line2D(
            [],
            [],
            color=color,
            linestyle=dashes,
            marker=marker,
            markersize=4,
            label=name.replace("closedform_wsss", "ours"),
        )
        for name, (color, dashes, marker) in STYLES.items()
        if name in used
    ]
    if limits and any(row["status"] == "limit" for row in rows):
        handles.append(
            Line2D([], [], color=INK, linestyle="", marker="^", markerfacecolor="white", label="killed at the limit")
        )
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, handlelength=2.6)
    machine = payload["machine"]
    packages = ", ".join(f"{name} {machine['packages'][name]}" for name in ("torch", "pymatting", "scipy"))
    note = (
        f"{machine['cpu']}, {threads} thread{'s' if threads > 1 else ''}; {packages}; {machine['date'][:10]}.\n"
        f'Photograph "{photo}" with scribbles on 1 % of the pixels; set-up included.'
    )
    figure.supxlabel(note, fontsize=8, color=FAINT, x=0.01, ha="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white", metadata={"Date": None})  # the same figures give the same file
    plt.close(figure)


def decorate(axes: Axes) -> None:
    """Scales, and no more frame than needed."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("megapixels", color=INK)
    for axis, steps in ((axes.xaxis, (1, 2, 5)), (axes.yaxis, (1,))):
        axis.set_major_locator(LogLocator(base=10, subs=steps))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(color="#DDDDDD", linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="both", which="both", length=0, colors=INK)


def draw_all(payload: dict[str, Any], folder: Path) -> None:
    """Both charts."""
    draw(payload, seconds, "seconds", True, folder / "solver_time.svg")
    draw(payload, gigabytes, "peak memory, GiB", False, folder / "solver_memory.svg")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write both files")
    parser.add_argument("--results", type=Path, default=RESULTS / "solver.json", help="default: %(default)s")
    args = parser.parse_args()
    draw_all(json.loads(args.results.read_text()), args.folder)
