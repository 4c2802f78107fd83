"""Train a segmentation network from scribbles, points or masks.

    python examples/train_segmentation.py TRAIN --val VAL --classes 11 --size 180 240 -o OUTPUT
    torchrun --nproc-per-node 4 examples/train_segmentation.py ...

TRAIN holds images/ and the folder of targets that --targets names. VAL holds images/ and labels/. Targets are PNG files
of classes, with 255 where nothing is marked.

From marks, the network first learns by closedform_wsss.functional.mark_loss without its dense CRF. Then it learns from
labels that are made of its own predictions, the marks and the image: --method rounds (default) makes labels of all
training images, twice (closedform_wsss.training.PseudoLabeler); --method online makes those of a step in the step
itself (closedform_wsss.training.SelfTrainingLoss). --method loss, the default from masks (--targets labels), is the
cross-entropy on the targets alone. --loss adds further losses: --loss energy=10; --loss marks=1 replaces the
cross-entropy by mark_loss.

OUTPUT gets log.csv, last.pt (a new run continues from it), model.pt (the averaged weights), scores.json and pictures/
(image, prediction, target).
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, DistributedSampler, default_collate
from tqdm import tqdm

from closedform_wsss.functional import classes_present
from closedform_wsss.training import PseudoLabeler, Recipe, SelfTrainingLoss, class_weights

sys.path.insert(0, str(Path(__file__).parent))
from segmentation.augment import flip
from segmentation.data import DataError, MarkedFolder
from segmentation.evaluation import evaluate, save_pictures
from segmentation.losses import LOSSES, WHOLE, Batch
from segmentation.model import build_model

RECIPE = Recipe()


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", metavar="TRAIN", type=Path, help="folder with images/ and the targets' folder")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--val", type=Path, help="folder with images/ and labels/ to score the network on")
    parser.add_argument("--classes", type=int, required=True, help="number of classes; labels are 0 to CLASSES - 1")
    parser.add_argument(
        "--targets", default="scribbles", help="folder in TRAIN: scribbles (default), points, labels ..."
    )
    parser.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="size of the images; default their own")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="train on every N-th image (default 1)")
    parser.add_argument("--model", default="lite_fpn", help="lite_fpn (default), torchvision:NAME or smp:ARCH:ENCODER")
    parser.add_argument("--no-pretrained", action="store_true", help="start from random weights")
    parser.add_argument(
        "--loss", action="append", default=[], metavar="NAME=WEIGHT", help=f"further loss: {', '.join(LOSSES)}"
    )
    parser.add_argument("--method", choices=["rounds", "online", "loss"], help="default rounds; from masks loss")
    parser.add_argument("--epochs", type=int, default=12, help="default 12")
    parser.add_argument(
        "--val-every", type=int, default=4, help="epochs between two scores (default 4), and at the end"
    )
    parser.add_argument("--batch", type=int, default=8, help="images in a step of each process (default 8)")
    parser.add_argument("--lr", type=float, default=1e-3, help="highest learning rate (default 1e-3)")
    parser.add_argument("--amp", action="store_true", help="compute in half precision (float16 on CUDA, else bfloat16)")
    parser.add_argument("--workers", type=int, default=0, help="processes that read; 0 keeps all images in memory")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", help="default cuda, if available")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    args = parser.parse_args(argv)
    for name in ("classes", "every", "epochs", "val_every", "batch"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, got {getattr(args, name)}")
    if args.size and min(args.size) < 1:
        parser.error(f"--size must be at least 1 1, got {args.size[0]} {args.size[1]}")
    args.loss = [name_and_weight(parser, text) for text in args.loss]
    if args.method is None:
        args.method = "loss" if args.targets == "labels" else "rounds"
    return args


def name_and_weight(parser: argparse.ArgumentParser, text: str) -> tuple[str, float]:
    name, _, weight = text.partition("=")
    if name not in LOSSES:
        parser.error(f"--loss must be NAME=WEIGHT with a name out of {', '.join(LOSSES)}, got {text!r}")
    try:
        number = float(weight or 1)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        parser.error(f"--loss must be NAME=WEIGHT with a finite number as weight, got {text!r}")
    return name, number


class Trainer:
    """A training run."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.rank, self.world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        self.device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if self.device.type == "cuda" and self.world > 1:
            self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(self.device)
        torch.manual_seed(args.seed)

        options = {"num_classes": args.classes, "size": args.size and tuple(args.size), "keep": args.workers == 0}
        self.data = MarkedFolder(args.train, args.targets, every=args.every, **options)
        if len(self.data) < args.batch * self.world:
            raise SystemExit(f"{args.train} holds {len(self.data)} images, fewer than a step takes: lower --batch")
        self.sampler = DistributedSampler(self.data, self.world, self.rank, seed=args.seed, drop_last=True)
        self.seen = torch.zeros(args.classes, dtype=torch.bool)  # classes of the targets
        self.loader = DataLoader(
            self.data, args.batch, collate_fn=together, sampler=self.sampler, drop_last=True, num_workers=args.workers,
            persistent_workers=args.workers > 0, pin_memory=self.device.type == "cuda",
        )  # fmt: skip
        self.val = None
        if args.val:
            val = MarkedFolder(args.val, "labels", resize_targets=False, **options)
            # One at a time, because labels have any size. Each rank takes a part.
            own = list(range(self.rank, len(val), self.world))
            self.val = DataLoader(val, 1, sampler=own, num_workers=args.workers)

        model = build_model(args.model, args.classes, not args.no_pretrained)
        model = model.to(self.device, memory_format=torch.channels_last)
        # Uses the number of steps on the CPU: reading the one on the device would wait for it.
        self.average = AveragedModel(model, avg_fn=lambda a, p, _: average(a, p, self.step), use_buffers=True)
        self.model: nn.Module = DistributedDataParallel(model) if self.world > 1 else model
        self.optimizer = torch.optim.AdamW(model.parameters(), args.lr)
        self.steps = args.epochs * len(self.loader)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, args.lr, total_steps=self.steps, pct_start=0.1
        )
        half = torch.float16 if self.device.type == "cuda" else torch.bfloat16
        self.autocast = torch.autocast(self.device.type, half, enabled=args.amp)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=args.amp and half is torch.float16)

        self.labeler: PseudoLabeler | None = None
        self.online: SelfTrainingLoss | None = None
        self.class_weight: Tensor | None = None
        if args.targets == "labels":
            self.class_weight = class_weights(self.data.shares()).to(self.device)
        if args.method == "rounds":
            self.labeler = PseudoLabeler(args.output / "pseudo_labels", args.classes, RECIPE)
        elif args.method == "online":
            self.online = SelfTrainingLoss(args.classes, self.steps, RECIPE).to(self.device)
        self.epoch = self.step = 0

    def run(self) -> None:
        args = self.args
        self.resume()
        while self.epoch < args.epochs:
            started = time.perf_counter()
            if self.labeler and self.labeler.due(self.epoch, args.epochs):
                self.make_labels(self.labeler)
            row = {"epoch": self.epoch + 1, "lr": self.schedule.get_last_lr()[0], **self.train_epoch()}
            if self.epoch == 0:
                self.warn_of_missing_classes()
            self.epoch += 1
            row["seconds"] = round(time.perf_counter() - started, 1)
            if self.val and (self.epoch == args.epochs or self.epoch % args.val_every == 0):
                scores = evaluate(self.average, self.val, args.classes, self.device).compute()
                row |= {"mean_iou": scores.mean_iou, "pixel_accuracy": scores.pixel_accuracy}
                if self.epoch == args.epochs and self.rank == 0:
                    report = row | {"iou": scores.iou.tolist()}
                    (args.output / "scores.json").write_text(json.dumps(report, indent=1))
            if self.rank == 0:
                self.log(row)
                self.save()
        if self.rank == 0:
            torch.save(self.average.module.state_dict(), args.output / "model.pt")
            shown = self.val or DataLoader(self.data, 1)
            save_pictures(self.average, shown, args.output / "pictures", 8, self.device)

    def make_labels(self, labeler: PseudoLabeler) -> None:
        """Make the labels of this process's images."""
        self.average.eval()
        own = tqdm(range(self.rank, len(self.data), self.world), "pseudo-labels", leave=False, disable=self.quiet)
        samples = ((self.data.name(index), *self.data[index][1:]) for index in own)
        report = labeler.update(lambda image: self.average(image.to(self.device)), samples)
        if not self.quiet:
            print(report, flush=True)

    @property
    def quiet(self) -> bool:
        return self.args.quiet or self.rank > 0

    def train_epoch(self) -> dict[str, float]:
        """One pass over the data; the mean of each loss."""
        self.model.train()
        self.sampler.set_epoch(self.epoch)
        # A new generator in each epoch, so that a resumed run gives the same result.
        flips = torch.Generator().manual_seed(hash((self.args.seed, self.epoch, self.rank)) % 2**31)
        sums: dict[str, Tensor] = {}
        further = [(name, weight) for name, weight in self.args.loss if name not in WHOLE]
        bar = tqdm(self.loader, f"epoch {self.epoch + 1}/{self.args.epochs}", leave=False, disable=self.quiet)
        for index, image, target in bar:
            if self.epoch == 0:
                self.seen |= torch.bincount(target.flatten().long(), minlength=256)[: self.args.classes] > 0
            if self.labeler:
                keys = [self.data.name(k) for k in index.tolist()]
                target = torch.stack([self.labeler.get(key, marks) for key, marks in zip(keys, target, strict=True)])
            image, target = flip([image.to(self.device).float() / 255, target.to(self.device).long()], flips)
            with self.autocast:
                logits = self.model(image.contiguous(memory_format=torch.channels_last))
            batch = Batch(logits.float(), image, target, self.class_weight)
            losses = self.main_loss(batch)
            # The weight of further losses grows in the first third: at the start there is nothing to refine.
            ramp = min(1.0, 3 * self.step / self.steps)
            losses |= {name: factor * ramp * LOSSES[name](batch) for name, factor in further}
            self.optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(sum(losses.values())).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.schedule.step()
            self.average.update_parameters(self.module)
            self.step += 1
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0) + loss.detach()
        return {name: float(total) / len(self.loader) for name, total in sums.items()}

    def warn_of_missing_classes(self) -> None:
        """Which classes no target of the first epoch had, of any rank."""
        seen = self.seen.long().to(self.device)
        if self.world > 1:
            dist.all_reduce(seen)
        missing = [str(c) for c, count in enumerate(seen.tolist()) if not count]
        if missing and self.rank == 0:
            print(
                f"no target in {self.data.targets[0].parent} has a pixel of class {', '.join(missing)}. Targets are "
                "class numbers from 0, and 255 is no class: in a mask of 0 and 255 write 1 for 255.",
                file=sys.stderr,
            )

    def main_loss(self, batch: Batch) -> dict[str, Tensor]:
        if self.labeler:
            return {"self_training": self.labeler.loss(batch.logits, batch.target, batch.image)}
        if self.online:
            present = classes_present(batch.target, self.args.classes)  # images are whole: flips crop nothing
            return {"self_training": self.online(batch.logits, batch.target, batch.image, present)}
        names = [name for name, _ in self.args.loss if name in WHOLE] or ["cross_entropy"]
        return {name: LOSSES[name](batch) for name in names}

    @property
    def module(self) -> nn.Module:
        return self.model.module if self.world > 1 else self.model

    def log(self, row: dict[str, float]) -> None:
        """Add a line to log.csv. New columns extend the table. A run that was cut before it saved is replaced."""
        file, part = self.args.output / "log.csv", self.args.output / "log.part"
        rows = list(csv.DictReader(file.open())) if file.exists() else []
        rows = [line for line in rows if int(line["epoch"]) < row["epoch"]]
        rows.append({name: value if isinstance(value, int) else f"{value:.6g}" for name, value in row.items()})
        columns = list(dict.fromkeys(name for r in rows for name in r))
        with part.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, columns)
            writer.writeheader()
            writer.writerows(rows)
        part.replace(file)  # a run that is killed here keeps its log
        if not self.args.quiet:
            print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)

    def options(self) -> dict[str, str]:
        """Options that a resumed run must not change."""
        free = ("output", "val", "val_every", "workers", "device", "quiet")
        return {name: str(value) for name, value in vars(self.args).items() if name not in free}

    def state(self) -> dict[str, nn.Module]:
        parts = ("module", "average", "optimizer", "schedule", "scaler")
        found = {name: getattr(self, name) for name in parts}
        return found | ({"online": self.online} if self.online else {})

    def save(self) -> None:
        state = {name: part.state_dict() for name, part in self.state().items()}
        state |= {"epoch": self.epoch, "step": self.step, "options": self.options()}
        part = self.args.output / "last.part"
        torch.save(state, part)
        part.replace(self.args.output / "last.pt")

    def resume(self) -> None:
        file = self.args.output / "last.pt"
        if not file.exists():
            return
        state = torch.load(file, map_location=self.device, weights_only=True)
        now = self.options()
        if changed := [
            f"{name} {was} and not {now[name]}" for name, was in state["options"].items() if was != now[name]
        ]:
            raise SystemExit(f"{file} is of a run with {', '.join(changed)}: choose another OUTPUT")
        for name, part in self.state().items():
            part.load_state_dict(state[name])
        self.epoch, self.step = state["epoch"], state["step"]


def together(items: list[tuple[int, Tensor, Tensor]]) -> list[Tensor]:
    """A batch; images of several sizes cannot be one."""
    sizes = sorted({tuple(image.shape[1:]) for _, image, _ in items})
    if len(sizes) > 1:
        examples = " and ".join(f"{width} x {height}" for height, width in sizes[:2])
        raise DataError(f"the images have several sizes, such as {examples} pixels: give --size H W")
    return default_collate(items)


def average(averaged: Tensor, parameter: Tensor, step: int) -> Tensor:
    """Exponential average over about 100 steps, over fewer at the start. Counts are not averaged."""
    if not averaged.is_floating_point():
        return parameter
    return averaged.lerp(parameter, 1 - min(0.99, (1 + step) / (10 + step)))


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("nccl" if torch.cuda.is_available() and args.device != "cpu" else "gloo")
    try:
        Trainer(args).run()
    except DataError as error:
        raise SystemExit(str(error)) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


if __name__ == "__main__":
    main()
    if "WORLD_SIZE" in os.environ:
        # A thread of gloo may still free the tensors of the last collective, for which it needs the interpreter. It
        # aborts the process if the interpreter ends meanwhile: leave without ending it.
        sys.stdout.flush()
        os._exit(0)
