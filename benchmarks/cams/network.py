"""What refined CAMs are worth: a network trained from their labels, against raw CAMs and full masks.

    python benchmarks cams.network DATA --work WORK --maps MAPS
    python benchmarks cams.network DATA --work WORK --rows raw refined --seeds 0
    python benchmarks cams.network DATA --work WORK --report              nothing: the table of what is done

DATA holds voc_scribbles/train and voc_scribbles/val, each with images/ and labels/, and train/cams/. The labels are
those of `closedform-wsss refine-cams` at threshold 0.4, or of a method of baselines.py; every run is one of
examples/train_segmentation.py. A run that is done, its folder in WORK says so, is not done again, and one that was cut
goes on. Without MAPS, the folder of `cams.make_cues`, the row with saliency is left out. Needs the extra "examples".

Writes results/cam_network.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.harness import describe_machine, table, write_json, write_markdown
from common.paths import ROOT
from torch import Tensor

from cams.baselines import BASELINES, Refiner
from closedform_wsss.cams import refine_folder
from closedform_wsss.io import read_cam, read_image

SCRIPT = ROOT / "examples" / "train_segmentation.py"
FOLDER, SIZE, EPOCHS, CLASSES = "voc_scribbles", (192, 256), 16, 21
THRESHOLD = "0.4"


@dataclass(frozen=True)
class Row:
    """A training.

    Attributes:
        labels: Options of ``refine-cams`` that make its labels; None: the masks of the data set.
        targets: The name of its folder of labels: dense ``labels``, or ``marks`` that leave pixels open.
        training: Options of the training.
        baseline: The method of baselines.py that refines the CAMs first.
        saliency: Whether the saliency maps of ``--maps`` help to make its labels.
    """

    title: str
    labels: tuple[str, ...] | None
    targets: str
    training: tuple[str, ...] = ()
    baseline: str | None = None
    saliency: bool = False


ROWS = {
    "raw": Row("labels of raw CAMs (lower bound)", ("--method", "none"), "labels"),
    "refined": Row("labels of refined CAMs", ("--method", "full"), "labels"),
    "superpixel": Row(
        "the same, and superpixel consistency loss", ("--method", "full"), "labels", ("--loss", "superpixel=1")
    ),
    "saliency": Row("labels of CAMs refined with saliency", ("--method", "full"), "labels", saliency=True),
    "spl": Row(
        "SPL: labels by ASAM (cells of 16 pixels, 40 steps), superpixel consistency loss alone",
        ("--method", "none"),
        "labels",
        ("--loss", "spl=1"),
        "asam-paper-40",
    ),
    "rounds": Row(
        "refined CAMs with `--margin 0.1`, self-training in rounds",
        ("--method", "full", "--margin", "0.1"),
        "marks",
        ("--method", "rounds"),
    ),
    "masks": Row("full masks (upper bound)", None, "labels"),
}


def training_set(row: Row, data: Path, work: Path, maps: Path | None) -> Path:
    """A folder with the images and the row's labels, which are made if they are not there."""
    train = data / FOLDER / "train"
    if row.labels is None:
        return train
    name = "".join(part.strip("-") for part in (*row.labels, row.baseline or "")).replace(".", "")
    name += "saliency" if row.saliency else ""
    folder = work / f"set-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "images").exists():
        (folder / "images").symlink_to((train / "images").resolve(), target_is_directory=True)
    if (folder / "images").resolve() != (train / "images").resolve():
        raise SystemExit(f"{folder} is of the images in {(folder / 'images').resolve()}: choose another --work")
    made, cams = folder / "refined", train / "cams"
    if row.baseline is not None:
        refine_folder(refined(train, BASELINES[row.baseline]), folder / "baseline", method="none", write="cams")
        cams = folder / "baseline" / "cams"
    command = [*("refine-cams", str(train / "images"), str(cams), "-o", str(made)), *row.labels]
    command += ["--write", "labels", "--threshold", THRESHOLD]
    if row.saliency:
        command += ["--saliency", str(maps / FOLDER / "train" / "saliency")]
    subprocess.run([sys.executable, "-m", "closedform_wsss", *command], check=True, stdout=subprocess.DEVNULL)
    if not (folder / row.targets).exists():
        (folder / row.targets).symlink_to((made / "labels").resolve(), target_is_directory=True)
    return folder


def refined(train: Path, method: Refiner) -> Iterator[tuple[str, Tensor, Tensor, list[int]]]:
    """Name, image, refined maps and classes of each image."""
    for path in sorted((train / "images").glob("*.jpg")):
        image = read_image(path)
        classes, maps = read_cam(train / "cams" / f"{path.stem}.npz")
        yield path.stem, image, method(image[None], maps[None])[0].clamp(0, 1), classes.tolist()


def train(name: str, seed: int, data: Path, work: Path, maps: Path | None = None) -> None:
    """One run, unless it is done."""
    output, row = work / f"{name}-{seed}", ROWS[name]
    if (output / "scores.json").exists():
        return
    command = [
        sys.executable,
        str(SCRIPT),
        str(training_set(row, data, work, maps)),
        "--val",
        str(data / FOLDER / "val"),
    ]
    command += ["--targets", row.targets, *row.training, "--classes", str(CLASSES), "--size", *map(str, SIZE)]
    command += ["--epochs", str(EPOCHS), "--seed", str(seed), "--quiet", "-o", str(output)]
    environment = os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    subprocess.run(command, check=True, env=environment)
    print(f"{name}-{seed}: done", file=sys.stderr, flush=True)


def results(work: Path) -> dict[str, dict[int, float]]:
    """The mean IoU of each run that is done, by row and seed."""
    found: dict[str, dict[int, float]] = {}
    for name in ROWS:
        for file in work.glob(f"{name}-*/scores.json"):
            seed = file.parent.name.removeprefix(f"{name}-")
            if seed.isdigit():  # else a folder that somebody keeps beside the runs
                found.setdefault(name, {})[int(seed)] = json.loads(file.read_text())["mean_iou"]
    return {name: dict(sorted(of_seeds.items())) for name, of_seeds in found.items()}


def gap_closed(found: dict[str, dict[int, float]], name: str) -> str:
    """Over the seeds that the row has in common with raw CAMs and masks; empty without any."""
    three = [found.get(row, {}) for row in (name, "raw", "masks")]
    seeds = set(three[0]).intersection(*three[1:])
    if name in ("raw", "masks") or not seeds:
        return ""
    own, lower, upper = (statistics.mean(values[seed] for seed in seeds) for values in three)
    return f"{round(100 * (own - lower) / (upper - lower))} %"


def markdown(found: dict[str, dict[int, float]]) -> str:
    """The table: mean IoU, and how much of the way from raw CAMs to masks."""
    cells = []
    for name, of_seeds in found.items():
        values = list(of_seeds.values())
        spread = f" +- {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        mean = f"{statistics.mean(values):.3f}{spread}"
        cells.append([ROWS[name].title, mean, gap_closed(found, name), str(len(values))])
    return (
        f"Mean IoU on the val images of VOC with careful labels ({CLASSES} classes, {SIZE[1]} x {SIZE[0]}), of the "
        f"network of examples/train_segmentation.py after {EPOCHS} epochs on the train images. The CAMs are of an "
        "ImageNet classifier, for the true image-level labels. The weights of `calibrate_cam` were chosen on these "
        "images, among others. In per cent: how much of the way from raw CAMs to masks, over the seeds that all three "
        "have.\n\n" + table(["trained on", "mean IoU", "gap closed", "seeds"], cells)
    )


def main() -> None:
    """Trains what is missing, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path, help=f"folder with {FOLDER}/")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--maps", type=Path, help="folder of cams.make_cues, for the row saliency")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="default 0 1 2")
    parser.add_argument("--report", action="store_true", help="train nothing")
    args = parser.parse_args()
    if args.maps is None:
        args.rows = [name for name in args.rows if not ROWS[name].saliency]
    machine = describe_machine()
    for seed in args.seeds:
        for name in () if args.report else args.rows:
            train(name, seed, args.data, args.work, args.maps)
    found = results(args.work)
    write_json("cam_network", {"machine": machine, "mean_iou": found})
    folders = {str(args.data): "DATA", str(args.work): "WORK", str(args.maps): "MAPS"}
    given = [folders.get(option, option) for option in sys.argv[1:] if option != "--report"]
    command = shlex.join(["python", "benchmarks", "cams.network", *given])
    write_markdown("cam_network", "Networks from CAMs", command, machine, markdown(found))


if __name__ == "__main__":
    main()
