"""Does it teach? A network trained from marks with every method, on every data set, against masks and baselines.

    python benchmarks training DATA                                    everything; many hours, two runs at a time
    python benchmarks training DATA --rows masks ce rounds --sets camvid
    python benchmarks training DATA --seeds 0 --jobs 1
    python benchmarks training DATA --keep                             those that results/training.json does not hold
    python benchmarks training DATA --report                           nothing: the tables of what is done

DATA holds the folders of the data sets (sets.py). Every run is one of examples/train_segmentation.py with its default
network and schedule and the arguments of its row (rows.py); the baselines' losses are added here. A run that is done,
its folder in --work says so, is not done again, and one that was cut goes on. A run that other arguments made is an
error. Needs the extra "examples". The exit status is 1 if a run failed.

Writes results/training.json and .md from all runs that are done; with --keep, also from those that the file held.
"""

from __future__ import annotations

import argparse
import ast
import csv
import json
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.harness import RESULTS, describe_machine, write_json, write_markdown
from common.machine import commit
from common.paths import ROOT, script

from training.rows import CONSTANTS, LEFT_OUT, MASKS, ROUNDS, ROWS, Row
from training.sets import SETS, DataSet
from training.table import markdown

EXAMPLES = ROOT / "examples"
SEEDS = (0, 1, 2)  # the table compares the means of rows over these


def child(argv: list[str]) -> None:
    """One run, ``--set NAME=VALUE`` changes recipe, filter or a rule's constant."""
    sys.path.insert(0, str(EXAMPLES))
    import train_segmentation
    from segmentation import losses

    from training import baselines, filters
    from training.dice import dice_of_patients
    from training.observed import ObservedTrainer

    losses.LOSSES.update(baselines.LOSSES)
    train_segmentation.WHOLE += baselines.WHOLE
    train_segmentation.Trainer = ObservedTrainer
    given = kept_arguments(argv)
    while "--set" in argv:
        at = argv.index("--set")
        name, value = argv[at + 1].split("=")
        if name == "filter":
            filters.use(value)
        elif name in CONSTANTS:
            setattr(CONSTANTS[name], name, ast.literal_eval(value))
        else:
            train_segmentation.RECIPE = replace(train_segmentation.RECIPE, **{name: ast.literal_eval(value)})
        del argv[at : at + 2]
    args = train_segmentation.parse(argv)
    versions = commits_of(args.output, commit())
    train_segmentation.main(argv)
    more: dict[str, Any] = {"commit": versions, "arguments": given}
    if next((args.val / "images").glob("patient*"), None):
        more["dice"] = dice_of_patients(args)
    file = args.output / "scores.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | more, indent=1))


def commits_of(output: Path, now: str) -> str:
    """The commit that a run is of, or several if it was cut and goes on with another version."""
    file = output / "commits.txt"
    found = file.read_text().splitlines() if file.exists() and (output / "last.pt").exists() else []
    if now not in found:
        found.append(now)
    output.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(found) + "\n")
    return ", then ".join(found)


def kept_arguments(argv: list[str]) -> list[str]:
    """What decides the result of a run: without folders, the device, and how often it is scored."""
    apart, kept = ("--val", "-o", "--device", "--val-every"), []
    words = iter(argv[1:])  # the first is the folder of the training images
    for word in words:
        if word in apart:
            next(words)
        else:
            kept.append(word)
    return kept


Job = tuple[DataSet, str, Row, int]


def key(job: Job) -> tuple[str, str | None, str, int]:
    """What the results call a run: set, marks, row, seed."""
    data, marks, row, seed = job
    return data.name, None if row is MASKS else marks, row.name, seed


def stored() -> dict[tuple[str, str | None, str, int], dict[str, Any]]:
    """The runs of results/training.json."""
    file = RESULTS / "training.json"
    runs = json.loads(file.read_text())["runs"] if file.exists() else []
    return {(run["set"], run["marks"], run["row"], run["seed"]): run for run in runs}


def folder(job: Job, args: argparse.Namespace) -> Path:
    data, marks, row, seed = job
    return args.work / "-".join([data.name, *([marks] if row is not MASKS else []), row.name, str(seed)])


def command(job: Job, args: argparse.Namespace) -> list[str]:
    data, marks, row, seed = job
    return [
        *(*script("training"), "--child", *data.arguments(args.data), "--seed", str(seed), "--quiet"),
        *("--val-every", str(data.epochs // 4), "-o", str(folder(job, args))),
        *(["--device", args.device] if args.device else []),
        *([] if row is MASKS else ["--targets", marks]),
        *shlex.split(row.arguments),
        *(settings_of_others(data.name) if row is LEFT_OUT else []),
    ]


def settings_of_others(name: str) -> list[str]:
    """The settings that are best on the other data sets, by the labels that they make (label_settings.py)."""
    values = {k: tuple(value) if isinstance(value, list) else value for k, value in chosen_elsewhere()[name].items()}
    return [part for key, value in values.items() for part in ("--set", f"{key}={value!r}")]


def chosen_elsewhere() -> dict[str, dict[str, Any]]:
    """What differs from the default in the settings that the other data sets choose, by data set."""
    file = RESULTS / "label_settings.json"
    return json.loads(file.read_text())["left_out"] if file.exists() else {}


def run_of(job: Job) -> Job:
    """The job whose run gives the result: where the other data sets choose the default, it is that of PseudoLabeler."""
    data, marks, row, seed = job
    return (data, marks, ROUNDS, seed) if row is LEFT_OUT and chosen_elsewhere().get(data.name) == {} else job


def is_done(where: Path) -> bool:
    """The scores come before the last line of the log, the weights and Dice: a run that was killed in between goes on.
    The commit comes last; runs of a version that did not write it have no checkpoint when they are done."""
    file = where / "scores.json"
    return file.exists() and ("commit" in json.loads(file.read_text()) or not (where / "last.pt").exists())


def check_arguments(job: Job, args: argparse.Namespace) -> None:
    """A run of other arguments, such as of an earlier list of rows, must not count as this one."""
    where = folder(job, args)
    made_by = json.loads((where / "scores.json").read_text()).get("arguments")
    if made_by is None:  # of a version that did not write them
        return
    words = command(job, args)
    wanted = kept_arguments(words[words.index("--child") + 1 :])
    if made_by != wanted:
        raise SystemExit(
            f"{where} is a run with {shlex.join(made_by)}, not {shlex.join(wanted)}: choose another --work"
        )


def run(job: Job, args: argparse.Namespace) -> bool:
    """Whether it is done now."""
    where = folder(job, args)
    if is_done(where):
        return True
    where.mkdir(parents=True, exist_ok=True)
    # One thread a run: two runs side by side take less time than one after the other on two threads each.
    environment = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
    with (where / "output.txt").open("w") as stream:
        done = subprocess.run(command(job, args), env=environment, stdout=stream, stderr=subprocess.STDOUT)
    if done.returncode == 0:
        (where / "last.pt").unlink(missing_ok=True)
    print(f"{where.name}: " + ("done" if done.returncode == 0 else f"failed, see {where / 'output.txt'}"), flush=True)
    return done.returncode == 0


def result(job: Job, args: argparse.Namespace) -> dict[str, Any]:
    """What is kept of a run that is done."""
    where = folder(job, args)
    scores = json.loads((where / "scores.json").read_text())
    names = ("mean_iou", "pixel_accuracy", "iou", "dice", "commit", "arguments")
    with (where / "log.csv").open() as stream:
        curve = [(int(line["epoch"]), float(line["mean_iou"])) for line in csv.DictReader(stream) if line["mean_iou"]]
    return (
        dict(zip(("set", "marks", "row", "seed"), key(job), strict=True))
        | {name: scores[name] for name in names if name in scores}
        | {"curve": curve}
    )


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path)
    parser.add_argument("--sets", nargs="+", choices=[data.name for data in SETS], help="default all")
    marks = sorted({marks for data in SETS for marks in data.marks})
    parser.add_argument("--marks", nargs="+", choices=marks, help="default all")
    parser.add_argument("--rows", nargs="+", choices=[row.name for row in (MASKS, *ROWS)], help="default all")
    parser.add_argument("--seeds", type=int, nargs="+", choices=SEEDS, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default 2)")
    parser.add_argument("--threads", type=int, default=1, help="of a run (default 1)")
    parser.add_argument("--device", help="default cuda where there is one")
    parser.add_argument("--work", type=Path, default=Path("training_runs"), help="folder of the runs")
    parser.add_argument("--keep", action="store_true", help="keep the runs of the results, and do only others")
    parser.add_argument("--report", action="store_true", help="run nothing")
    args = parser.parse_args()

    machine = describe_machine()
    every = [
        (data, marks, row, seed)
        for seed in SEEDS
        for data in SETS
        for row in (MASKS, *ROWS)
        for marks in (data.marks if row is not MASKS else data.marks[:1])
    ]
    chosen = dict.fromkeys(
        run_of((data, marks, row, seed))
        for data, marks, row, seed in every
        if (args.sets is None or data.name in args.sets)
        and (args.marks is None or marks in args.marks or row is MASKS)
        and (args.rows is None or row.name in args.rows)
        and seed in args.seeds
    )
    kept = stored() if args.keep else {}
    for job in every:
        if is_done(folder(job, args)):
            check_arguments(job, args)
    succeeded = True
    if not args.report:
        with ThreadPoolExecutor(args.jobs) as pool:  # all rows with one seed before the next seed
            wanted = [job for job in chosen if key(job) not in kept]
            succeeded = all(list(pool.map(lambda job: run(job, args), wanted)))
    done = {key(job): result(job, args) for job in every if is_done(folder(job, args))}
    # Not of a kept run of PseudoLabeler: the settings may have been chosen for a later version.
    copied = {key(job): done[name] | {"row": job[2].name} for job in every if (name := key(run_of(job))) in done}
    runs = kept | copied
    results = {"machine": machine, "runs": [runs[key(job)] for job in every if key(job) in runs]}
    write_json("training", results)
    write_markdown("training", "Training from marks", "python benchmarks training DATA", machine, markdown(results))
    return 0 if succeeded else 1
