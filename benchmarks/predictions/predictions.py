"""What refining a network's predictions gains: mean IoU before and after, with settings chosen on other data sets.

    python benchmarks predictions DATA --work WORK
    python benchmarks predictions DATA --work WORK --every 4 --runs camvid-scribbles-ce-0 voc-scribbles-ce-0

WORK holds the runs of `benchmarks training`, each with its network; without --runs, those with seed 0 count. Every
network predicts the val images of its set at its own size, and each method refines these probabilities by the image at
its full size, without marks. Of the methods with several settings, a set's figure is that of the setting whose smallest
gain over the runs of the other sets is largest; so the runs must be of two sets at least. Needs the extra "examples".

Writes results/predictions.json and .md.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from common.harness import describe_machine, table, write_json, write_markdown
from common.paths import ROOT
from torch import Tensor
from training.sets import SETS

from closedform_wsss.cli.refine_predictions.methods import DEFAULT, FIDELITY, METHODS, SCALE
from closedform_wsss.functional import asam, dense_crf, refine_prediction, soft_slic
from closedform_wsss.io import read_image, read_label_png
from closedform_wsss.metrics import ConfusionMatrix

sys.path.insert(0, str(ROOT / "examples"))
from segmentation.data import MarkedFolder
from segmentation.model import build_model

Refiner = Callable[[Tensor, Tensor], Tensor]


def settings() -> dict[str, dict[str, Refiner]]:
    """For each method its settings: probabilities ``(1, C, h, w)`` and image ``(1, 3, H, W)`` uint8 -> refined ones."""
    filters = {
        f"scale {scale:g}, fidelity {fidelity:g}": _filter(scale, fidelity)
        for scale, fidelity in itertools.product((0.5, 0.25), (0.3, 0.1, 0.03, 0.01))
    }
    propagation = {f"{steps} steps": _asam(steps) for steps in (2, 5, 20)}
    fields = {
        "defaults of pydensecrf": _field(),
        "weights of DeepLab": _field(3, 1, 4, 67, 3 / 255),
        "half of these weights": _field(1.5, 1, 2, 67, 3 / 255),
    }
    defaults = {"": lambda probs, image: METHODS[DEFAULT](probs, image, None, SCALE, FIDELITY)}
    return {
        "before": {"": lambda probs, image: probs},
        "`refine-predictions`": defaults,
        "matting filter": filters,
        "ASAM": propagation,
        "dense CRF": fields,
    }


def _filter(scale: float, fidelity: float) -> Refiner:
    return lambda probs, image: refine_prediction(probs, image, scale=scale, fidelity=fidelity)


def _asam(steps: int) -> Refiner:
    return lambda probs, image: asam(probs, soft_slic(image, cell_size=8), num_iters=steps)


def _field(*numbers: float) -> Refiner:
    names = ("smoothness_weight", "smoothness_sigma", "appearance_weight", "position_sigma", "color_sigma")
    options = dict(zip(names, numbers, strict=False))
    return lambda probs, image: dense_crf(_to_image(probs, image), image, **options)


def _to_image(probs: Tensor, image: Tensor) -> Tensor:
    return F.interpolate(probs, image.shape[-2:], mode="bilinear", align_corners=False)


def measure(run: Path, data: Path, every: int) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean IoU and milliseconds an image, for each setting of each method."""
    spec = next(spec for spec in SETS if spec.name == run.name.split("-")[0])
    folder = data / spec.folder / "val"
    pairs = MarkedFolder(folder, "labels", spec.classes, spec.size, resize_targets=False, every=every)
    model = build_model("lite_fpn", spec.classes, False).eval()
    model.load_state_dict(torch.load(run / "model.pt", map_location="cpu", weights_only=True))
    methods = {(m, s): f for m, group in settings().items() for s, f in group.items()}
    counts = {key: ConfusionMatrix(spec.classes) for key in methods}
    seconds = dict.fromkeys(methods, 0.0)
    with torch.no_grad():
        for k in range(len(pairs)):
            probs = model(pairs[k][1][None].float() / 255).softmax(1)
            image, label = read_image(pairs.images[k])[None], read_label_png(pairs.targets[k])
            for key, refine in methods.items():
                started = time.perf_counter()
                refined = refine(probs, image)
                seconds[key] += time.perf_counter() - started
                counts[key].update(_to_image(refined, label).argmax(1), label[None])
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for (method, setting), count in counts.items():
        mean = count.compute().mean_iou
        found.setdefault(method, {})[setting] = (mean, 1000 * seconds[method, setting] / len(pairs))
    return found


def chosen(found: dict[str, dict], method: str, left_out: str) -> str:
    """The setting that does least harm, as far as the other sets tell: its smallest gain over their runs is largest."""
    others = [scores for run, scores in found.items() if run.split("-")[0] != left_out]

    def smallest_gain(setting: str) -> float:
        return min(scores[method][setting][0] - scores["before"][""][0] for scores in others)

    return max(others[0][method], key=smallest_gain)


def markdown(found: dict[str, dict]) -> str:
    rows = []
    names = list(dict.fromkeys(run.split("-")[0] for run in found))
    several_seeds = len({run.rsplit("-", 1)[1] for run in found}) > 1
    for run, scores in found.items():
        before = scores["before"][""][0]
        cells = [run if several_seeds else run.rsplit("-", 1)[0], f"{before:.3f}"]
        for method in list(scores)[1:]:
            setting = chosen(found, method, run.split("-")[0])
            cells.append(f"{100 * (scores[method][setting][0] - before):+.1f}")
        rows.append(cells)
    methods = list(next(iter(found.values())))
    lines = [
        f"* {method}, chosen for {name} on the others: {chosen(found, method, name)}"
        for method in methods[2:]
        for name in names
    ]
    costs = ", ".join(
        f"{method} {statistics.median(ms for scores in found.values() for _, ms in scores[method].values()):.0f}"
        for method in methods[1:]
    )
    return "\n\n".join(
        [
            "Mean IoU of a network's predictions on the val images, and the points that refining them by the image "
            "gains. No marks are used. The setting of a method for a set is the one that does best in its worst case "
            "on the other sets.",
            table(["set, marks, training", "before", *methods[1:]], rows),
            "\n".join(lines),
            f"Median milliseconds an image, {torch.get_num_threads()} thread(s), on a machine that may be busy: "
            f"{costs}.",
        ]
    )


def networks(work: Path, names: list[str] | None) -> list[Path]:
    """The runs with these names, or all of seed 0 that have a network."""
    sets = {spec.name for spec in SETS}
    runs = [work / name for name in names] if names else sorted(file.parent for file in work.glob("*-0/model.pt"))
    runs = [run for run in runs if names or run.name.split("-")[0] in sets]
    for run in runs:
        if run.name.split("-")[0] not in sets or not (run / "model.pt").exists():
            raise SystemExit(f"benchmarks predictions: {run} must be a run of benchmarks training, with its model.pt")
    if len({run.name.split("-")[0] for run in runs}) < 2:
        found = ", ".join(run.name for run in runs) or "none"
        raise SystemExit(f"benchmarks predictions: the runs must be of two data sets at least, got {found}")
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path)
    parser.add_argument("--work", metavar="WORK", type=Path, required=True)
    parser.add_argument("--runs", nargs="+", help="names of folders in WORK (default: all with seed 0)")
    parser.add_argument("--every", type=int, default=1, help="take every N-th image (default 1)")
    args = parser.parse_args()
    machine, found = describe_machine(), {}
    for run in networks(args.work, args.runs):
        found[run.name] = measure(run, args.data, args.every)
        best = {m: max(v[0] for v in s.values()) for m, s in found[run.name].items()}
        print(run.name, {name: round(value, 4) for name, value in best.items()}, file=sys.stderr, flush=True)
    write_json("predictions", {"machine": machine, "every": args.every, "runs": found})
    given = [f"--every {args.every}"] if args.every > 1 else []
    given += [f"--runs {' '.join(args.runs)}"] if args.runs else []
    command = " ".join(["python benchmarks predictions DATA --work WORK", *given])
    write_markdown("predictions", "Refined predictions", command, machine, markdown(found))


if __name__ == "__main__":
    main()
