"""The speed of everything that costs a user time, in one run and one table: ours beside a rival or a limit.

    python benchmarks speed DATA              one and two threads; about 45 minutes
    python benchmarks speed DATA --only loss solver       these alone
    python benchmarks speed DATA --only loss --keep       these; the last table keeps its other sections
    python benchmarks speed --quick           tiny sizes: does everything run?

DATA holds lemur/ as for the benchmark "solver"; without it these rows are left out. The sections come from the
benchmarks kernels, superpixels.speed, solver and training.step, which say more about each. Needs the extras "bench" and
"examples".

Writes results/speed.json and results/speed.md; --quick, and --only without --keep, speed_quick.*.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from common.harness import (
    RESULTS,
    Method,
    Result,
    describe_machine,
    milliseconds,
    race,
    ratio_text,
    table,
    write_json,
    write_markdown,
)
from kernels import filter, loss, product
from solver.inputs import PHOTOS, Problem, lemur, scribbles
from solver.large import measure_large
from solver.methods import OURS, SOLVERS
from superpixels import speed as superpixels
from training import step

BUDGET = 30.0  # seconds of a slow method in a race
NAMES = ("product", "loss", "filter", "superpixels", "solver", "step", "large")  # of the sections


@dataclass(frozen=True)
class Line:
    """A line of the table: what ours takes, and what the other takes in the same case."""

    work: str
    case: str
    ours: str
    other: str
    called: str


@dataclass(frozen=True)
class Section:
    """Some lines and the function that measures their races, for a number of threads."""

    lines: tuple[Line, ...]
    measure: Callable[[int], list[Result]]


def kernel_sections(repeats: int, quick: bool) -> dict[str, Section]:
    sizes, batch, maps = (([48], (2, 5, 48), (2, 5, 24, 32)), ([321, 512], (8, 21, 321), (8, 11, 90, 120)))[not quick]
    lines, classes = [], 21
    for size in sizes:
        case = f"{size} x {size}, {classes} classes"
        for other in (product.WITH_TRANSPOSES, "copy"):
            called = "copy into the same memory" if other == "copy" else other
            lines.append(Line("product L x", case, OURS, other, called))
    found = {"product": Section(tuple(lines), lambda threads: product.measure(sizes, [classes], threads, repeats))}

    lines = []
    for form in ("energy", "residual"):
        case = "{} x {} x {} x {}, ".format(*batch, batch[2]) + form
        work = "loss from logits, forward and backward"
        lines.append(Line(work, case, loss.FROM_LOGITS, loss.SOFTMAX, "softmax of torch alone, forward and backward"))
        lines.append(Line(work, case, loss.FROM_LOGITS, loss.BASELINE, "torch CSR, prebuilt, from probabilities"))
    found["loss"] = Section(tuple(lines), lambda threads: loss.measure(*batch, threads, repeats, False))

    case = " x ".join(map(str, maps))
    steps = round(filter.STEPS / filter.FIDELITY**0.5)
    found["filter"] = Section(
        (
            Line("matting filter", f"{case}, tol 0.03", "matting_filter", filter.IN_CSR, "the same with torch CSR"),
            Line(
                "matting filter",
                f"{case}, {steps} steps",
                "matting_filter",
                filter.IN_TORCH_STEPS,
                "the same as torch operators",
            ),
        ),
        lambda threads: filter.measure(*maps, threads, repeats),
    )
    return found


def superpixel_section(repeats: int, quick: bool) -> Section:
    n, classes, size = (2, 3, 64) if quick else (8, 21, 512)
    height, width = (48, 64) if quick else (375, 500)

    def measure(threads: int) -> list[Result]:
        asam, *parts = superpixels.asam_cases(n, classes, size)
        copies = next(methods for case, methods in parts if case.startswith("pool"))[2:]
        cases = [(asam[0], asam[1] + copies), *superpixels.superpixel_cases(size)]
        cases += superpixels.refine_cases(height, width)
        return [r for case, methods in cases for r in race("spl", case, threads, methods, repeats=repeats)]

    batch = f"{n} x {classes} x {size} x {size}"
    asam, slic = f"ASAM, {superpixels.STEPS} steps, {batch}", f"superpixels, {size} x {size}"
    return Section(
        (
            Line("ASAM", asam, OURS, "x.clone()", "copy into new memory"),
            Line("ASAM", asam, OURS, "plain PyTorch", "plain PyTorch"),
            Line(
                *("soft_slic", f"{slic}, about {(size // superpixels.CELL) ** 2}", OURS, "scikit-image"),
                "scikit-image's SLIC, which also connects superpixels",
            ),
            Line("refine_cam", f"refine_cam, {width} x {height}, 3 classes", OURS, "", ""),
        ),
        measure,
    )


def solver_section(data: Path | None, repeats: int, quick: bool) -> Section:
    """Some problems with their rivals; ours of both kinds in one race."""
    sizes = [((24, 32), 2), ((24, 32), 4)] if quick else [((321, 321), 2), ((321, 321), 21), ((512, 512), 21)]
    problems = [scribbles(PHOTOS[0], *size, classes) for size, classes in sizes]
    if data:
        problems.insert(0, lemur(data / "lemur"))
    learning_based, alone, shared = f"{OURS}, learning-based", "pymatting cf, ichol", "pymatting cf, ichol, soft"

    def names(problem: Problem) -> list[str]:
        """pymatting's function is for one class; of many, it is called for each, or all share a preconditioner."""
        others = [learning_based, "pymatting lbdm, ichol"] if problem.classes == 2 else [shared]
        return [OURS, alone, *others]

    def case(problem: Problem) -> str:
        return f"{problem.name}, {problem.classes} classes"

    once: dict[str, list[Result]] = {}  # minutes, on one thread whatever the setting

    def measure(threads: int) -> list[Result]:
        results = []
        for problem in problems:
            at = case(problem)
            methods = [Method(name, SOLVERS[name].make(problem)) for name in names(problem) if at not in once]
            methods = methods or [Method(OURS, SOLVERS[OURS].make(problem))]
            found = race("solver", at, threads, methods, repeats=repeats, budget=BUDGET)
            if problem.classes > 2:
                slow = once.setdefault(at, found[1:])
                found = [found[0], *(replace(result, threads=threads) for result in slow)]
            results += found
        return results

    lines = []
    for problem in problems:
        called = "pymatting, its defaults" + (", class after class" if problem.classes > 2 else "")
        lines.append(Line("solve_matting", case(problem), OURS, alone, called))
        if problem.classes > 2:
            lines.append(
                Line("solve_matting", case(problem), OURS, shared, "pymatting, one preconditioner for all classes")
            )
        else:
            work = "solve_matting, learning-based"
            lines.append(
                Line(work, case(problem), learning_based, "pymatting lbdm, ichol", "pymatting lbdm, its defaults")
            )
            lines.append(Line(work, case(problem), learning_based, OURS, "the closed form, ours"))
    return Section(tuple(lines), measure)


def step_section(repeats: int, quick: bool) -> Section:
    batch, size = (2, (48, 64)) if quick else (step.BATCH, step.SIZE)
    case = f"{batch} x {step.CLASSES} x {size[0]} x {size[1]}"

    def measure(threads: int) -> list[Result]:
        return race("step", case, threads, step.methods(batch, size, step.OURS), repeats=repeats, budget=BUDGET)

    lines = [
        Line("training step with cross-entropy alone", case, step.ALONE, name, f"with {name}") for name in step.OURS
    ]
    return Section(tuple(lines), measure)


def rows(lines: Sequence[Line], results: Sequence[Result], threads: Sequence[int]) -> list[list[str]]:
    """Ours in milliseconds for each number of threads, then how many times as long the other takes."""
    at = {(r.case, r.name, r.threads): r for r in results}
    found = []
    for line in lines:
        own = [at.get((line.case, line.ours, count)) for count in threads]
        other = [at.get((line.case, line.other, count)) for count in threads]
        if not any(own) or (line.called and not any(other)):  # a section that was kept may lack a line
            continue
        label = line.case if line.work in line.case else f"{line.work}, {line.case}"
        found.append(
            [
                label,
                *("" if r is None else milliseconds(r.median_s) for r in own),
                line.called,
                *("" if a is None or b is None else ratio_text(b, a) for a, b in zip(own, other, strict=True)),
            ]
        )
    return found


def stored(file: str, data: Path | None) -> dict[str, Any]:
    """The last table."""
    path = RESULTS / f"{file}.json"
    if not path.exists():
        raise SystemExit(f"benchmarks speed: --keep: there is no {path.name} to keep sections of")
    last: dict[str, Any] = json.loads(path.read_text())
    if data is None and any(result["case"].startswith("lemur") for result in last["results"]):
        raise SystemExit(f"benchmarks speed: --keep: {path.name} has rows of the lemur, which need DATA")
    return last


def earlier(last: dict[str, Any]) -> tuple[list[Result], dict[str, str]]:
    """What the last table holds, and the versions that its sections are of."""
    version = f"commit {last['machine']['commit']}, {last['machine']['date']}"
    measured = {name: last.get("measured", {}).get(name, version) for name in NAMES}
    return [Result(**result) for result in last["results"]], measured


def replace_section(payload: dict[str, Any], name: str, found: Sequence[Result]) -> None:
    """A section of this run; until it is whole, that of the last table stays."""
    payload["results"] = [r for r in payload["results"] if r.section != section_of(name)] + list(found)
    payload["measured"].pop(name, None)


def section_of(name: str) -> str:
    """What the results of a section of the table call it."""
    return "spl" if name == "superpixels" else name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path, nargs="?", help="folder with lemur/")
    parser.add_argument("--only", nargs="+", choices=NAMES, help="some sections only")
    parser.add_argument("--keep", action="store_true", help="keep the other sections of the last table")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts (default: 1 2)")
    parser.add_argument("--repeats", type=int, default=7, help="rounds of each race (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, 2 rounds: figures mean nothing")
    args = parser.parse_args()
    repeats = 2 if args.quick else args.repeats
    file = "speed_quick" if args.quick or (args.only and not args.keep) else "speed"
    args.only = args.only or list(NAMES)
    machine = describe_machine()
    sections = kernel_sections(repeats, args.quick)
    sections["superpixels"] = superpixel_section(repeats, args.quick)
    sections["solver"] = solver_section(args.data, repeats, args.quick)
    sections["step"] = step_section(repeats, args.quick)
    lines = [line for section in sections.values() for line in section.lines]
    last = stored(file, args.data) if args.keep else None
    results, measured = earlier(last) if last else ([], {})
    payload: dict[str, Any] = {"machine": machine, "lines": [asdict(line) for line in lines], "results": results}
    payload |= {"measured": measured, "large": last["large"] if last else None}
    for name, section in sections.items():
        if name not in args.only:
            continue
        found = []
        for threads in args.threads:
            print(f"{name}, {threads} thread(s)", file=sys.stderr, flush=True)
            torch.set_num_threads(threads)
            found += section.measure(threads)
        replace_section(payload, name, found)
        write_json(file, payload)
    if "large" in args.only:
        print("large", file=sys.stderr, flush=True)
        threads = max(args.threads)
        payload["large"] = measure_large(*((60, 80) if args.quick else (3000, 4000)), threads) | {"threads": threads}
        replace_section(payload, "large", [])
    large: dict[str, Any] | None = payload["large"]

    counts = ["1 thread" if count == 1 else f"{count} threads" for count in args.threads]
    head = ["work", *(f"ms, {count}" for count in counts), "beside", *(f"times ours, {count}" for count in counts)]
    body = (
        "Ratios are time / our time within a round, medians over the rounds with the quartiles in brackets: above 1 is "
        "slower than ours. Methods that do the same were asserted to agree before. pymatting and scikit-image run on "
        "one thread whatever the setting; with 21 classes pymatting was measured once.\n\n"
        + table(head, rows(lines, payload["results"], args.threads))
    )
    if large:
        body += (
            f"\n\n`closedform-wsss matte` on a photograph of {large['width']} x {large['height']} pixels with "
            f"{large.get('threads', max(args.threads))} threads, from the start of Python to the last file: "
            f"{large['seconds']:.0f} s, peak memory {large['peak_bytes'] / 2**30:.1f} GiB "
            f"({large['solved'] or large['last_line']})."
        )
    for version in dict.fromkeys(measured.values()):
        body += f"\n\nOf an earlier run ({version}): {', '.join(n for n in measured if measured[n] == version)}."
    write_json(file, payload)
    options = ["DATA" if value == str(args.data) else value for value in sys.argv[1:]]
    command = shlex.join(["python", "benchmarks", "speed", *options])
    write_markdown(file, "Speed", command, machine, body)
