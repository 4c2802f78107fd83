"""``closedform-wsss demo``: what scribbles can do, in one picture.

A photograph with scribbles on 7 % of its pixels, (a) spread by the closed-form solution, (b) used to train a small
network with cross-entropy on the scribbles alone, and (c) the same network from the same start with the closed-form
loss added.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closedform_wsss import functional
from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.cli.common.arguments import positive_int
from closedform_wsss.cli.common.progress import Progress
from closedform_wsss.cli.demo.picture import compose, marked_photograph, overlay
from closedform_wsss.cli.demo.scribbles import CLASSES, photograph, scribbles
from closedform_wsss.io._save import save_png

TOL = 1e-3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("demo"),
        help="folder for demo.png (%(default)s)",
    )
    parser.add_argument("--side", type=positive_int, default=192, help="pixels of the photograph's side (%(default)s)")
    parser.add_argument("--steps", type=positive_int, default=160, help="training steps of each network (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Solves, trains twice, writes the picture and says what each took."""
    args.output.mkdir(parents=True, exist_ok=True)
    image = torch.from_numpy(np.array(photograph(args.side))).permute(2, 0, 1)[None].float() / 255
    target = torch.from_numpy(scribbles(args.side)).long()[None]
    share = float((target != IGNORE_INDEX).float().mean())
    print(
        f"photograph of {args.side} x {args.side} pixels, {share:.1%} of them under scribbles of {len(CLASSES)} classes"
    )

    def partial(logits: Tensor) -> Tensor:
        return F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX)

    def with_closed_form(logits: Tensor) -> Tensor:
        return partial(logits) + functional.closed_form_loss(logits, target, image, form="energy", eps=1e-4)

    matte, solving = _timed("closed-form solution", lambda: _solve(image, target))
    plain, plain_time = _timed(
        "network, scribbles only",
        lambda: _train(image, partial, args.steps, "cross-entropy on the scribbles"),
    )
    taught, taught_time = _timed(
        "network, closed-form loss added",
        lambda: _train(image, with_closed_form, args.steps, "+ closed-form loss"),
    )
    picture = compose(
        [
            ("Photograph and scribbles", f"{share:.1%} of the pixels are marked", marked_photograph()),
            ("Closed-form solution", f"solve_matting, {solving:.0f} s", overlay(matte)),
            (
                "Network, scribbles only",
                f"partial cross-entropy, {args.steps} steps, {plain_time:.0f} s",
                overlay(plain),
            ),
            ("Network, + closed-form loss", f"same start and steps, {taught_time:.0f} s", overlay(taught)),
        ]
    )
    save_png(picture, args.output / "demo.png")
    print(f"wrote {args.output / 'demo.png'}")
    return 0


def _timed(what: str, work: Callable[[], Tensor]) -> tuple[np.typing.NDArray[np.float32], float]:
    started = time.perf_counter()
    result = work()[0].numpy()
    seconds = time.perf_counter() - started
    print(f"{what}: {seconds:.1f} s")
    return result, seconds


def _solve(image: Tensor, target: Tensor) -> Tensor:
    with Progress(TOL, shown=sys.stderr.isatty()) as progress:
        return functional.solve_matting(target, image, num_classes=len(CLASSES), tol=TOL, callback=progress).alpha


def _train(image: Tensor, loss_of: Callable[[Tensor], Tensor], steps: int, name: str) -> Tensor:
    """Train a new network, the same at each call, and return its softmax."""
    torch.manual_seed(0)
    network = _SmallUNet(len(CLASSES))
    optimiser = torch.optim.AdamW(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-2, total_steps=steps)
    for _ in _steps(steps, name):
        optimiser.zero_grad()
        loss_of(network(image)).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return network(image).softmax(1)


def _steps(number: int, name: str) -> Iterable[int]:
    try:
        from tqdm import tqdm
    except ImportError:
        return range(number)
    return tqdm(range(number), desc=name, leave=False, disable=not sys.stderr.isatty())


class _SmallUNet(nn.Module):
    """Two poolings, 0.1 million parameters."""

    def __init__(self, classes: int, width: int = 16) -> None:
        super().__init__()
        self.down = nn.ModuleList([_block(3, width), _block(width, 2 * width), _block(2 * width, 4 * width)])
        self.up = nn.ModuleList([_block(6 * width, 2 * width), _block(3 * width, width)])
        self.out = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        fine = self.down[0](image - 0.5)
        middle = self.down[1](F.max_pool2d(fine, 2))
        coarse = self.down[2](F.max_pool2d(middle, 2))
        middle = self.up[0](torch.cat([middle, _upsample(coarse, middle)], 1))
        fine = self.up[1](torch.cat([fine, _upsample(middle, fine)], 1))
        logits: Tensor = self.out(fine)
        return logits


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


def _upsample(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
