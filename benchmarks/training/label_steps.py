"""Are the fixed steps of self-training's filter enough? Labels of trained networks, by steps, against the exact filter.

    python benchmarks training.label_steps DATA --work WORK
    python benchmarks training.label_steps DATA --work WORK --images 5

DATA is that of `benchmarks training`, and WORK holds its runs, each with its network. Of some training images, every
network's predictions are filtered with the marks, as in a step of SelfTrainingLoss, by so many steps of Chebyshev's
method and by conjugate gradients until tol 1e-5. Needs the extra "examples".

Writes results/label_steps.json and .md.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from common.harness import describe_machine, table, write_json, write_markdown
from common.paths import ROOT
from torch import Tensor

from closedform_wsss.functional import classes_present, refine_prediction
from closedform_wsss.io import IGNORE_INDEX, read_label_png
from closedform_wsss.metrics import ConfusionMatrix
from closedform_wsss.training import Recipe
from closedform_wsss.training.filtering import STEPS
from closedform_wsss.training.resolution import filter_sides
from training.sets import SETS

sys.path.insert(0, str(ROOT / "examples"))
from segmentation.data import MarkedFolder
from segmentation.model import build_model

EXACT = "exact"
FACTORS = (1.75, 2.6, STEPS, 5.0)  # times 1 / sqrt(fidelity)


def measure(run: Path, data: Path, images: int) -> dict[str, dict[str, float]]:
    """Mean IoU of the labels, and the fraction of pixels whose winner is not that of the exact filter."""
    name, marks = run.name.split("-")[:2]
    spec = next(spec for spec in SETS if spec.name == name)
    folder, fidelity = data / spec.folder / "train", Recipe().fidelity
    marked = MarkedFolder(folder, marks, spec.classes, spec.size)
    model = build_model("lite_fpn", spec.classes, False).eval()
    model.load_state_dict(torch.load(run / "model.pt", map_location="cpu", weights_only=True))
    options: dict[str, dict[str, float | int]] = {EXACT: {"tol": 1e-5}}
    options |= {f"{n} steps": {"num_iters": n} for n in (round(f / fidelity**0.5) for f in FACTORS)}
    counts = {key: ConfusionMatrix(spec.classes) for key in options}
    missed = dict.fromkeys(options, 0.0)
    chosen = range(0, len(marked), max(len(marked) // images, 1))[:images]
    for k in chosen:
        image, target = marked[k][1][None].float() / 255, marked[k][2][None].long()
        p, present = model(image).softmax(1), classes_present(target, spec.classes)
        side = int(filter_sides(target, spec.classes, IGNORE_INDEX))
        size = [max(round(length / side), 1) for length in spec.size]
        p, small = (F.interpolate(maps, size, mode="area").clamp(0, 1) for maps in (p, image))
        truth = read_label_png(folder / "labels" / marked.targets[k].name)
        labels: dict[str, Tensor] = {}
        for key, option in options.items():
            q = refine_prediction(p, small, target, class_present=present, fidelity=fidelity, **option)
            labels[key] = F.interpolate(q, spec.size, mode="bilinear").argmax(1)
            label = torch.where(target != IGNORE_INDEX, target, labels[key])[:, None].float()
            counts[key].update(F.interpolate(label, truth.shape, mode="nearest")[:, 0].long(), truth[None])
        for key, label in labels.items():
            missed[key] += float((label != labels[EXACT]).float().mean()) / len(chosen)
    return {key: {"mean_iou": count.compute().mean_iou, "other_winners": missed[key]} for key, count in counts.items()}


@torch.no_grad()
def main() -> None:
    """The networks of WORK that were trained with seed 0 by the cross-entropy on marks or by SelfTrainingLoss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--images", type=int, default=40, help="of each network (40)")
    parser.add_argument("--runs", nargs="+", help="names of runs (default: cross-entropy and online of seed 0)")
    args = parser.parse_args()
    names = args.runs or [run.name for run in sorted(args.work.iterdir()) if run.name.endswith(("-ce-0", "-online-0"))]
    missing = [name for name in names if not (args.work / name / "model.pt").exists()]
    if missing or not names:
        what = f"no model.pt of {', '.join(missing)}" if names else "no run of cross-entropy or online with seed 0"
        raise SystemExit(f"benchmarks training.label_steps: {args.work} holds {what}")
    machine, found = describe_machine(), {}
    for name in names:
        found[name] = measure(args.work / name, args.data, args.images)
        print(name, {key: round(value["mean_iou"], 4) for key, value in found[name].items()}, flush=True)
    keys = list(next(iter(found.values())))
    cells = [
        [name, *(f"{of[key]['mean_iou']:.4f}, {100 * of[key]['other_winners']:.2f} %" for key in keys)]
        for name, of in found.items()
    ]
    worst = max(
        abs(of[f"{round(STEPS / Recipe().fidelity ** 0.5)} steps"]["mean_iou"] - of[EXACT]["mean_iou"])
        for of in found.values()
    )
    body = (
        f"Mean IoU of the labels of {args.images} training images, and how many pixels have another winner than by the "
        f"exact filter. A network's name says data set, marks, loss and seed. By the steps that self-training "
        f"takes, labels differ by at most {worst:.4f} in mean IoU.\n\n" + table(["network", *keys], cells)
    )
    write_json("label_steps", {"machine": machine, "networks": found})
    folders = {str(args.data): "DATA", str(args.work): "WORK"}
    how = shlex.join(
        ["python", "benchmarks", "training.label_steps", *(folders.get(option, option) for option in sys.argv[1:])]
    )
    write_markdown("label_steps", "Fixed steps of the filter", how, machine, body)
