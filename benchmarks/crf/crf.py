"""Measure the dense CRF against pydensecrf2 on this machine, in one run, and report ratios.

    python benchmarks crf              one image of 500 x 375 and a batch of 8, 21 classes, one and two threads
    python benchmarks crf --quick      tiny sizes: does everything run and agree?

pydensecrf2 is optional: `pip install pydensecrf2`. It takes one image a call, on one thread.
Writes results/crf.json and results/crf.md (quick: crf_quick.*).
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
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

from closedform_wsss import functional

ITERATIONS = 10
SMOOTHNESS, APPEARANCE = (3.0, 3.0), (10.0, 80.0, 13.0)  # weight, sigma; weight, sigma of positions, of colours of 255
Baseline = Callable[[np.ndarray[Any, Any], np.ndarray[Any, Any]], np.ndarray[Any, Any]]


def pydensecrf(probs: np.ndarray[Any, Any], image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Of probs ``(C, H, W)`` and image ``(H, W, 3)``, uint8."""
    from pydensecrf.densecrf import DenseCRF2D
    from pydensecrf.utils import unary_from_softmax

    crf = DenseCRF2D(probs.shape[2], probs.shape[1], probs.shape[0])
    crf.setUnaryEnergy(unary_from_softmax(probs))
    crf.addPairwiseGaussian(sxy=SMOOTHNESS[1], compat=SMOOTHNESS[0])
    crf.addPairwiseBilateral(sxy=APPEARANCE[1], srgb=APPEARANCE[2], rgbim=image, compat=APPEARANCE[0])
    return np.array(crf.inference(ITERATIONS)).reshape(probs.shape)


def available() -> dict[str, Baseline]:
    try:
        importlib.import_module("pydensecrf.densecrf")
    except ImportError as error:
        print(f"pydensecrf2 is left out: {error}", file=sys.stderr)
        return {}
    return {"pydensecrf2": pydensecrf}


def problem(n: int, classes: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Probabilities as a network's, smooth and unsure, and photographs in uint8."""
    image = (photo(height, width) * 255).round().to(torch.uint8)
    logits = 4 * torch.randn(n, classes, height // 32 + 1, width // 32 + 1, generator=torch.Generator().manual_seed(0))
    logits = torch.nn.functional.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)
    return logits.softmax(1), image.expand(n, -1, -1, -1).contiguous()


def ours(probs: Tensor, image: Tensor) -> Tensor:
    return functional.dense_crf(
        probs,
        image,
        num_iters=ITERATIONS,
        smoothness_weight=SMOOTHNESS[0],
        smoothness_sigma=SMOOTHNESS[1],
        appearance_weight=APPEARANCE[0],
        position_sigma=APPEARANCE[1],
        color_sigma=APPEARANCE[2] / 255,
    )


def methods(probs: Tensor, image: Tensor, baselines: dict[str, Baseline]) -> list[Method]:
    found = [Method("closedform_wsss", lambda: ours(probs, image))]
    pairs = [(p, np.ascontiguousarray(i.transpose(1, 2, 0))) for p, i in zip(probs.numpy(), image.numpy(), strict=True)]
    result = ours(probs, image)[0].numpy()
    for name, run in baselines.items():
        theirs = run(*pairs[0])
        note = f"largest difference {np.abs(theirs - result).max():.1e}"
        note += f", {100 * (theirs.argmax(0) != result.argmax(0)).mean():.2f} % other labels"
        found.append(Method(name, lambda run=run: [run(*pair) for pair in pairs], note))  # type: ignore[misc]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts (default: 1 2)")
    parser.add_argument("--repeats", type=int, default=9, help="rounds of each race (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, 3 rounds: figures mean nothing")
    args = parser.parse_args()
    classes, height, width = (3, 48, 64) if args.quick else (21, 375, 500)
    machine = describe_machine()
    baselines = available()
    results: list[Result] = []
    for threads in args.threads:
        torch.set_num_threads(threads)
        for n in (1, 2 if args.quick else 8):
            case = f"{n} x {classes} x {height} x {width}"
            print(f"{threads} thread(s): {case}", file=sys.stderr, flush=True)
            entrants = methods(*problem(n, classes, height, width), baselines)
            results += race("crf", case, threads, entrants, repeats=3 if args.quick else args.repeats, budget=40.0)
    name = "crf_quick" if args.quick else "crf"
    write_json(name, {"machine": machine, "results": results})
    rows = [
        [f"{r.case}: {r.name}", str(r.threads), milliseconds(r.median_s), ratio_text(r), r.note, str(r.rounds)]
        for r in results
    ]
    head = ["case: implementation", "threads", "median ms", "time / ours (quartiles)", "against ours", "rounds"]
    body = (
        f"float32, {ITERATIONS} iterations, set-up included. Ratios are time / our time within a round, medians over "
        "the rounds with the quartiles in brackets. pydensecrf2 takes the images one by one, on one thread.\n\n"
    ) + table(head, rows)
    write_markdown(name, "Dense CRF", shlex.join(["python", "benchmarks", "crf", *sys.argv[1:]]), machine, body)
