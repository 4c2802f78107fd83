"""``closedform-wsss demo``: what scribbles can do, in one picture.

A photograph with scribbles on 7 % of its pixels. (a) The closed-form solution spreads them. A small network is trained
by (b) the cross-entropy on the scribbles, and (c) mark_loss, from the same start.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from closedform_wsss.cli.common.arguments import positive_int
from closedform_wsss.cli.common.progress import error_callback, progress_bar
from closedform_wsss.cli.demo.picture import compose, marked_photograph, overlay
from closedform_wsss.cli.demo.scribbles import CLASSES, photograph, scribbles
from closedform_wsss.functional import mark_loss, solve_matting
from closedform_wsss.io import IGNORE_INDEX, from_array
from closedform_wsss.io._files.save import save_png

_TOL = 1e-3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    add = parser.add_argument
    add("-o", "--output", metavar="DIR", type=Path, default=Path("demo"), help="folder for demo.png (%(default)s)")
    add("--side", type=positive_int, default=192, help="pixels of the photograph's side (%(default)s)")
    add("--steps", type=positive_int, default=160, help="training steps of each network (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Solves, trains twice, writes the picture and prints the time of each."""
    args.output.mkdir(parents=True, exist_ok=True)
    image, marks = from_array(photograph(args.side))[None] / 255, scribbles(args.side)[None]
    marked = f"{float((marks != IGNORE_INDEX).float().mean()):.1%}"
    print(f"photograph of {args.side} x {args.side} pixels, {marked} of them under scribbles of {len(CLASSES)} classes")

    def marked_only(logits: Tensor) -> Tensor:
        return cross_entropy(logits, marks, ignore_index=IGNORE_INDEX)

    def with_image(logits: Tensor) -> Tensor:
        return mark_loss(logits, marks, image)

    panels = [("Photograph and scribbles", f"{marked} of the pixels are marked", marked_photograph())]
    for title, note, work in (
        ("Closed-form solution", "solve_matting", lambda: _solve(image, marks)),
        (
            "Network, cross-entropy",
            f"on the scribbles, {args.steps} steps",
            lambda: _train(image, marked_only, args.steps),
        ),
        ("Network, mark_loss", "same start and steps", lambda: _train(image, with_image, args.steps)),
    ):
        started = time.perf_counter()
        panels.append((title, note, overlay(work()[0].numpy())))
        print(f"{title}: {time.perf_counter() - started:.1f} s")
    save_png(compose(panels), args.output / "demo.png")
    print(f"wrote {args.output / 'demo.png'}")
    return 0


def _solve(image: Tensor, marks: Tensor) -> Tensor:
    with progress_bar(shown=sys.stderr.isatty(), total=100) as bar:
        return solve_matting(marks, image, num_classes=len(CLASSES), tol=_TOL, callback=error_callback(bar, _TOL)).alpha


def _train(image: Tensor, loss_of: Callable[[Tensor], Tensor], steps: int) -> Tensor:
    """Trains a new network, the same at each call, and returns its softmax."""
    torch.manual_seed(0)
    network = _network(3, 20, len(CLASSES))
    optimizer = torch.optim.AdamW(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    for _ in progress_bar(shown=sys.stderr.isatty(), iterable=range(steps)):
        optimizer.zero_grad()
        loss_of(network(image)).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return network(image).softmax(1)


def _network(channels: int, width: int, classes: int) -> nn.Sequential:
    """Convolutions that see farther and farther."""
    layers: list[nn.Module] = [nn.BatchNorm2d(channels)]
    for dilation in (1, 1, 2, 4, 8, 16):
        layers += [
            nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        channels = width
    return nn.Sequential(*layers, nn.Conv2d(width, classes, 1))
