"""A chart of results/training.json: the mean IoU of every row, a dot for each seed.

python benchmarks training.chart FILE.svg
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from common.chart import FAINT, INK
from common.harness import RESULTS

from training.rows import ROWS, Row

OURS, OTHERS, BOUNDS = "#D55E00", "#56B4E9", "#999999"


def colour(row: Row) -> str:
    if row.marks == "masks" or row.name.endswith("-ce"):
        return BOUNDS
    return OURS if "recipe" in row.title or "closed-form" in row.title or "learning-based" in row.title else OTHERS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    args = parser.parse_args()
    scores: dict[str, list[float]] = {}
    for run in json.loads((RESULTS / "training.json").read_text())["runs"]:
        scores.setdefault(run["row"], []).append(run["mean_iou"])
    rows = [row for row in ROWS if row.name in scores]

    plt.rcParams.update({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "training", "text.color": INK})
    figure, axes = plt.subplots(figsize=(7.2, 0.8 + 0.27 * len(rows)))
    for place, row in enumerate(rows):
        values = scores[row.name]
        axes.barh(place, statistics.mean(values), color=colour(row), alpha=0.75, height=0.66)
        axes.plot(values, [place] * len(values), "o", color=INK, markersize=3)
    labels = [row.title.replace("*", "") + ("" if row.marks == "masks" else f", {row.marks}") for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("mean IoU on val; a dot for each seed")
    axes.grid(axis="x", color=FAINT)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.tight_layout()
    figure.savefig(args.file, metadata={"Date": None, "Creator": None})
