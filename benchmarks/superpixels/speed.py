"""Measure superpixels and ASAM against plain PyTorch and scikit-image on this machine, in one run, and report ratios.

    python benchmarks superpixels.speed              8 x 21 x 512 x 512, one and two threads
    python benchmarks superpixels.speed --quick      tiny sizes: does everything run and agree?

Writes results/spl.json and results/spl.md (quick: spl_quick.*). Superpixels' quality: superpixels.py.
"""

from __future__ import annotations

import argparse
import shlex
import sys

import torch
from common.asam import CELL, STEPS, plain_asam
from common.harness import (
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
from common.inputs import photo
from torch import Tensor

from closedform_wsss import _ops, _reference, functional

# Of float32, relative to the largest value.
TOLERANCE = 1e-4
Case = tuple[str, list[Method]]


def agree(name: str, ours: Tensor, theirs: Tensor) -> None:
    error = float((ours - theirs).abs().max() / theirs.abs().max())
    assert error < TOLERANCE, f"{name}: plain PyTorch and ours differ by {error:.2e}, more than {TOLERANCE:.0e}"


def asam_cases(n: int, classes: int, size: int) -> list[Case]:
    """ASAM as a whole and its parts."""
    superpixels = functional.soft_slic(photo(size, size).expand(n, -1, -1, -1), cell_size=CELL)
    q = superpixels.assignment
    x = torch.rand(n, classes, size, size, generator=torch.Generator().manual_seed(0))
    affinity, s = functional.asam_affinity(superpixels), functional.superpixel_pool(x, superpixels)
    out = torch.empty_like(x)
    pairs = {
        f"ASAM, {STEPS} steps": (
            lambda: functional.asam(x, superpixels, num_iters=STEPS),
            lambda: plain_asam(x, q),
        ),
        "affinity": (lambda: _ops.asam_affinity(q, CELL), lambda: _reference.asam_affinity(q, CELL)),
        "pool": (lambda: _ops.superpixel_pool(x, q, CELL), lambda: _reference.superpixel_pool(x, q, CELL)),
        "unpool": (lambda: _ops.superpixel_unpool(s, q, CELL), lambda: _reference.superpixel_unpool(s, q, CELL)),
        f"{STEPS} steps": (
            lambda: _ops.asam_steps(affinity, s, STEPS, 1.0, 0.0, False, False)[0],
            lambda: _reference.asam_steps(affinity, s, STEPS, 1.0, 0.0, False, False)[0],
        ),
    }
    cases = []
    for name, (ours, plain) in pairs.items():
        agree(name, ours(), plain())
        methods = [Method("closedform_wsss", ours), Method("plain PyTorch", plain)]
        if name in ("pool", "unpool"):
            methods.append(Method("x.clone()", x.clone, "copy into new memory"))
            methods.append(Method("copy", lambda: out.copy_(x), "copy into the same memory"))
        cases.append((f"{name}, {n} x {classes} x {size} x {size}", methods))
    return cases


def superpixel_cases(size: int) -> list[Case]:
    """Soft SLIC with 5 iterations against scikit-image's SLIC with 10: about equal in quality, see superpixels.md."""
    image = photo(size, size)
    return [
        (
            f"superpixels, {size} x {size}, about {(size // CELL) ** 2}",
            [
                Method("closedform_wsss", lambda: functional.soft_slic(image, cell_size=CELL), "soft_slic"),
                Method("scikit-image", lambda: functional.slic(image, cell_size=CELL), "SLIC, 10 iterations"),
            ],
        )
    ]


def refine_cases(height: int, width: int) -> list[Case]:
    """The refinement of a photo's CAMs of three classes."""
    image = photo(height, width)
    cam = torch.rand(1, 3, height // 16, width // 16, generator=torch.Generator().manual_seed(0))
    cam = torch.nn.functional.interpolate(cam, (height // 8, width // 8), mode="bicubic").clamp(0, 1)
    return [
        (
            f"refine_cam, {width} x {height}, 3 classes",
            [Method("closedform_wsss", lambda: functional.refine_cam(cam, image))],
        )
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts (default: 1 2)")
    parser.add_argument("--repeats", type=int, default=9, help="rounds of each race (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, 3 rounds: figures mean nothing")
    args = parser.parse_args()
    size = (2, 3, 64) if args.quick else (8, 21, 512)
    machine = describe_machine()
    results: list[Result] = []
    for threads in args.threads:
        torch.set_num_threads(threads)
        cases = asam_cases(*size) + superpixel_cases(size[2])
        cases += refine_cases(*((48, 64) if args.quick else (375, 500)))
        for case, methods in cases:
            print(f"{threads} thread(s): {case}", file=sys.stderr, flush=True)
            results += race("spl", case, threads, methods, repeats=3 if args.quick else args.repeats, budget=20.0)
    name = "spl_quick" if args.quick else "spl"
    write_json(name, {"machine": machine, "results": results})
    rows = [
        [f"{r.case}: {r.name}", str(r.threads), milliseconds(r.median_s), ratio_text(r), r.note, str(r.rounds)]
        for r in results
    ]
    head = ["case: implementation", "threads", "median ms", "time / ours (quartiles)", "note", "rounds"]
    body = (
        "float32, cells of 16 pixels. Ratios are time / our time within a round, medians over the rounds with the "
        "quartiles in brackets. Before timing, results of plain PyTorch were asserted to agree with ours within "
        f"{TOLERANCE:.0e} of the largest value. scikit-image's SLIC finds other superpixels, of about the same "
        "quality, and connects them; soft ones are not connected (`benchmarks superpixels`).\n\n"
    ) + table(head, rows)
    command = shlex.join(["python", "benchmarks", "superpixels.speed", *sys.argv[1:]])
    write_markdown(name, "Superpixels and ASAM", command, machine, body)
