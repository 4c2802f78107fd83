"""Grey medical images: human scribbles to masks, and the filter after a network, on ACDC.

    python benchmarks medical DATA             everything; about 25 minutes of one core
    python benchmarks medical DATA --limit 20  the first slices; result files get the suffix _quick

DATA holds acdc/train/ and acdc/val/, each with images/*.jpg, labels/*.png and scribbles/*.png, named patientNNN_....
Settings are chosen on every third slice of the training patients whose number is a multiple of 7, and measured on
every second slice of the patients of val/. A network is trained on the other training patients. It and what was
measured are kept in --work, so an interrupted run continues; what was measured by another version or on another machine
is measured anew. Needs the extra "examples".

Writes results/medical.json and .md.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from common.dice import PatientDice
from common.harness import describe_machine, write_json, write_markdown
from common.kept import Kept
from torch import Tensor

from medical.methods import filtered, nearest, solver, walker
from medical.network import probabilities, trained
from medical.slices import CLASSES, Slice, files, read
from medical.table import markdown

Options = dict[str, Any]
Method = Callable[..., Tensor]

EPS = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
BETAS = (130, 500, 2000, 8000, 32000)
FIDELITIES = (0.003, 0.01, 0.03, 0.1, 0.3)
EVERY_TUNING, EVERY_TEST = 3, 2
# The tasks: what the method gets, its defaults, and the settings to choose from.
GRIDS: dict[str, list[Options]] = {
    "solver": [{"eps": eps} for eps in EPS] + [{"eps": eps, "scale": 0.5} for eps in EPS],
    "learning-based": [{"kind": "learning_based", "eps": eps} for eps in EPS[::2]],
    "random walker": [{"beta": beta} for beta in BETAS],
    "filter": [
        {"native": native, "eps": eps, "fidelity": fidelity}
        for native, eps, fidelity in product((False, True), EPS[::2], FIDELITIES)
    ],
    "filter with marks": [
        {"native": native, "eps": eps, "fidelity": fidelity}
        for native, eps, fidelity in product((False, True), EPS[::2], FIDELITIES)
    ],
}
DEFAULTS: dict[str, Options] = {
    "solver": {},
    "learning-based": {"kind": "learning_based"},
    "random walker": {"beta": 130},
    "filter": {"native": False},
    "filter with marks": {"native": False},
}


METHODS: dict[str, Method] = {
    "nearest mark": nearest,
    "random walker": walker,
    "solver": solver,
    "learning-based": solver,
    "network": partial(filtered, marked=False, native=False, fidelity=1e3),  # which changes nothing
    "filter": partial(filtered, marked=False),
    "filter with marks": partial(filtered, marked=True),
}
NEED_NETWORK = ("network", "filter", "filter with marks")


def measure(method: Method, slices: list[Slice], maps: list[Tensor] | None = None) -> dict[str, Any]:
    """Dice over patients, of the organs and in the mean, and the median time of a slice."""
    dice, seconds = PatientDice(CLASSES), []
    for number, item in enumerate(slices):
        given = () if maps is None else (maps[number],)
        started = time.perf_counter()
        found = method(item, *given)
        seconds.append(time.perf_counter() - started)
        dice.add(item.name, found, item.label)
    return {"dice": dice.mean(), "organs": dice.of_organs(), "milliseconds": 1e3 * statistics.median(seconds)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path)
    parser.add_argument("--work", type=Path, default=Path("medical_runs"), help="folder of the network")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N slices of both parts only")
    parser.add_argument("--threads", type=int, default=1, help="default 1")
    args = parser.parse_args()
    if not (args.data / "acdc" / "val" / "scribbles").is_dir():
        parser.error("DATA must hold acdc/train/ and acdc/val/ with images/, labels/ and scribbles/")
    return args


class Measured:
    """What was measured, by method, options and part; kept in a file."""

    def __init__(self, args: argparse.Namespace, machine: dict[str, Any]) -> None:
        self.args = args
        self.slices = {
            "tuning": read(files(args.data / "acdc" / "train", tuning=True)[::EVERY_TUNING][: args.limit]),
            "test": read(files(args.data / "acdc" / "val")[::EVERY_TEST][: args.limit]),
        }
        names = {part: [item.name for item in slices] for part, slices in self.slices.items()}
        self.kept = Kept(args.work / f"measured{args.limit or ''}.json", machine, names)

    @cached_property
    def maps(self) -> dict[str, list[Tensor]]:
        """The network's probabilities."""
        model = trained(self.args.data / "acdc", self.args.work)
        return {part: [probabilities(model, item) for item in slices] for part, slices in self.slices.items()}

    def __call__(self, name: str, options: Options, part: str) -> dict[str, Any]:
        def run() -> dict[str, Any]:
            maps = self.maps[part] if name in NEED_NETWORK else None
            found = measure(partial(METHODS[name], **options), self.slices[part], maps)
            print(f"{name}, {options}, {part}: {found['dice']:.4f}", file=sys.stderr, flush=True)
            return found

        value: dict[str, Any] = self.kept.get(json.dumps([name, options, part]), run)
        return value


@torch.no_grad()
def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    machine = describe_machine()
    run = Measured(args, machine)
    payload: dict[str, Any] = {
        "machine": machine,
        "slices": {part: len(slices) for part, slices in run.slices.items()},
        "tuning": {},
        "rows": [],
    }
    for name in METHODS:
        grid = GRIDS.get(name, [])
        settings = [("default" if grid else "", DEFAULTS.get(name, {}))]
        if grid:
            payload["tuning"][name] = tried = [{**options, **run(name, options, "tuning")} for options in grid]
            settings += [("chosen", grid[max(range(len(grid)), key=lambda k: tried[k]["dice"])])]
        for label, options in settings:
            row = {"method": name, "settings": label, "options": options, **run(name, options, "test")}
            payload["rows"].append(row)
    result = "medical" + ("_quick" if args.limit else "")
    write_json(result, payload)
    folders = {str(args.data): "DATA", str(args.work): "WORK"}
    options = [folders.get(option, option) for option in sys.argv[1:]]
    command = shlex.join(["python", "benchmarks", "medical", *options])
    write_markdown(result, "Grey medical images", command, machine, markdown(payload))
