"""Does it teach? A network trained from marks with every loss, against masks and against baselines.

    python benchmarks training DATA                          every row, three seeds, two runs at a time
    python benchmarks training DATA --rows masks recipe      these
    python benchmarks training DATA --seeds 0 --jobs 1
    python benchmarks training DATA --report                 nothing: the tables of what is done

DATA holds train/ and val/, each with images/ and labels/, train/ also scribbles/, points/ or cams/. Every run is one of
examples/train_segmentation.py with its default network and schedule (what else, says ROWS); the baselines' losses are
added there. A run that is done, its folder in --work says so, is not done again. Needs the extra "examples".

Writes results/training.json and .md from all runs that are done.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from common.harness import describe_machine, write_json, write_markdown
from common.paths import ROOT, script

from training.rows import ROWS, Row
from training.table import markdown

EXAMPLES = ROOT / "examples"


def child(argv: list[str]) -> None:
    """One run, with the baselines among the losses; ``--set NAME=VALUE`` changes the self-training: FILTER, REPEATS."""
    sys.path.insert(0, str(EXAMPLES))
    import train_segmentation
    from segmentation import losses

    from training import baselines, filters

    def baseline(name: str):
        return lambda batch: getattr(baselines, name)(batch.logits.softmax(1), batch.image)

    losses.LOSSES.update({name: baseline(name) for name in baselines.BASELINES})
    while "--set" in argv:
        at = argv.index("--set")
        name, value = argv[at + 1].split("=")
        if name == "REPEATS":
            recipes = train_segmentation.RECIPES
            recipes.update({kind: replace(recipe, repeats=(int(value),) * 2) for kind, recipe in recipes.items()})
        else:
            assert name == "FILTER", name
            module = importlib.import_module("closedform_wsss.functional.refine_prediction")
            module.matting_filter = getattr(filters, value)
        del argv[at : at + 2]
    train_segmentation.main(argv)


def command(row: Row, seed: int, args: argparse.Namespace) -> list[str]:
    data = [str(args.data / "train"), "--val", str(args.data / "val"), "--classes", str(args.classes)]
    return [
        *(*script("training"), "--child", *data, "--size", *map(str, args.size), "--epochs", str(args.epochs)),
        *("--seed", str(seed), "--quiet", "--val-every", str(args.epochs), "-o", str(folder(row, seed, args))),
        *(["--device", args.device] if args.device else []),
        *shlex.split(row.arguments),
    ]


def folder(row: Row, seed: int, args: argparse.Namespace) -> Path:
    return args.work / f"{row.name}-{seed}"


def run(row: Row, seed: int, args: argparse.Namespace) -> None:
    where = folder(row, seed, args)
    if (where / "scores.json").exists():
        return
    where.mkdir(parents=True, exist_ok=True)
    # One thread a run: two runs side by side take less time than one after the other on two threads each.
    environment = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
    with (where / "output.txt").open("w") as stream:
        done = subprocess.run(command(row, seed, args), env=environment, stdout=stream, stderr=subprocess.STDOUT)
    for file in (where / "pseudo_labels").glob("*.npy"):
        file.unlink()
    print(f"{where.name}: " + ("done" if done.returncode == 0 else f"failed, see {where / 'output.txt'}"), flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path)
    parser.add_argument("--rows", nargs="+", choices=[row.name for row in ROWS], help="default all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--classes", type=int, default=11)
    parser.add_argument("--size", type=int, nargs=2, default=[180, 240])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default 2)")
    parser.add_argument("--threads", type=int, default=1, help="of a run (default 1)")
    parser.add_argument("--device", help="default cuda where there is one")
    parser.add_argument("--work", type=Path, default=Path("training_runs"), help="folder of the runs")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--name", default="training", help="of the results")
    args = parser.parse_args()

    machine = describe_machine()
    there = [row for row in ROWS if (args.data / "train" / row.targets).is_dir()]
    rows = [row for row in there if args.rows is None or row.name in args.rows]
    if not args.report:
        with ThreadPoolExecutor(args.jobs) as pool:  # all rows with one seed before the next seed
            list(pool.map(lambda pair: run(*pair, args), [(row, seed) for seed in args.seeds for row in rows]))
    runs = [
        {"row": row.name, "seed": int(file.parent.name.rpartition("-")[2]), **json.loads(file.read_text())}
        for row in ROWS
        for file in sorted(args.work.glob(f"{row.name}-[0-9]*/scores.json"))
    ]
    settings = {"classes": args.classes, "size": args.size, "epochs": args.epochs, "data": args.data.name}
    results = {"machine": machine, "settings": settings, "runs": runs}
    write_json(args.name, results)
    # Which rows and seeds are done, the table says.
    size = f"{args.size[0]} {args.size[1]}"
    how = f"python benchmarks training DATA --classes {args.classes} --epochs {args.epochs} --size {size}"
    write_markdown(args.name, "Training from marks", how, machine, markdown(results))
