"""Where the time of the loss, the matting filter, refine_cam and self-training goes, by operators.

    python benchmarks speed.profile            one and two threads
    python benchmarks speed.profile --quick    tiny: does it run?

The operators of this package are timed inside of each call; the rest are torch's operators and Python. An iterative
operator is compared with its products alone: as many calls of the product on the same maps. The product's own limit is
in limit.md (kernels.limit), the parts of the solver in solver_profile.md (solver.profile).

Writes results/profile.json and .md.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from common.harness import describe_machine, milliseconds, table, write_json, write_markdown
from common.inputs import photo
from common.parts import PartClock
from kernels import filter
from superpixels.speed import refine_cases
from torch import Tensor
from training import step

from closedform_wsss import _ops
from closedform_wsss.functional import classes_present, closed_form_loss, matting_filter
from closedform_wsss.training import Recipe, SelfTrainingLoss

ROUNDS = 15
ITERATIVE = ("matting_cg", "matting_chebyshev")
# Where a function of the library is looked up, so that a clock can take its place.
REFINE_CAM = importlib.import_module("closedform_wsss.functional.refine_cam")
PARTS = {
    **{name: (_ops, name) for name in _ops.__all__},
    "resize_image": (REFINE_CAM, "resize_image"),
    "rgb_to_lab": (REFINE_CAM, "rgb_to_lab"),
    "calibrate_cam": (REFINE_CAM, "calibrated"),
}


@dataclass
class Profile:
    """Seconds of a call, of its parts, and of the products alone; the iterations."""

    work: str
    threads: int
    seconds: float
    parts: dict[str, float]
    products: float | None = None
    iterations: int | None = None
    values: int = 0


class Iterations:
    """Runs as many products on the same maps as the iterative operators of a call made."""

    def __init__(self) -> None:
        self.count, self.values, self.run = 0, 0, lambda: None

    def add(self, part: str, arguments: tuple[Any, ...], result: Any) -> None:
        if part == "matting_cg":
            (stencil, diagonal, b), (_, report) = arguments[:3], result
            self.count = int(report[..., 0].max())
        elif part == "matting_chebyshev":
            stencil, diagonal, _, b = arguments[:4]
            self.count = arguments[-1]
        else:
            return
        self.values = b.numel()

        def products() -> None:
            for _ in range(self.count):
                _ops.matting_product(stencil, b, diagonal)

        self.run = products


def seconds_of(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def profile(work: str, run: Callable[[], Any], rounds: int) -> Profile:
    """Medians over the rounds."""
    iterations = Iterations()
    with PartClock(PARTS, iterations.add):
        run()
    whole: list[float] = []
    clocks: list[PartClock] = []
    for _ in range(rounds):
        with PartClock(PARTS) as clock:
            whole.append(seconds_of(run))
        clocks.append(clock)
    parts = {name: statistics.median(clock.seconds[name] for clock in clocks) for name in clocks[0].seconds}
    parts = {name: seconds for name, seconds in parts.items() if seconds}
    found = Profile(work, torch.get_num_threads(), statistics.median(whole), parts)
    if iterations.count:
        found.products = statistics.median(seconds_of(iterations.run) for _ in range(rounds))
        found.iterations, found.values = iterations.count, iterations.values
    return found


def works(quick: bool) -> dict[str, Callable[[], Any]]:
    """The calls that are profiled."""
    n, classes, height, width = (2, 3, 24, 32) if quick else (8, 11, 90, 120)
    batch, size = (2, 48) if quick else (8, 321)
    step_batch, step_size = (2, (48, 64)) if quick else (step.BATCH, step.SIZE)
    image = photo(height, width, n)
    generator = torch.Generator().manual_seed(2)
    coarse = torch.randn(n, classes, -(-height // 12), -(-width // 12), generator=generator)
    p = torch.nn.functional.interpolate(3 * coarse, (height, width), mode="bilinear").softmax(1)
    steps = round(filter.STEPS / filter.FIDELITY**0.5)
    options = {"fidelity": filter.FIDELITY, "eps": filter.EPS}
    photos, unmarked = photo(size, size, batch), torch.full((batch, size, size), 255)
    ours = torch.randn(batch, 21, size, size, generator=generator).requires_grad_()
    images, marks = step.photographs(step_batch, step_size), step.strokes(step_batch, step_size)
    logits = torch.randn(step_batch, step.CLASSES, *step_size, generator=generator).requires_grad_()
    present = classes_present(marks, step.CLASSES)
    online = SelfTrainingLoss(step.CLASSES, 1_000_000, Recipe(num_images=1, rounds=(1e-6, 2e-6)))
    for _ in range(3):  # past its rounds, where each step makes labels
        online(logits, marks, images, present)

    def loss(form: str) -> Callable[[], Tensor]:
        def run() -> Tensor:
            value = closed_form_loss(ours, unmarked, photos, scale=1, form=form)
            return torch.autograd.grad(value, ours)[0]

        return run

    def learn() -> Tensor:
        return torch.autograd.grad(online(logits, marks, images, present), logits)[0]

    found: dict[str, Callable[[], Any]] = {
        f"loss from logits and gradient, {batch} x 21 x {size} x {size}, {form}": loss(form)
        for form in ("energy", "residual")
    }
    maps = f"matting_filter, {n} x {classes} x {height} x {width}"
    found[f"{maps}, tol 0.03"] = lambda: matting_filter(p, image, tol=0.03, **options)
    found[f"{maps}, {steps} steps"] = lambda: matting_filter(p, image, num_iters=steps, **options)
    for case, methods in refine_cases(*((48, 64) if quick else (375, 500))):
        found[case] = methods[0].run
    shape = f"{step_batch} x {step.CLASSES} x {step_size[0]} x {step_size[1]}"
    found[f"SelfTrainingLoss and gradient, {shape}"] = learn
    return found


def rows(profiles: Sequence[Profile]) -> list[list[str]]:
    """For each call: the whole, its parts by size, and what the iterations' products alone take."""
    found = []
    for work in dict.fromkeys(p.work for p in profiles):
        own = [p for p in profiles if p.work == work]
        whole = [p.seconds for p in own]
        found.append([f"**{work}**", *map(milliseconds, whole), "", ""])
        names = sorted(own[0].parts, key=lambda name: -own[0].parts[name])
        lines = [(name, [p.parts.get(name, 0.0) for p in own]) for name in names]
        lines.append(("the rest", [p.seconds - sum(p.parts.values()) for p in own]))
        for name, seconds in lines:
            note = ""
            if name in ITERATIVE and own[0].iterations:
                alone = ", ".join(milliseconds(p.products or 0.0) for p in own)
                nanoseconds = own[0].parts[name] / own[0].iterations / own[0].values * 1e9
                note = f"{own[0].iterations} iterations, {nanoseconds:.2f} ns a value; products alone {alone} ms"
            share = f"{100 * seconds[0] / whole[0]:.0f} %"
            found.append([name, *map(milliseconds, seconds), share, note])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts (default: 1 2)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="(%(default)s)")
    parser.add_argument("--quick", action="store_true", help="tiny: does it run?")
    args = parser.parse_args()
    machine = describe_machine()
    profiles = []
    for threads in args.threads:
        torch.set_num_threads(threads)
        for work, run in works(args.quick).items():
            profiles.append(profile(work, run, 2 if args.quick else args.rounds))
    head = ["call, and its parts", *(f"ms, {count} thread{'s' if count > 1 else ''}" for count in args.threads)]
    body = (
        "Medians. A part is one operator of this package, or a function of several operators of torch; the rest are "
        f"torch's operators and Python. The share is that of {args.threads[0]} thread(s). Products alone: as many "
        "calls of the product on the same maps.\n\n" + table([*head, "share", "iterations"], rows(profiles))
    )
    if args.quick:
        print(body)
        return
    write_json("profile", {"machine": machine, "profiles": [asdict(p) for p in profiles]})
    command = shlex.join(["python", "benchmarks", "speed.profile", *sys.argv[1:]])
    write_markdown("profile", "Where the time of the losses and filters goes", command, machine, body)
