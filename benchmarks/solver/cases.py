"""One problem and all its methods: what is measured, and what is kept of it for the next start."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from common.harness import describe_machine, write_json

from closedform_wsss.io import IGNORE_INDEX
from solver.children import Child, JobFailed, LimitReached
from solver.inputs import Problem
from solver.methods import DIRECT, OURS, SOLVERS, SYSTEMS

LONG = 10.0  # seconds from which a single run must do
PATIENCE = 5  # limits of the methods that ours and the tight solutions may take
Row = dict[str, Any]


def tell(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def limit_of(name: str, limit: float) -> float:
    """Seconds that a method may take."""
    return PATIENCE * limit if name.startswith(OURS) else limit


class Measurements:
    """The rows of this run and of the one that it goes on from."""

    def __init__(self, args: argparse.Namespace, threads: int) -> None:
        self.args, self.name = args, "solver_quick" if args.quick else "solver"
        self.payload: dict[str, Any] = {"machine": describe_machine(), "threads": threads}
        self.payload |= {"rows": [], "large": None, "agreement": None}
        stored = args.output / f"{self.name}.json"
        if not stored.exists() or args.fresh:
            return
        before = json.loads(stored.read_text())
        same = all(before["machine"][key] == self.payload["machine"][key] for key in ("cpu", "packages", "build"))
        if not same or before["threads"] != threads:
            tell(f"{stored.name} is of another build, machine or thread count: measuring everything anew")
            return
        self.payload["rows"] = [row for row in before["rows"] if self._stands(row)]
        commit, now = before["machine"]["commit"], self.payload["machine"]["commit"]
        if commit == now:
            self.payload |= {key: before.get(key) for key in ("large", "agreement")}
        for row in self.payload["rows"]:  # methods do not depend on it; the tables say which rows of ours are older
            if row["solver"].startswith(OURS) and row.setdefault("commit", commit) == now:
                del row["commit"]

    def _stands(self, row: Row) -> bool:
        """What failed is tried again, and what reached a lower limit."""
        reached = row["status"] == "limit" and row["limit_s"] >= limit_of(row["solver"], self.args.limit)
        return reached or row["status"] == "ok"

    def has(self, key: Row) -> bool:
        """Whether this is measured already."""
        return any(all(row[name] == value for name, value in key.items()) for row in self.payload["rows"])

    def beaten(self, key: Row) -> bool:
        """Whether it reached the limit, or failed, at a smaller size."""
        return any(
            row["status"] != "ok" and row["pixels"] < key["pixels"]
            for row in self.payload["rows"]
            if all(row[name] == key[name] for name in ("section", "classes", "solver", "threads"))
        )

    def add(self, *rows: Row) -> None:
        """Keep rows, in the file too."""
        self.payload["rows"] += rows
        self.write()

    def write(self) -> None:
        """The JSON file as it is now."""
        write_json(self.name, self.payload, self.args.output)


class References:
    """The tight solutions of one problem, each made when first asked for."""

    # (classes, system) of those that were not found: larger ones would not be either.
    hopeless: ClassVar[set[tuple[int, str]]] = set()

    def __init__(self, problem: Problem, threads: int, args: argparse.Namespace, folder: Path) -> None:
        self._problem, self._threads, self._folder = problem, threads, folder
        self._limit, self._quick = PATIENCE * args.limit, args.quick
        self._files: dict[str, Path | None] = {}

    def errors(self, mattes: Path, system: str) -> Row:
        """Largest and mean error over the unmarked pixels, both clipped to [0, 1]; none where no reference is had."""
        if system not in self._files:
            self._files[system] = self.make(system)
        reference = self._files[system]
        if reference is None:
            return {"max_error": None, "mean_error": None}
        unmarked = self._problem.marks == IGNORE_INDEX
        largest, total, count = 0.0, 0.0, 0
        for ours, tight in zip(np.load(mattes, mmap_mode="r"), np.load(reference, mmap_mode="r"), strict=True):
            difference = np.abs(ours.clip(0, 1) - tight.clip(0, 1))[unmarked]
            largest, total, count = max(largest, float(difference.max())), total + float(difference.sum()), count + 1
        return {"max_error": largest, "mean_error": total / (count * int(unmarked.sum()))}

    def make(self, system: str) -> Path | None:
        """The file of a reference."""
        path, kind = self._folder / f"{system}.npy", (self._problem.classes, system)
        if kind in self.hopeless:
            return None
        report: Row = {"converged": False}
        try:
            child = Child(system, self._problem, self._threads, self._quick)
            report = child.run(self._limit, path)
            child.close()
            tell(f"    tight solution, {system}: {report['seconds']:.1f} s")
        except LimitReached:
            tell(f"    no tight solution, {system}, in {self._limit:g} s")
        except JobFailed as error:
            tell(f"    no tight solution, {system}: {error}")
        if report["converged"]:
            return path
        self.hopeless.add(kind)
        return None


def agreement(problem: Problem, threads: int, args: argparse.Namespace) -> dict[str, float | None]:
    """Of each system the largest difference between the direct tight solution and our own solver's."""
    found: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory() as folder:
        references = References(problem, threads, args, Path(folder))
        for system in SYSTEMS:
            own = references.make(f"{system}, own")
            found[system] = None if own is None else references.errors(own, system)["max_error"]
    return found


def measure_case(done: Measurements, section: str, photo: str, problem: Problem, small: bool) -> None:
    """All methods on one problem: first runs with memory and errors, then rounds of those that are short."""
    args, threads = done.args, done.payload["threads"]
    case: Row = {"section": section, "photo": photo, "case": problem.name, "classes": problem.classes}
    case |= {"pixels": problem.marks.size, "height": problem.marks.shape[0], "width": problem.marks.shape[1]}
    wanted = [(name, threads) for name, solver in SOLVERS.items() if problem.classes == 2 or solver.many]
    if small and problem.classes == 2 and threads > 1:
        wanted += [(name, 1) for name, count in wanted if SOLVERS[name].threaded]
    waiting: list[tuple[Row, Child]] = []
    with tempfile.TemporaryDirectory() as folder:
        references = References(problem, threads, args, Path(folder))
        for name, count in wanted:
            key = case | {"solver": name, "threads": count}
            if done.has(key) or done.beaten(key):
                continue
            limit = limit_of(name, args.limit)
            about = f"  {problem.name}, {problem.classes} classes: {name}, {count} thread(s)"
            row: Row = key | {"status": "ok", "limit_s": limit, "samples_s": [], "detail": ""}
            row["run"] = done.payload["machine"]["date"]
            mattes = Path(folder) / "mattes.npy"
            try:
                child = Child(name, problem, count, args.quick)
                report = child.run(limit, mattes)
            except LimitReached:
                done.add(row | {"status": "limit"})
                tell(f"{about}: more than {limit:g} s")
                continue
            except JobFailed as error:
                done.add(row | {"status": "failed", "detail": str(error)})
                tell(f"{about}: {error}")
                continue
            tell(f"{about}: {report['seconds']:.2f} s")
            system = SOLVERS[name].system_of(problem)
            seconds = report.pop("seconds")
            row |= report | {"system": system} | references.errors(mattes, system)
            row["reference"] = "direct" if problem.marks.size <= DIRECT else "float64"
            if seconds > LONG:
                child.close()
                done.add(row | {"samples_s": [seconds]})
            else:
                waiting.append((row, child))
        for turn in range(2 if args.quick else args.repeats):
            for row, child in waiting if turn % 2 == 0 else reversed(waiting):
                row["samples_s"].append(child.run(limit_of(OURS, args.limit))["seconds"])
        for _, child in waiting:
            child.close()
    done.add(*(row for row, _ in waiting))
