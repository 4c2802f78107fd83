"""One chart of results/kernels.json: how many times as long as ours each baseline takes.

    python benchmarks kernels.chart chart.svg                 one thread
    python benchmarks kernels.chart chart.svg --threads 2

Every baseline measured is drawn, those that win too; bars left of 1 are faster than ours.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from common.chart import FAINT, INK
from common.harness import RESULTS
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Okabe and Ito's colours, which stay apart for colour-blind readers and in grey.
FAMILIES = {
    "pymatting": ("#0072B2", "pymatting"),
    "plain PyTorch": ("#E69F00", "PyTorch, sparse CSR"),
    "torch CSR": ("#E69F00", "PyTorch, sparse CSR"),
    "scipy CSR": ("#009E73", "SciPy, sparse CSR"),
}
PANELS = {
    "build": "Build the operator",
    "product": "Product y = L x, {classes} classes",
    "loss": "Loss, forward and backward, {loss}",
}


def family(name: str) -> tuple[str, str] | None:
    """Colour and legend of a baseline; None for what is no baseline (ours, copies, softmax)."""
    return next((style for start, style in FAMILIES.items() if name.startswith(start)), None)


def bars(results: list[dict[str, Any]], section: str, threads: int) -> list[tuple[str, dict[str, Any]]]:
    """Label and result of each bar of a panel, top to bottom."""
    chosen = []
    for result in results:
        if result["section"] != section or result["threads"] != threads or family(result["name"]) is None:
            continue
        if section == "product" and result["extra"]["classes"] != max_classes(results):
            continue
        if section == "loss" and result["extra"]["form"] == "operator":
            continue
        case = result["case"].replace(" x ", " × ")
        if section == "loss":
            case = f"{result['extra']['form']} form"
        elif section == "product":
            case = case.rpartition(", ")[0]
        chosen.append((f"{case}, {wording(result['name'])}", result))
        if section == "loss" and result["name"] == "torch CSR":
            chosen.append((f"{case}, PyTorch, matrix built too", with_operator(results, result)))
    return chosen


def with_operator(results: list[dict[str, Any]], loss: dict[str, Any]) -> dict[str, Any]:
    """A baseline's step when it builds its matrix in it, as ours does, from the medians: every step has new images."""
    same = [r for r in results if r["section"] == "loss" and r["threads"] == loss["threads"]]
    operator = next(r for r in same if r["extra"]["form"] == "operator" and r["name"].startswith("torch CSR"))
    ours = next(r for r in same if r["case"] == loss["case"] and r["name"] == "closedform_wsss")
    images = int(loss["case"].split(" x ")[0])
    ratio = (loss["median_s"] + images * operator["median_s"]) / ours["median_s"]
    return {"name": loss["name"], "ratio": ratio, "ratio_quartiles": (ratio, ratio)}


def max_classes(results: list[dict[str, Any]]) -> int:
    """The class count shown: the largest measured."""
    return max((int(r["extra"]["classes"]) for r in results if r["section"] == "product"), default=0)


def wording(name: str) -> str:
    """What sets this bar apart from others of its colour."""
    return {
        "plain PyTorch": "PyTorch",
        "torch CSR alone": "PyTorch, product alone",
        "torch CSR with transposes": "PyTorch, with transposes",
        "scipy CSR": "SciPy",
        "torch CSR": "PyTorch, own backward",
        "torch CSR, autograd": "PyTorch, autograd",
    }.get(name, name)


def panel(axes: Axes, title: str, rows: list[tuple[str, dict[str, Any]]]) -> None:
    """Horizontal bars from 1, with quartiles and the number."""
    for place, (_, result) in enumerate(rows):
        style = family(result["name"])
        assert style is not None
        ratio, (low, high) = result["ratio"], result["ratio_quartiles"]
        axes.barh(place, ratio - 1, left=1, height=0.72, color=style[0], zorder=2)
        axes.plot([low, high], [place, place], color=INK, linewidth=1.6, zorder=3, solid_capstyle="butt")
        text = f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×"
        edge = max(high, ratio, 1)
        axes.annotate(
            text,
            (edge, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
            color=INK,
        )
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=4)


def draw(payload: dict[str, Any], threads: int, path: Path) -> None:
    """The whole chart."""
    plt.rcParams.update(
        {"font.family": "DejaVu Sans", "font.size": 10, "svg.fonttype": "path", "svg.hashsalt": "closedform"}
    )
    results = payload["results"]
    panels = {section: bars(results, section, threads) for section in PANELS}
    panels = {section: rows for section, rows in panels.items() if rows}
    if not panels:
        raise SystemExit(f"no results with {threads} thread(s) in this file")
    ratios = [result["ratio_quartiles"] for rows in panels.values() for _, result in rows]
    low, high = min(1.0, *(pair[0] for pair in ratios)), max(pair[1] for pair in ratios)

    counts = [len(rows) for rows in panels.values()]
    figure, grid = plt.subplots(
        *(len(panels), 1),
        figsize=(8.4, 1.75 + 0.27 * sum(counts) + 0.34 * len(counts)),
        sharex=True,
        squeeze=False,
        gridspec_kw={"height_ratios": [count + 0.1 for count in counts]},
        layout="constrained",
    )
    for axes, (section, rows) in zip(grid[:, 0], panels.items(), strict=True):
        shape = rows[0][1]["case"].rpartition(", ")[0].replace(" x ", " × ")
        panel(axes, PANELS[section].format(classes=max_classes(results), loss=shape), rows)
        decorate(axes, low, high)
    grid[-1, 0].tick_params(axis="x", length=3)
    grid[-1, 0].set_xlabel("times as long as ours (log scale)", color=INK)

    used = {family(result["name"]) for rows in panels.values() for _, result in rows}
    handles = [Patch(color=style[0], label=style[1]) for style in dict.fromkeys(FAMILIES.values()) if style in used]
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False, handlelength=1.2)
    machine = payload["machine"]
    packages = ", ".join(f"{name} {machine['packages'][name]}" for name in ("torch", "pymatting", "scipy"))
    note = (
        f"{machine['cpu']}, {threads} thread{'s' if threads > 1 else ''}; {packages}; "
        f"{machine['date'][:10]}. Medians; lines are quartiles.\n"
        "In the loss the baselines' matrices are built beforehand unless it says so, ours anew in every step."
    )
    figure.supxlabel(note, fontsize=8, color=FAINT, x=0.01, ha="left")
    metadata = {"Date": None} if path.suffix == ".svg" else None  # the same figures give the same file
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white", dpi=110, metadata=metadata)
    plt.close(figure)


def decorate(axes: Axes, low: float, high: float) -> None:
    """Scale, the line of ours, and no more frame than needed."""
    axes.set_xscale("log")
    axes.set_xlim(low * 0.85, high * 2)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5) if high < 50 else (1,)))
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
    parser.add_argument("--results", type=Path, default=RESULTS / "kernels.json", help="default: %(default)s")
    args = parser.parse_args()
    draw(json.loads(args.results.read_text()), args.threads, args.path)
