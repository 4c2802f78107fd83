"""How good superpixels are, and how fast: soft SLIC, a trained SpixelNet, scikit-image's SLIC.

    python benchmarks superpixels DATA
    python benchmarks superpixels DATA --checkpoint spixel_net.pt     with a network (examples/train_spixel_net.py)

DATA holds bsds_val/images/*.jpg and bsds_val/segments/*.npz with `segments` (annotators, H, W): validation images of
BSDS500 (Arbelaez, Maire, Fowlkes, Malik, TPAMI 2011). Nothing of it is in this repository. Every second image is
measured, from the second on; the defaults of soft_slic were chosen on the others, and a network can learn from them.

Writes results/superpixels.json and .md.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common.harness import describe_machine, table, write_json, write_markdown
from skimage import measure
from torch import Tensor

from closedform_wsss import metrics
from closedform_wsss.functional import slic, soft_slic
from closedform_wsss.io import read_image
from closedform_wsss.nn import SpixelNet

CELL_SIZES = (8, 12, 16, 24)
# scikit-image's default, and what is better on these images.
COMPACTNESS = (10.0, 15.0)
# As in scikit-image: a part of less than half a cell joins a neighbour.
SMALLEST = 0.5
MEASURES = {
    "recall": metrics.boundary_recall,
    "error": metrics.undersegmentation_error,
    "accuracy": metrics.achievable_segmentation_accuracy,
}
Labels = np.ndarray[Any, np.dtype[np.int64]]


def connected(labels: Labels, smallest: float) -> Labels:
    """Every connected part a superpixel of its own; those below a size join the neighbour with the longest border."""
    parts = measure.label(labels, connectivity=1, background=-1) - 1
    while True:
        size = np.bincount(parts.ravel())
        sides = [(parts[1:], parts[:-1]), (parts[:, 1:], parts[:, :-1])]
        a = np.concatenate([one.ravel() for pair in sides for one in pair])
        b = np.concatenate([one.ravel() for pair in sides for one in reversed(pair)])
        # Only into a larger one, so that no two parts change places.
        joins = (a != b) & (size[a] < smallest) & ((size[b] > size[a]) | ((size[b] == size[a]) & (b > a)))
        if not joins.any():
            return parts
        border, length = np.unique(a[joins] * len(size) + b[joins], return_counts=True)
        order = np.argsort(length, kind="stable")
        target = np.arange(len(size))
        target[border[order] // len(size)] = border[order] % len(size)
        while (target[target] != target).any():
            target = target[target]
        parts = np.unique(target[parts], return_inverse=True)[1].reshape(parts.shape)


def spixel_labels(net: SpixelNet, image: Tensor, cell_size: int) -> Labels:
    """Superpixels of another size than the network's own: of an image resized, as its authors do."""
    height, width = image.shape[-2:]
    scale = net.cell_size / cell_size
    resized = F.interpolate(image / 255, scale_factor=scale, mode="bicubic", antialias=True).clamp(0, 1)
    labels = net(resized).to_hard().assignment
    return F.interpolate(labels[None].double(), size=(height, width))[0, 0].long().numpy()


def matched_slic(image: Tensor, count: int, compactness: float) -> Labels:
    """SLIC with about that many superpixels: it finds fewer or more than it is asked for."""
    cell_size = (image.shape[-2] * image.shape[-1] / count) ** 0.5
    tried: dict[int, Labels] = {}
    for _ in range(6):
        labels = slic(image, cell_size=max(1.0, cell_size), compactness=compactness).assignment[0].numpy()
        found = int(labels.max()) + 1
        tried[found] = labels
        cell_size *= (found / count) ** 0.5
    return tried[min(tried, key=lambda found: abs(found - count))]


def criterion(labels: Labels, segments: np.ndarray[Any, Any]) -> dict[str, float]:
    """All measures, and the number of superpixels that are not empty."""
    row = {name: function(labels, segments) for name, function in MEASURES.items()}
    return {"superpixels": float(len(np.unique(labels)))} | row


def one(image: Tensor, segments: np.ndarray[Any, Any], cell_size: int, net: SpixelNet | None) -> dict[str, Any]:
    """One image, one cell size: each method's measures, and the seconds it took."""
    found: dict[str, Any] = {}

    def add(name: str, run: Callable[[], Labels]) -> Labels:
        run()  # the first call may load something
        started = time.perf_counter()
        labels = run()
        seconds = time.perf_counter() - started
        found[name] = criterion(labels, segments) | {"seconds": seconds}
        return labels

    def add_soft(name: str, run: Callable[[], Labels]) -> None:
        hard = add(f"{name}, argmax", run)
        joined = add(f"{name}, connected", lambda: connected(hard, SMALLEST * cell_size**2))
        for compactness in COMPACTNESS:
            baseline = matched_slic(image, int(joined.max()) + 1, compactness)
            found[f"SLIC at the number of {name}, compactness {compactness:g}"] = criterion(baseline, segments)

    add("SLIC", lambda: slic(image, cell_size=cell_size).assignment[0].numpy())
    add_soft("soft_slic", lambda: soft_slic(image, cell_size=cell_size).to_hard().assignment[0].numpy())
    if net is not None:
        add_soft("SpixelNet", lambda: spixel_labels(net, image, cell_size))
    return found


def summary(images: list[dict[str, Any]], cell_size: int) -> list[dict[str, Any]]:
    """Means over the images; times are medians."""
    rows = []
    for method in images[0]:
        values = [image[method] for image in images]
        row: dict[str, Any] = {"cell_size": cell_size, "method": method}
        row |= {key: statistics.fmean(v[key] for v in values) for key in ("superpixels", *MEASURES)}
        timed = [v["seconds"] for v in values if "seconds" in v]
        row["milliseconds"] = 1e3 * statistics.median(timed) if timed else None
        rows.append(row)
    return rows


def markdown(rows: list[dict[str, Any]], count: int, threads: int) -> str:
    """What was measured, and the table."""
    header = ["method", "cell size", "superpixels", "boundary recall", "UE", "ASA", "ms an image"]
    cells = [
        [
            row["method"],
            str(row["cell_size"]),
            f"{row['superpixels']:.0f}",
            *(f"{row[name]:.4f}" for name in MEASURES),
            "" if row["milliseconds"] is None else f"{row['milliseconds']:.1f}",
        ]
        for row in rows
    ]
    text = (
        f"{count} images of BSDS500, 481 x 321, on which no default was chosen; {threads} thread(s). Means over the "
        "images of means over the annotators. Boundary recall (more is better): tolerance 2 pixels, boundaries of the "
        "segments. UE: undersegmentation error of Neubert and Protzel (less is better). ASA: achievable segmentation "
        "accuracy (more is better). All three improve with the number of superpixels: compare only rows of one number. "
        "SLIC is scikit-image's, with 10 iterations; in the rows `at the number of` it was asked for as many "
        "superpixels as that method has when connected. `argmax`: the strongest superpixel of each pixel, which may "
        "have several parts, all of whose boundaries count for the recall. `connected`: each part is a superpixel, and "
        "parts below half a cell joined a neighbour, as in SLIC. Times are medians, one image at a time; of "
        "`connected`, the additional time."
    )
    return f"{text}\n\n{table(header, cells)}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("data", metavar="DATA", type=Path, help="folder with bsds_val/images/ and bsds_val/segments/")
    add("--checkpoint", type=Path, help="weights of a SpixelNet, written by examples/train_spixel_net.py")
    add("--threads", type=int, default=1, help="CPU threads (default 1)")
    add("--limit", type=int, metavar="N", help="the first N images only (result files get the suffix _quick)")
    args = parser.parse_args()
    if not (args.data / "bsds_val" / "images").is_dir():
        parser.error("DATA must hold a folder bsds_val/images/")
    return args


@torch.no_grad()
def main() -> None:
    """Cell size after cell size."""
    args = arguments()
    torch.set_num_threads(args.threads)
    net = None
    if args.checkpoint:
        net = SpixelNet().eval()
        net.load_state_dict(torch.load(args.checkpoint, weights_only=True))
    machine = describe_machine()
    files = sorted((args.data / "bsds_val" / "images").glob("*.jpg"))[1::2][: args.limit]
    rows: list[dict[str, Any]] = []
    for cell_size in CELL_SIZES:
        images = []
        for file in files:
            image = read_image(file)[None]
            segments = np.load(args.data / "bsds_val" / "segments" / f"{file.stem}.npz")["segments"]
            images.append(one(image, segments, cell_size, net))
        rows += summary(images, cell_size)
        print(f"cell size {cell_size}: done", file=sys.stderr, flush=True)
    name = "superpixels" + ("_quick" if args.limit else "")
    write_json(name, {"machine": machine, "images": [file.stem for file in files], "rows": rows})
    options = [option for option in sys.argv[1:] if Path(option) not in (args.data, args.checkpoint)]
    command = shlex.join(["python", "benchmarks", "superpixels", "DATA", *options, *(["CHECKPOINT"] * bool(net))])
    write_markdown(name, "Superpixels", command, machine, markdown(rows, len(files), args.threads))
