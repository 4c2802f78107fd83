"""The tables of the settings benchmark."""

from __future__ import annotations

from statistics import mean
from typing import Any

from common.harness import table

TITLES = {"solver": "From marks: `solve_matting`", "filter": "After a network or CAMs: `refine_prediction`"}


def words(options: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in options.items() if name != "score")


def best(rows: dict[str, Any], names: list[str]) -> int:
    """The setting with the largest mean score over these sets."""
    count = len(next(iter(rows.values()))["sweep"])
    return max(range(count), key=lambda k: mean(rows[name]["sweep"][k]["score"] for name in names))


def _compared(rows: dict[str, Any]) -> str:
    cells, columns = [], []
    for name, row in rows.items():
        others, own = best(rows, [other for other in rows if other != name]), best(rows, [name])
        scores = [row["default"], row["advice"], row["sweep"][others]["score"], row["sweep"][own]["score"]]
        columns.append(scores)
        cells.append(
            [name, *(f"{score:.4f}" for score in scores), words(row["sweep"][others]), words(row["sweep"][own])]
        )
    cells.append(["mean", *(f"{mean(column):.4f}" for column in zip(*columns, strict=True)), "", ""])
    return table(["set", "defaults", "advice", "best of the others", "best", "the others chose", "best is"], cells)


def _advice(rows: dict[str, Any]) -> str:
    cells = []
    for name, row in rows.items():
        middle = {
            option: sorted(found[option] for found in row["advised"])[len(row["advised"]) // 2]
            for option in row["advised"][0]
        }
        cells.append(f"{name}: {words({option: float(f'{value:.1g}') for option, value in middle.items()})}")
    return "; ".join(cells)


def _sweep(rows: dict[str, Any]) -> str:
    names = list(rows)
    settings = rows[names[0]]["sweep"]
    cells = []
    for k, found in enumerate(settings):
        cells.append([words(found), *(f"{rows[name]['sweep'][k]['score']:.4f}" for name in names)])
    return table(["setting", *names], cells)


def markdown(payload: dict[str, Any]) -> str:
    """The comparison of each task, and the whole sweep."""
    images = ", ".join(f"{name} {count}" for name, count in payload["images"].items())
    text = (
        f"Mean IoU over all images of a set in one confusion matrix, at the size of the labels. Images: {images}. "
        "`advice` is `suggest_settings` of each image and its marks. `best of the others` is the setting of the grid "
        "with the best mean over the other sets, so it has not seen this one; `best` has. The filter gets the "
        "probabilities of networks (acdc, camvid) or class activation maps with the background's score (1 - max)^2 "
        "(voc_scribbles, ecssd), and no marks. Of the advice, the factor of eps was chosen on synthetic slices. That "
        "colour and the filter keep the default eps, and the distances of marks from which scale and fidelity follow, "
        "were chosen with this sweep in view: for them `advice` has seen the images, as `best` has.\n"
    )
    for task, rows in payload["tasks"].items():
        text += f"\n## {TITLES[task]}\n\n{_compared(rows)}\n\nMedian advice. {_advice(rows)}.\n"
    for task, rows in payload["tasks"].items():
        text += f"\n## The sweep of {TITLES[task].split(': ')[1]}\n\n{_sweep(rows)}\n"
    return text.rstrip()
