"""How much do the settings of the pseudo-labels matter, and do those that suit other data sets suit this one?

    python benchmarks training.label_settings DATA --work WORK
    python benchmarks training.label_settings DATA --work WORK --sets acdc --seeds 0

DATA is that of `benchmarks training`. A network learns from marks for a third of the training, as before the first
round of PseudoLabeler; WORK keeps it. Of some training images it predicts, labels are made with every setting, and
compared with the masks. Each setting is changed alone. Then one data set is left out: each setting gets the value that
is best on average over the others, and labels of the set left out are made with all of these values. The row "left-out"
of `benchmarks training` trains with them.

Needs the extra "examples". Writes results/label_settings.json and .md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from common.harness import describe_machine, table, write_json, write_markdown
from common.paths import ROOT

from closedform_wsss.io import read_label_png
from closedform_wsss.metrics import ConfusionMatrix
from closedform_wsss.training import PseudoLabeler, Recipe, model_output, resolution
from training.rows import CONSTANTS
from training.sets import SETS, DataSet

sys.path.insert(0, str(ROOT / "examples"))
from segmentation.data import MarkedFolder
from segmentation.model import build_model

# The fields of Recipe that make the labels, and the constants of its rules; the first value is the default.
SETTINGS: dict[str, tuple[Any, ...]] = {
    "prediction_scales": ((1.0, 2.0), (1.0,), (2.0,)),
    "fidelity": (0.03, 0.01, 0.1),
    "repeats": (2, 0, 1, 4),
    "filter_scale": (None, 1.0, 0.5, 0.25, 0.125),
    "complete_marks": (True, False),
    "REACH": (8, 4, 16),
    "EPS": (1e-5, 1e-7, 1e-4),
    "KEPT_RECALL": (0.75, 0.5, 0.9),
}
DEFAULTS = {name: values[0] for name, values in SETTINGS.items()}
Changed = dict[str, Any]  # settings that are not the default
Case = tuple[str, str]  # data set, marks
Scores = dict[Case, dict[str, float]]  # mean IoU of the labels, by text(changed); a mean over seeds


def text(changed: Changed) -> str:
    names = {"None": "by the marks"}
    return ", ".join(f"{k} {names.get(str(v), v)}" for k, v in changed.items() if v != DEFAULTS[k]) or "default"


def single_changes() -> Iterator[Changed]:
    yield {}
    for name, (_, *others) in SETTINGS.items():
        for value in others:
            yield {name: value}


def network(data: Path, spec: DataSet, marks: str, seed: int, work: Path) -> torch.nn.Module:
    """The averaged network after a third of the training."""
    import train_segmentation

    file = work / f"{spec.name}-{marks}-third-{seed}.pt"
    if not file.exists():
        options = ["--targets", marks, "--seed", str(seed), "--quiet"]
        with tempfile.TemporaryDirectory() as folder:
            argv = [*spec.arguments(data), *options, "--method", "rounds", "-o", folder]
            trainer = train_segmentation.Trainer(train_segmentation.parse(argv))
            while not trainer.labeler.due(trainer.epoch, spec.epochs):
                trainer.train_epoch()
                trainer.epoch += 1
        work.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        torch.save(trainer.average.module.state_dict(), part)
        part.replace(file)  # whole, whenever the run is interrupted
    model = build_model("lite_fpn", spec.classes, False).eval()
    model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return model


class Labels:
    """Makes labels of some training images of one case. Predictions are made once for each choice of scales."""

    def __init__(self, data: Path, spec: DataSet, marks: str, model: torch.nn.Module, images: int) -> None:
        self.spec, self.model = spec, model
        self.folder = data / spec.folder / "train"
        self.marked = MarkedFolder(self.folder, marks, spec.classes, spec.size)
        self.chosen = range(0, len(self.marked), max(len(self.marked) // images, 1))[:images]
        self.kept: dict[tuple[int, tuple[float, ...]], torch.Tensor] = {}

    def predicted(self, k: int, scales: tuple[float, ...]) -> torch.Tensor:
        _, image, marks = self.marked[k]
        used = resolution.prediction_scales(scales, marks[None].long(), self.spec.classes, 255)
        if (k, used) not in self.kept:
            pixels = image[None].float() / 255
            p = model_output.probabilities("predict", self.model, pixels, self.spec.classes, used, False)
            self.kept[k, used] = p[0].half()
        return self.kept[k, used].float()

    def mean_iou(self, changed: Changed) -> float:
        """Of the labels with these settings."""
        fields = {name: value for name, value in changed.items() if name not in CONSTANTS}
        recipe = Recipe(**fields, max_ambiguity=1.0)  # a label at every pixel, to be compared
        counts = ConfusionMatrix(self.spec.classes)
        with ExitStack() as stack:
            for name in changed.keys() & CONSTANTS.keys():
                stack.enter_context(patch.object(CONSTANTS[name], name, changed[name]))
            labeler = PseudoLabeler(stack.enter_context(tempfile.TemporaryDirectory()), self.spec.classes, recipe)
            samples = ((str(k), *self.marked[k][1:], self.predicted(k, recipe.prediction_scales)) for k in self.chosen)
            labeler.update_from(samples)
            for k in self.chosen:
                truth = read_label_png(self.folder / "labels" / self.marked.targets[k].name)
                label = F.interpolate(labeler[str(k)][None, None].float(), truth.shape, mode="nearest")
                counts.update(label[:, 0].long(), truth[None])
        return counts.compute().mean_iou


def chosen_elsewhere(scores: Scores, left_out: str) -> Changed:
    """Each setting's best value, changed alone, by the mean over the other data sets of their means."""
    others = sorted({name for name, _ in scores} - {left_out})

    def elsewhere(changed: Changed) -> float:
        key = text(changed)
        return statistics.mean(
            statistics.mean(of[key] for (name, _), of in scores.items() if name == s) for s in others
        )

    best = {name: max(values, key=lambda value: elsewhere({name: value})) for name, values in SETTINGS.items()}
    return {name: value for name, value in best.items() if value != DEFAULTS[name]}


def markdown(scores: Scores, left_out: dict[str, Changed], images: int, seeds: list[int]) -> str:
    cases = list(scores)
    header = ["setting", *(f"{name}, {marks}".replace("_", " ") for name, marks in cases)]
    rows = [[text(changed), *(f"{scores[case][text(changed)]:.3f}" for case in cases)] for changed in single_changes()]
    lines = []
    for case in cases:
        changed, of = left_out[case[0]], scores[case]
        best = max(map(text, single_changes()), key=lambda key: of[key])
        cells = [f"{of['default']:.3f}", f"{of[text(changed)]:.3f}", text(changed), f"{of[best]:.3f}", best]
        lines.append([f"{case[0]}, {case[1]}".replace("_", " "), *cells])
    seeds_text = "seed " + str(seeds[0]) if len(seeds) == 1 else f"the mean over seeds {', '.join(map(str, seeds))}"
    return (
        f"Mean IoU of the labels of {images} training images after a third of the training, {seeds_text}. Each row "
        "changes one setting of `Recipe`, or a constant of its rules (in capitals).\n\n"
        + table(header, rows)
        + "\n\n**One data set left out.** Each setting has the value that is best on average over the other data sets, "
        "changed alone; all of these together make the labels of the set left out.\n\n"
        + table(["left out", "default", "chosen on the others", "these", "best single change", "this"], lines)
    )


@torch.no_grad()
def main() -> None:
    """All data sets with all marks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--work", type=Path, required=True, help="folder of the networks")
    parser.add_argument("--images", type=int, default=80, help="of each data set (80)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--sets", nargs="+", choices=[data.name for data in SETS], help="default all")
    args = parser.parse_args()
    machine = describe_machine()
    specs = [spec for spec in SETS if args.sets is None or spec.name in args.sets]
    labels: dict[Case, list[Labels]] = {}
    scores: Scores = {}
    for spec in specs:
        for marks in spec.marks:
            with torch.enable_grad():
                models = [network(args.data, spec, marks, seed, args.work) for seed in args.seeds]
            case = spec.name, marks
            labels[case] = [Labels(args.data, spec, marks, model, args.images) for model in models]
            scores[case] = {}
            for changed in single_changes():
                scores[case][text(changed)] = statistics.mean(of.mean_iou(changed) for of in labels[case])
            print(*case, {key: round(value, 4) for key, value in scores[case].items()}, flush=True)
    left_out = {spec.name: chosen_elsewhere(scores, spec.name) for spec in specs} if len(specs) > 1 else {}
    for case in scores if left_out else ():
        changed = left_out[case[0]]
        scores[case][text(changed)] = statistics.mean(of.mean_iou(changed) for of in labels[case])
    results = {"machine": machine, "labels": [[*case, of] for case, of in scores.items()], "left_out": left_out}
    if left_out:
        write_json("label_settings", results)
        how = "python benchmarks training.label_settings DATA --work WORK --seeds " + " ".join(map(str, args.seeds))
        body = markdown(scores, left_out, args.images, args.seeds)
        write_markdown("label_settings", "Settings of the pseudo-labels", how, machine, body)
