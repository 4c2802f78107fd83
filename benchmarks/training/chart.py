"""Two charts of results/training.json: the share of the gap that each method closes, and scores over the epochs.

python benchmarks training.chart GAPS.svg CURVES.svg
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
from common.harness import RESULTS

from training.rows import MASKS, ROWS
from training.table import CASES, gap_of, percent, scores_of

OURS, OTHERS, BOUNDS = "#D55E00", "#56B4E9", "#999999"
CURVES = {"masks": BOUNDS, "rounds": OURS, "online": "#E69F00", "marks": "#009E73", "ce": INK}


def draw_gaps(results: dict[str, Any], file: Path) -> None:
    scores = scores_of(results, "mean_iou")
    cases = [case for case in CASES if any(gap_of(scores, case, row.name) for row in ROWS)]
    rows = [row for row in ROWS if row.name != "ce" and any(gap_of(scores, case, row.name) for case in cases)]
    figure, panels = plt.subplots(
        1, len(cases), figsize=(3.2 + 1.3 * len(cases), 1.7 + 0.24 * len(rows)), sharey=True, squeeze=False
    )
    for (data, marks), axes in zip(cases, panels[0], strict=True):
        gaps = [gap_of(scores, (data, marks), row.name) for row in rows]
        colours = [OURS if "**" in row.title else OTHERS for row in rows]
        axes.barh(range(len(rows)), [max(gap or 0, 0) for gap in gaps], color=colours, height=0.66)
        for k, gap in enumerate(gaps):
            if gap is None or gap < 0:  # a bar would leave the panel
                text = "not run" if gap is None else f"{percent(gap)} %"
                axes.text(3, k, text, fontsize=7, color=FAINT, va="center")
        axes.set_title(f"{data.title}\n{marks.replace('_', ' ')}", fontsize=9)
        axes.set_xlim(0, 100)
        _plain(axes, "x")
    panels[0][0].set_yticks(range(len(rows)), [row.title.replace("*", "") for row in rows])
    panels[0][0].invert_yaxis()
    figure.supxlabel("share of the gap between the marks alone and full masks, %", fontsize=9)
    _save(figure, file)


def draw_curves(results: dict[str, Any], file: Path) -> None:
    figure, panels = plt.subplots(1, len(CASES), figsize=(2.1 * len(CASES), 2.6), squeeze=False)
    titles = {row.name: row.title.replace("*", "").split(" (")[0] for row in (MASKS, *ROWS)}
    for (data, marks), axes in zip(CASES, panels[0], strict=True):
        for name, colour in CURVES.items():
            found = [
                run["curve"]
                for run in results["runs"]
                if run["set"] == data.name and run["row"] == name and run["marks"] in (None, marks)
            ]
            if found:
                epochs, means = mean_curve(found)
                axes.plot(epochs, means, "-o", color=colour, markersize=3, label=titles[name])
                axes.set_xticks(epochs)
        axes.set_title(f"{data.title}\n{marks.replace('_', ' ')}", fontsize=9)
        axes.set_xlabel("epoch")
        _plain(axes, "both")
    panels[0][0].set_ylabel("mean IoU on val")
    handles, labels = max((axes.get_legend_handles_labels() for axes in panels[0]), key=lambda found: len(found[0]))
    figure.legend(handles, labels, loc="lower center", ncols=len(CURVES), frameon=False, fontsize=8)
    figure.subplots_adjust(bottom=0.32)
    _save(figure, file, tight=False)


def mean_curve(curves: list[list[tuple[int, float]]]) -> tuple[list[int], list[float]]:
    """Epochs at which all of them have a score, and the means."""
    of_epoch = [dict(curve) for curve in curves]
    epochs = sorted(set.intersection(*map(set, of_epoch)))
    return epochs, [statistics.mean(scores[epoch] for scores in of_epoch) for epoch in epochs]


def _plain(axes: Any, grid: str) -> None:
    axes.grid(axis=grid, color=FAINT, alpha=0.3)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _save(figure: Any, file: Path, *, tight: bool = True) -> None:
    if tight:
        figure.tight_layout()
    else:
        figure.subplots_adjust(left=0.06, right=0.99, top=0.84, wspace=0.35)
    figure.savefig(file, metadata={"Date": None, "Creator": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gaps", metavar="GAPS", type=Path)
    parser.add_argument("curves", metavar="CURVES", type=Path)
    args = parser.parse_args()
    plt.rcParams.update({"font.size": 8, "svg.fonttype": "none", "svg.hashsalt": "training", "text.color": INK})
    results = json.loads((RESULTS / "training.json").read_text())
    draw_gaps(results, args.gaps)
    draw_curves(results, args.curves)
