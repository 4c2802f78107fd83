"""Refined class activation maps as pseudo-labels: how much better than the raw ones, and how fast?

    python benchmarks cams DATA                               every method
    python benchmarks cams DATA --methods pamr                these, and the raw CAMs (result files get _quick)
    python benchmarks cams DATA --methods pamr --keep         these; the last results keep their other rows
    python benchmarks cams DATA --scale-check                 those of refine-cams at other sizes of the image, too

DATA holds voc_scribbles/train/, voc_scribbles/val/, voc_mini/ and ecssd/, each with images/*.jpg, labels/*.png (label
maps; 255 does not count) and cams/*.npz (`cams` (C, h, w) in [0, 1] and `classes`, or 1 to C), and voc_mini/meta.json,
which tells of each image whether it `has_void_border`. Images that are in both VOC sets count in voc_mini. Nothing of
it is in this repository. pydensecrf runs where pydensecrf2 is installed.

Writes results/cams.json and .md.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from common.harness import RESULTS, describe_machine, write_json, write_markdown
from torch import Tensor

from cams.baselines import BASELINES, DENSE_CRF, Refiner
from cams.table import markdown
from closedform_wsss.cams.methods import DEFAULT, REFINERS
from closedform_wsss.cli.eval.counts import Counts, EvalOptions, empty_histogram
from closedform_wsss.cli.eval.report import scores_of_halves
from closedform_wsss.io import IGNORE_INDEX, read_cam, read_image, read_label_png

NUM_CLASSES = {"voc_scribbles": 21, "voc_mini": 21, "ecssd": 2}
FOLDERS = {
    "voc_scribbles": ("voc_scribbles/train", "voc_scribbles/val"),
    "voc_mini": ("voc_mini",),
    "ecssd": ("ecssd",),
}
SCALES = (0.5, 1.0, 2.0)
# "none" of refine-cams is the raw CAM.
METHODS: dict[str, Refiner] = BASELINES | {name: run for name, run in REFINERS.items() if name != "none"}


@dataclass(frozen=True)
class Picture:
    """An image with its CAMs, its truth, and the maps of other networks that a method gets."""

    name: str
    image: Tensor
    classes: npt.NDArray[np.int64]
    cam: Tensor
    truth: npt.NDArray[np.int64]
    cues: dict[str, Tensor] = field(default_factory=dict)


def read(folder: Path, limit: int | None) -> list[Picture]:
    """All images of a folder, by name."""
    pictures = []
    for path in sorted((folder / "images").glob("*.jpg"))[:limit]:
        image = read_image(path)[None]
        classes, maps = read_cam(folder / "cams" / f"{path.stem}.npz")
        truth = read_label_png(folder / "labels" / f"{path.stem}.png")
        pictures.append(Picture(path.stem, image, classes.numpy(), maps[None].clamp(0, 1), truth.numpy()))
    return pictures


def read_sets(data: Path, limit: int | None) -> dict[str, list[Picture]]:
    """All data sets; each image is in one of them."""
    sets = {
        name: [picture for folder in folders for picture in read(data / folder, limit)]
        for name, folders in FOLDERS.items()
    }
    in_both = {picture.name for picture in sets["voc_mini"]}
    sets["voc_scribbles"] = [picture for picture in sets["voc_scribbles"] if picture.name not in in_both]
    return sets


def options(num_classes: int) -> EvalOptions:
    """As `eval` counts: 101 thresholds."""
    return EvalOptions(tuple(n / 100 for n in range(101)), num_classes, IGNORE_INDEX, None, False)


def add(how: EvalOptions, histogram: Counts, picture: Picture, cam: Tensor) -> None:
    """Counts a CAM ``(1, C, H, W)`` of the truth's size in the histogram of `eval`."""
    best, winner = cam[0].max(0)
    exceeded = np.searchsorted(np.array(how.thresholds, np.float32), best.numpy(), side="left")
    counted = picture.truth != how.ignore_index
    cell = np.ravel_multi_index((picture.truth, picture.classes[winner.numpy()], exceeded), histogram.shape)
    cells, counts = np.unique(cell[counted], return_counts=True)
    histogram.reshape(-1)[cells] += counts


def scores(how: EvalOptions, halves: list[Counts]) -> dict[str, Any]:
    """Mean IoUs: the threshold of either half on the other, of each on the other in one matrix, the best of all."""
    both = scores_of_halves(how, halves, None)
    even, odd = (scores_of_halves(how, [half, np.zeros_like(half)], None) for half in halves)
    return {
        "even_to_odd": dict(odd["curve"])[even["threshold"]],
        "odd_to_even": dict(even["curve"])[odd["threshold"]],
        "cross": both["mean_iou_of_other_half"],
        "best": both["mean_iou"],
        "thresholds": {"even": even["threshold"], "odd": odd["threshold"], "all": both["threshold"]},
    }


def measure(
    method: Refiner, pictures: list[Picture], num_classes: int, subset: set[str], scale: float = 1.0
) -> dict[str, Any]:
    """A method's scores on all images and on those of the subset, and the median time of an image.

    Args:
        scale: Of the image that the method gets; the result comes back to the truth's size.
    """
    how = options(num_classes)
    halves, subset_halves = ([empty_histogram(how), empty_histogram(how)] for _ in range(2))
    seconds: list[float] = []
    in_subset = 0
    for number, picture in enumerate(pictures):
        size = picture.truth.shape
        image = picture.image
        if scale != 1:
            shape = [max(1, round(side * scale)) for side in size]
            image = F.interpolate(image.float(), shape, mode="bicubic", antialias=True).clamp(0, 255).round().byte()
        started = time.perf_counter()
        cam = method(image, picture.cam, **picture.cues)
        seconds.append(time.perf_counter() - started)
        cam = cam.float().clamp(0, 1)  # as refine-cams stores them
        assert cam.shape[1] == len(picture.classes) and bool(cam.isfinite().all()), picture.name
        if cam.shape[-2:] != size:
            cam = F.interpolate(cam, size, mode="bilinear", antialias=True)
        add(how, halves[number % 2], picture, cam)
        if picture.name in subset:
            add(how, subset_halves[in_subset % 2], picture, cam)
            in_subset += 1
    row = {"all": scores(how, halves), "milliseconds": 1e3 * statistics.median(seconds)}
    if in_subset > 1:
        row["subset"] = scores(how, subset_halves)
    return row


def earlier(result: str, payload: dict[str, Any], chosen: list[str]) -> dict[str, Any]:
    """The rows of the last results that are not measured again; what they are goes into the payload."""
    file = RESULTS / f"{result}.json"
    if not file.exists():
        raise SystemExit(f"benchmarks cams: --keep: there is no {file.name} to keep rows of")
    last = json.loads(file.read_text())
    if (last["images"], last["careful"]) != (payload["images"], payload["careful"]):
        raise SystemExit(
            f"benchmarks cams: --keep: the images are not those of {result}.json: measure all methods anew"
        )
    if last["machine"]["threads"] != payload["machine"]["threads"]:
        threads = last["machine"]["threads"]
        raise SystemExit(f"benchmarks cams: --keep: the times of {result}.json are of {threads} thread(s): --threads")
    kept = {name: row for name, row in last["rows"].items() if name not in chosen}
    payload["scales"] = {name: row for name, row in last["scales"].items() if name in kept}
    payload["kept"] = {name: last.get("kept", {}).get(name, last["machine"]["commit"]) for name in kept}
    payload["own"] = [name for name in (*chosen, *kept) if name in REFINERS]
    payload["dense_crf"] = payload["dense_crf"] or last["dense_crf"]
    return kept


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("data", metavar="DATA", type=Path, help="folder with voc_scribbles/, voc_mini/ and ecssd/")
    add("--methods", nargs="+", metavar="NAME", help=f"of {', '.join(METHODS)} (default: all)")
    add("--keep", action="store_true", help="keep the rows of the last results that are not measured now")
    add("--scale-check", action="store_true", help="images at half and twice their size, too")
    add("--threads", type=int, help="CPU threads (default: torch's choice)")
    add("--limit", type=int, metavar="N", help="the first N images only (result files get the suffix _quick)")
    args = parser.parse_args()
    for folder in (folder for folders in FOLDERS.values() for folder in folders):
        if not (args.data / folder / "images").is_dir():
            parser.error(f"DATA must hold a folder {folder}/images/")
    if args.limit is not None and args.limit < 2:
        parser.error("--limit must be at least 2: the threshold of one half is measured on the other")
    unknown = [name for name in args.methods or () if name not in METHODS]
    if unknown:
        parser.error(f"--methods must be of {', '.join(METHODS)}, got {unknown[0]}")
    return args


@torch.no_grad()
def main() -> None:
    """Method after method."""
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    machine = describe_machine()
    chosen = [name for name in METHODS if name == "raw" or not args.methods or name in args.methods]
    if DENSE_CRF is None:
        print("pydensecrf: left out, pydensecrf2 is not installed", file=sys.stderr)
    meta = json.loads((args.data / "voc_mini" / "meta.json").read_text())
    careful = {name for name, about in meta.items() if about["has_void_border"]}
    sets = read_sets(args.data, args.limit)
    payload: dict[str, Any] = {
        "machine": machine,
        "dense_crf": DENSE_CRF,
        "default": DEFAULT,
        "own": [name for name in chosen if name in REFINERS],
        "images": {name: [picture.name for picture in pictures] for name, pictures in sets.items()},
        "careful": [picture.name for picture in sets["voc_mini"] if picture.name in careful],
        "rows": {},
        "scales": {},
    }
    result = "cams" + ("_quick" if args.limit or (args.methods and not args.keep) else "")
    kept = earlier(result, payload, chosen) if args.keep else {}
    for name in chosen:
        payload["rows"][name] = row = {
            data: measure(METHODS[name], sets[data], classes, careful) for data, classes in NUM_CLASSES.items()
        }
        text = ", ".join(
            f"{data} {row[data]['all']['cross']:.4f} in {row[data]['milliseconds']:.0f} ms" for data in row
        )
        print(f"{name}: {text}", file=sys.stderr, flush=True)
    if args.scale_check:
        for name in (name for name in chosen if name == "raw" or name in REFINERS):
            payload["scales"][name] = {
                data: [measure(METHODS[name], sets[data], classes, set(), scale)["all"]["cross"] for scale in SCALES]
                for data, classes in NUM_CLASSES.items()
            }
            print(f"{name} at {SCALES} of the size: {payload['scales'][name]}", file=sys.stderr, flush=True)
    payload["rows"] |= kept
    write_json(result, payload)
    given = [option for option in sys.argv[1:] if Path(option) != args.data]
    command = shlex.join(["python", "benchmarks", "cams", "DATA", *given])
    write_markdown(result, "Refined CAMs", command, machine, markdown(payload, SCALES))
