"""One chart of results/speed.json: how many times as long as ours each other implementation takes, and each limit.

    python benchmarks speed.chart chart.svg                 one thread
    python benchmarks speed.chart chart.svg --threads 2

Every line of the table with a ratio is drawn, those that win too; bars left of 1 are faster than ours.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from common.chart import FAINT, INK
from common.harness import RESULTS, paired
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Okabe and Ito's colours, which stay apart for colour-blind readers and in grey: (part of a name, colour, legend).
FAMILIES = (
    ("softmax", "#AAAAAA", "limits"),
    ("copy", "#AAAAAA", "limits"),
    ("torch", "#E69F00", "PyTorch"),
    ("PyTorch", "#E69F00", "PyTorch"),
    ("pymatting", "#0072B2", "pymatting"),
    ("scikit-image", "#009E73", "scikit-image"),
)


def family(name: str) -> tuple[str, str] | None:
    """Colour and legend of what a line compares with; None for what is ours too."""
    return next(((colour, legend) for part, colour, legend in FAMILIES if part in name), None)


def bars(payload: dict[str, Any], threads: int) -> list[tuple[str, str, float]]:
    """Label, name of the other and ratio of each line, top to bottom."""
    at = {(r["case"], r["name"]): r["samples_s"] for r in payload["results"] if r["threads"] == threads}
    found = []
    for line in payload["lines"]:
        own, other = at.get((line["case"], line["ours"])), at.get((line["case"], line["other"]))
        if own and other and family(line["called"]):
            case = line["case"].removeprefix(f"{line['work']}, ").replace(" x ", " × ")
            found.append((f"{line['work']}, {case}", line["called"], statistics.median(paired(other, own))))
    return found


def draw(payload: dict[str, Any], threads: int, path: Path) -> None:
    """The whole chart."""
    options = {"font.family": "DejaVu Sans", "font.size": 9, "svg.fonttype": "path", "svg.hashsalt": "closedform"}
    plt.rcParams.update(options)
    rows = bars(payload, threads)
    if not rows:
        raise SystemExit(f"no results with {threads} thread(s) in this file")
    figure, axes = plt.subplots(figsize=(9.6, 1.3 + 0.27 * len(rows)), layout="constrained")
    used = {}
    for place, (_, name, ratio) in enumerate(rows):
        style = family(name)
        assert style is not None
        used[style[1]] = style[0]
        axes.barh(place, ratio - 1, left=1, height=0.72, color=style[0], zorder=2)
        text = f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.2g}×"
        axes.annotate(
            f"{text} {name}", (max(ratio, 1), place), (4, 0), textcoords="offset points", va="center", color=INK
        )
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.set_ylim(len(rows) - 0.45, -0.55)
    decorate(axes, min(1.0, *(ratio for _, _, ratio in rows)), max(ratio for _, _, ratio in rows))
    axes.set_xlabel("times as long as ours (log scale)", color=INK)
    handles = [Patch(color=colour, label=legend) for legend, colour in used.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), frameon=False, handlelength=1.2)
    machine = payload["machine"]
    packages = ", ".join(f"{name} {machine['packages'][name]}" for name in ("torch", "pymatting", "scikit-image"))
    note = (
        f"{machine['cpu']}, {threads} thread{'s' if threads > 1 else ''}; {packages}; {machine['date'][:10]}. Medians."
    )
    figure.supxlabel(note, fontsize=8, color=FAINT, x=0.01, ha="left")
    metadata = {"Date": None} if path.suffix == ".svg" else None  # the same figures give the same file
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white", dpi=110, metadata=metadata)
    plt.close(figure)


def decorate(axes: Axes, low: float, high: float) -> None:
    """Scale, the line of ours, and no more frame than needed."""
    axes.set_xscale("log")
    axes.set_xlim(low * 0.85, high * 40)  # room for the names
    axes.xaxis.set_major_locator(LogLocator(base=10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "ours, 1×" if value == 1 else f"{value:g}×"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.axvline(1, color=INK, linewidth=1.2, zorder=4)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="both", which="both", length=0, colors=INK)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="the file to write: .svg or .png")
    parser.add_argument("--threads", type=int, default=1, help="which of the measured thread counts (default 1)")
    parser.add_argument("--results", type=Path, default=RESULTS / "speed.json", help="default: %(default)s")
    args = parser.parse_args()
    draw(json.loads(args.results.read_text()), args.threads, args.path)
