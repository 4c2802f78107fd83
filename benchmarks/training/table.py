"""The table of the training benchmark."""

from __future__ import annotations

import statistics
from typing import Any

from common.harness import table

from training.rows import ROWS


def gap_closed(score: float, lower: float, upper: float) -> float:
    """Where a score stands between the bounds, in per cent."""
    return 100 * (score - lower) / (upper - lower)


def mean_and_spread(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def markdown(results: dict[str, Any]) -> str:
    """What was measured, and one row for each kind of run that is done."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for run in results["runs"]:
        runs.setdefault(run["row"], []).append(run)
    score = {name: statistics.mean(run["mean_iou"] for run in found) for name, found in runs.items()}
    cells = []
    for row in ROWS:
        if row.name not in runs:
            continue
        found, lower, upper = runs[row.name], score.get(f"{row.marks}-ce"), score.get("masks")
        bound = row.marks == "masks" or lower is None or upper is None
        cells.append(
            [
                row.marks,
                row.title,
                mean_and_spread([run["mean_iou"] for run in found]),
                "" if bound else f"{gap_closed(score[row.name], lower, upper):.0f} %",
                mean_and_spread([run["pixel_accuracy"] for run in found]),
                str(len(found)),
            ]
        )
    settings = results["settings"]
    text = (
        f"Mean IoU over the classes and pixel accuracy on {settings['data']}'s val images, at the labels' size, after "
        f"{settings['epochs']} epochs of `examples/train_segmentation.py` at {settings['size'][1]} x "
        f"{settings['size'][0]}; mean and standard deviation over seeds. **gap**: how much of the way from the "
        "cross-entropy on the same marks to full masks. All rows have the same network, schedule and number of "
        "steps.\n\n"
    )
    return text + table(["marks", "training", "mean IoU", "gap", "pixel accuracy", "seeds"], cells)
