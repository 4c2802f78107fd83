"""The tables of the training benchmark."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection
from typing import Any

from common.harness import table

from training.rows import MASKS, ROWS, Row
from training.sets import SETS, DataSet

Case = tuple[DataSet, str]
CASES: list[Case] = [(data, marks) for data in SETS for marks in data.marks]
Scores = dict[tuple[str, str | None, str], dict[int, float]]  # of each seed


def gap_closed(score: float, lower: float, upper: float) -> float:
    """Where a score stands between the bounds, in per cent."""
    return 100 * (score - lower) / (upper - lower)


def percent(gap: float) -> str:
    """Rounded; just below zero is 0, not -0."""
    return str(round(gap))


def mean_and_spread(of_seeds: dict[int, float]) -> str:
    values = list(of_seeds.values())
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def scores_of(results: dict[str, Any], name: str) -> Scores:
    scores: Scores = {}
    for run in results["runs"]:
        if name in run:
            scores.setdefault((run["set"], run["marks"], run["row"]), {})[run["seed"]] = run[name]
    return scores


def bounds_and(scores: Scores, case: Case, row: str) -> list[dict[int, float]]:
    """Of a row, of the cross-entropy and of the masks: the score of each seed."""
    data, marks = case
    keys = ((data.name, marks, row), (data.name, marks, "ce"), (data.name, None, "masks"))
    return [scores.get(key, {}) for key in keys]


def seeds_of(scores: Scores, case: Case, row: str) -> set[int]:
    """The seeds that a row has in common with both bounds."""
    own, *bounds = bounds_and(scores, case, row)
    return set(own).intersection(*bounds)


def gap_over(scores: Scores, case: Case, row: str, seeds: Collection[int]) -> float:
    """Share of the gap that a row closes, from the means over these seeds."""
    own, lower, upper = (statistics.mean(values[seed] for seed in seeds) for values in bounds_and(scores, case, row))
    return gap_closed(own, lower, upper)


def gap_of(scores: Scores, case: Case, row: str, of: Collection[int] | None = None) -> float | None:
    """Share of the gap that a row closes, over the seeds that it has in common with both bounds; None where there is
    none. With ``of`` only these seeds count, and all must be there."""
    seeds = seeds_of(scores, case, row)
    if not seeds or not seeds.issuperset(of or ()):
        return None
    return gap_over(scores, case, row, seeds if of is None else of)


def chosen_elsewhere(scores: Scores, rows: list[Row], data: DataSet) -> Row | None:
    """Of the settings of one method that ran on other sets, the one with the best mean gap there; over the cases and
    seeds that all of these have in common, or a setting that ran on easy sets alone would win. None if there are none.
    """
    cases = [case for case in CASES if case[0] is not data]
    ran = [row for row in rows if any(gap_of(scores, case, row.name) is not None for case in cases)]
    gaps: dict[str, list[float]] = {row.name: [] for row in ran}
    for case in cases:
        seeds = set.intersection(*(seeds_of(scores, case, row.name) for row in ran)) if ran else set()
        for row in ran if seeds else ():
            gaps[row.name].append(gap_over(scores, case, row.name, seeds))
    if not any(gaps.values()):
        return None
    return max(ran, key=lambda row: statistics.mean(gaps[row.name]))


def cell(scores: Scores, case: Case, row: Row) -> str:
    data, marks = case
    found = scores.get((data.name, marks, row.name))
    gap = gap_of(scores, case, row.name)
    if not found:
        return ""
    return mean_and_spread(found) + ("" if gap is None or row.name == "ce" else f", {percent(gap)} %")


def markdown(results: dict[str, Any]) -> str:
    """Every row on every case, then the settings that are chosen on other sets."""
    scores = scores_of(results, "mean_iou")
    header = ["training"] + [f"{data.title}, {marks.replace('_', ' ')}" for data, marks in CASES] + ["seeds"]
    masks = [scores.get((data.name, None, MASKS.name)) for data, _ in CASES]
    seeds = [len(values) for values in masks if values]
    rows = [[MASKS.title, *("" if not v else mean_and_spread(v) for v in masks), str(min(seeds, default=0))]]
    for row in ROWS:
        found = [scores[key] for data, marks in CASES if (key := (data.name, marks, row.name)) in scores]
        if found:
            counts = {len(values) for values in found}
            text = str(min(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
            rows.append([row.title, *(cell(scores, case, row) for case in CASES), text])
    text = (
        "Mean IoU over the classes on the val images, at the labels' size; mean and standard deviation over seeds. "
        "In per cent: how much of the way from the cross-entropy on the same marks to full masks, over the seeds that "
        "all three have. All rows of a set "
        "have the same network and number of steps: "
        + "; ".join(f"{d.title} {d.epochs} epochs at {d.size[1]} x {d.size[0]}" for d in SETS)
        + ".\n\n"
        + table(header, rows)
    )
    return text + by_seed(scores) + left_out(scores) + dice(results) + versions(results)


def by_seed(scores: Scores) -> str:
    """How much the share of the gap depends on the seed."""
    lines = []
    for row in ROWS:
        cells = [" / ".join(gap_of_seed(scores, case, row.name, seed) for seed in (0, 1, 2)) for case in CASES]
        later = [gap_of(scores, case, row.name, (1, 2)) for case in CASES]
        if row.name != "ce" and all(gap is not None for gap in later):
            lines.append([row.title, *cells])
            lines.append(["of seeds 1 and 2", *(f"{percent(gap)} %" for gap in later)])
        elif row.name != "ce" and any(cell.strip(" /-") for cell in cells):
            lines.append([row.title, *cells])
    if not lines:
        return ""
    return (
        "\n\n**The share of each seed**, 0 / 1 / 2, in per cent; the settings were chosen with seed 0 in view:\n\n"
        + table(["training"] + [f"{data.title}, {marks.replace('_', ' ')}" for data, marks in CASES], lines)
    )


def gap_of_seed(scores: Scores, case: Case, row: str, seed: int) -> str:
    gap = gap_of(scores, case, row, (seed,))
    return "-" if gap is None else percent(gap)


def left_out(scores: Scores) -> str:
    """Methods with several settings: the setting that is best on the other sets, and its result on this one."""
    methods: dict[str, list[Row]] = {}
    for row in ROWS:
        methods.setdefault(row.method, []).append(row)
    lines = []
    ran = {name for _, _, name in scores}
    for method, rows in methods.items():
        if sum(row.name in ran for row in rows) < 2:
            continue  # nothing was chosen
        cells = []
        for case in CASES:
            row = chosen_elsewhere(scores, rows, case[0])
            gap = None if row is None else gap_of(scores, case, row.name)
            cells.append("" if row is None or gap is None else f"{percent(gap)} % ({row.setting or 'default'})")
        if any(cells):
            lines.append([method, *cells])
    if not lines:
        return ""
    header = ["method"] + [f"{data.title}, {marks.replace('_', ' ')}" for data, marks in CASES]
    return (
        "\n\n**One data set left out.** Share of the gap that each method closes on a set, with the setting (in "
        "brackets) that is best on the other sets:\n\n" + table(header, lines)
    )


def dice(results: dict[str, Any]) -> str:
    scores = scores_of(results, "dice")
    rows = [
        [row.title, mean_and_spread(values), str(len(values))]
        for row in (MASKS, *ROWS)
        for (_, _, name), values in scores.items()
        if name == row.name
    ]
    if not rows:
        return ""
    return "\n\n**ACDC: Dice** of the three organs, mean over patients:\n\n" + table(
        ["training", "Dice", "seeds"], rows
    )


def versions(results: dict[str, Any]) -> str:
    """A mean over seeds may be of several versions of the package: how many runs of each row are of which."""
    lines = []
    for row in (MASKS, *ROWS):
        runs = Counter(run.get("commit", "not recorded") for run in results["runs"] if run["row"] == row.name)
        if runs:
            lines.append([row.title, ", ".join(f"{commit} ({count})" for commit, count in runs.most_common())])
    head = ["training", "commits"]
    return "\n\n**Versions of this package**, and how many runs are of each:\n\n" + table(head, lines)
