"""The tables of the medical benchmark."""

from __future__ import annotations

from typing import Any

from common.harness import table

ORGANS = ("right ventricle", "myocardium", "left ventricle")
NAMED = ("eps", "fidelity", "scale", "beta")
TASKS = {
    "From marks to masks": ("nearest mark", "random walker", "solver", "learning-based"),
    "After a network": ("network", "filter"),
    "After a network, with the marks": ("filter with marks",),
}


def settings(options: dict[str, Any]) -> str:
    """Options in words."""
    size = ["at the slice's size"] if options.get("native") else []
    return ", ".join([*size, *(f"{name} {value:g}" for name, value in options.items() if name in NAMED)])


def _task(payload: dict[str, Any], names: tuple[str, ...]) -> str:
    rows = [row for name in names for row in payload["rows"] if row["method"] == name]
    return table(
        ["method", "settings", "Dice", *ORGANS, "ms a slice"],
        [
            [
                row["method"],
                ": ".join(part for part in (row["settings"], settings(row["options"])) if part),
                f"{row['dice']:.3f}",
                *(f"{value:.3f}" for value in row["organs"]),
                f"{row['milliseconds']:.0f}",
            ]
            for row in rows
        ],
    )


def _tuning(tried: list[dict[str, Any]]) -> str:
    """Dice by eps (or beta) along the columns, and the other options along the rows."""
    column = "beta" if "beta" in tried[0] else "eps"
    values = list(dict.fromkeys(found[column] for found in tried))
    rows: dict[str, dict[float, float]] = {}
    for found in tried:
        others = {name: value for name, value in found.items() if name != column}
        rows.setdefault(settings(others), {})[found[column]] = found["dice"]
    return table(
        ["", *(f"{column} {value:g}" for value in values)],
        [[name, *(f"{row[value]:.3f}" if value in row else "" for value in values)] for name, row in rows.items()],
    )


def markdown(payload: dict[str, Any]) -> str:
    """What was measured, a table for each task, and how the settings were chosen."""
    slices = payload["slices"]
    text = (
        f"ACDC, human scribbles on grey slices: {slices['test']} slices, every second one of the 15 patients of val/. "
        "Dice is the mean over patients and the three organs, all slices of a patient together. `default` has the "
        f"defaults of the function; `chosen` is the best of the grids below on {slices['tuning']} slices of ten other "
        "patients. `nearest mark` does not see the image. `random walker` is that of scikit-image. The solver has the "
        "tolerance 1e-2 in all rows, which is enough for labels. `network` was trained by self-training from the "
        "scribbles of the other 60 patients, for 12 epochs at 128 x 128, and predicts at this size. `filter` is "
        "`refine_prediction`, at this size unless a row says otherwise. Times are medians with "
        f"{payload['machine']['threads']} thread(s).\n"
    )
    for title, names in TASKS.items():
        text += f"\n## {title}\n\n{_task(payload, names)}\n"
    text += "\n## How the settings were chosen\n\nDice on the ten patients.\n"
    for name, tried in payload["tuning"].items():
        text += f"\n**{name}**\n\n{_tuning(tried)}\n"
    return text.rstrip()
