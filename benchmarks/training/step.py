"""What a loss costs: a training step of the example's network with and without it.

    python benchmarks training.step [--threads 1 2] [--quick]

8 images of 240 x 180 and 11 classes (scikit-image's photographs, so that windows are as ill-conditioned as in life).
The step is that of examples/train_segmentation.py: forward, cross-entropy on marks, backward, AdamW. Needs the extra
"examples".

Writes results/training_step.json and .md.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence

import torch
from common.harness import (
    Method,
    describe_machine,
    milliseconds,
    race,
    ratio_text,
    table,
    write_json,
    write_markdown,
)
from common.paths import ROOT
from skimage import data
from skimage.transform import resize

from closedform_wsss.functional import classes_present
from closedform_wsss.io import from_array
from closedform_wsss.training import Recipe, SelfTrainingLoss
from training import baselines
from training.baselines import BASELINES

CLASSES, BATCH, SIZE = 11, 8, (180, 240)
ALONE = "cross-entropy alone"
OURS = ("mark_loss", "SelfTrainingLoss")
ADDED = ("energy", "energy_full", "residual", "learning_based", "absent", "superpixel")


def photographs(batch: int, size: tuple[int, int]) -> torch.Tensor:
    """``(batch, 3, H, W)`` in [0, 1]."""
    pictures = [from_array(resize(image, size)) for image in (data.astronaut(), data.coffee(), data.chelsea())]
    images = torch.stack([pictures[k % 3] for k in range(batch)])
    return images.float().contiguous(memory_format=torch.channels_last)


def strokes(batch: int, size: tuple[int, int]) -> torch.Tensor:
    """``(batch, H, W)`` marks: a stroke of each class, as far apart as CamVid's scribbles, where the marks of one class
    lie close to those of another."""
    h, w = size
    target = torch.full((batch, h, w), 255)
    for c in range(CLASSES):
        row, left = (2 * (c // 2) + 1) * h // 12, (c % 2) * w // 2 + w // 12
        row -= (c == CLASSES - 1) * h // 8
        target[:, row : row + 3, left : left + w // 3] = c
    return target


def methods(batch: int, size: tuple[int, int], names: Sequence[str]) -> list[Method]:
    """A step with the cross-entropy alone, which is the reference, and with each of the losses."""
    torch.manual_seed(0)
    sys.path.insert(0, str(ROOT / "examples"))
    from segmentation.losses import LOSSES, Batch
    from segmentation.model import LiteFPN

    network = LiteFPN(CLASSES, pretrained=False).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    image = photographs(batch, size)
    target = strokes(batch, size)

    online = SelfTrainingLoss(CLASSES, 1_000_000, Recipe(num_images=1, rounds=(1e-6, 2e-6)))
    for _ in range(3):  # past its rounds, where each step makes labels
        online(network(image), target, image, classes_present(target, CLASSES))

    def step(name: str | None) -> Callable[[], None]:
        def run() -> None:
            logits = network(image)
            marked = Batch(logits, image, target)
            if name == "SelfTrainingLoss":
                loss = online(logits, target, image, classes_present(target, CLASSES))
            elif name == "mark_loss":
                loss = LOSSES["marks"](marked)
            else:
                loss = LOSSES["cross_entropy"](marked)
            if name in baselines.LOSSES:
                loss = loss + baselines.LOSSES[name](marked)
            elif name in LOSSES:
                loss = loss + LOSSES[name](marked)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return run

    return [Method(ALONE, step(None))] + [Method(name, step(name)) for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="tiny: does it run?")
    args = parser.parse_args()
    batch, size, repeats = (2, (48, 64), 1) if args.quick else (BATCH, SIZE, args.repeats)
    steps = methods(batch, size, [*OURS, *ADDED, *BASELINES])
    case = f"{batch} x {CLASSES} x {size[0]} x {size[1]}"
    results = []
    for threads in args.threads:
        torch.set_num_threads(threads)
        results += race("training step", case, threads, steps, repeats=repeats, budget=60)
    machine = describe_machine()
    cells = [[r.name, str(r.threads), milliseconds(r.median_s), ratio_text(r), str(r.rounds)] for r in results]
    body = (
        f"A training step of the example's network on {case} (images, classes, height, width): with the cross-entropy "
        "on the marks alone, and with one more loss (mark_loss and SelfTrainingLoss contain it; SelfTrainingLoss after "
        "its first third). The losses from gated_crf on are those of other authors, in plain PyTorch, as the benchmark "
        "of the training has them: programs of their authors may be faster. Medians; the ratios' quartiles in "
        "brackets.\n\n" + table(["loss", "threads", "ms a step", "ratio", "rounds"], cells)
    )
    if args.quick:
        print(body)
        return
    write_json("training_step", {"machine": machine, "results": results})
    how = shlex.join(["python", "benchmarks", "training.step", *sys.argv[1:]])
    write_markdown("training_step", "What a loss costs in a training step", how, machine, body)
