"""Does suggest_settings help? Its settings against the defaults, the best of a set, and the best of the other sets.

    python benchmarks settings DATA --work WORK               everything; about half an hour of one core
    python benchmarks settings DATA --work WORK --only solver

DATA holds acdc/val/, camvid/val/, voc_scribbles/val/ and ecssd/, each with images/*.jpg, labels/*.png, scribbles/*.png,
and cams/*.npz where there is no network; WORK holds acdc.pt and camvid.pt, networks of examples/train_segmentation.py,
such as of `benchmarks medical`. What was measured is kept in WORK, so an interrupted run continues; what was measured
by another version, on another machine or with other networks is measured anew.

Writes results/settings.json and .md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from common.harness import describe_machine, write_json, write_markdown
from common.kept import Kept

from closedform_wsss import suggest_settings
from settings.sets import SETS, Item, Set, files, read
from settings.sweep import DEFAULTS, GRIDS, Options, score
from settings.table import markdown


def advised(task: str, item: Item) -> Options:
    """What :func:`suggest_settings` says of an image and its marks."""
    found = suggest_settings(item.image, item.marks)
    if task == "filter":  # the eps is for the solver
        return {"eps": DEFAULTS[task]["eps"], "fidelity": found.fidelity, "scale": found.scale}
    return {"eps": found.eps, "scale": found.scale}


class Scores:
    """Scores by task, set and options; kept in a file."""

    def __init__(self, work: Path, machine: dict[str, Any], inputs: Any) -> None:
        self.kept = Kept(work / "settings.json", machine, inputs)

    def __call__(self, task: str, chosen: Set, items: list[Item], options: list[Options]) -> float:
        key = f"{task} {chosen.name} {json.dumps(options[0] if options.count(options[0]) == len(options) else options)}"

        def run() -> float:
            found = score(task, items, options)
            print(f"{key[:100]}: {found:.4f}", file=sys.stderr, flush=True)
            return found

        value: float = self.kept.get(key, run)
        return value


def inputs(data: Path, work: Path) -> dict[str, Any]:
    """What the scores depend on: the names of the images, and the networks."""
    networks = [work / f"{chosen.name}.pt" for chosen in SETS if chosen.network is not None]
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in networks if file.exists()}
    return {"images": {chosen.name: [file.stem for file in files(data, chosen)] for chosen in SETS}} | digests


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", choices=GRIDS, help="one task; result files get the suffix _quick")
    args = parser.parse_args()
    torch.set_num_threads(1)
    machine = describe_machine()
    payload: dict[str, Any] = {"machine": machine, "images": {}, "tasks": {}}
    scores = Scores(args.work, machine, inputs(args.data, args.work))
    for task, grid in GRIDS.items():
        if args.only not in (None, task):
            continue
        payload["tasks"][task] = rows = {}
        for chosen in SETS:
            items = read(args.data, args.work if task == "filter" else None, chosen)
            payload["images"][chosen.name] = len(items)
            swept = [{**options, "score": scores(task, chosen, items, [options] * len(items))} for options in grid]
            advice = [advised(task, item) for item in items]
            rows[chosen.name] = {
                "sweep": swept,
                "default": scores(task, chosen, items, [DEFAULTS[task]] * len(items)),
                "advice": scores(task, chosen, items, advice),
                "advised": advice,
            }
    result = "settings" + ("_quick" if args.only else "")
    write_json(result, payload)
    command = "python benchmarks settings DATA --work WORK" + (f" --only {args.only}" if args.only else "")
    write_markdown(result, "Settings of solver and filter", command, machine, markdown(payload))
