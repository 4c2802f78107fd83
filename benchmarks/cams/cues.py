"""What maps of other networks are worth to `refine_cam`: saliency and boundaries.

    python benchmarks cams.cues DATA MAPS

DATA is as for `cams`; MAPS holds <set>/saliency/ and <set>/boundaries/, which `cams.make_cues` writes. Sets without
maps are left out. Images that are in both VOC sets count in voc_mini, as in `cams`.

Writes results/cues.json and .md.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common.harness import describe_machine, table, write_json, write_markdown
from torch import Tensor

from cams.baselines import Refiner, raw
from cams.cams import NUM_CLASSES, Picture, measure, read
from closedform_wsss.cams.cues import CUES, read_cue
from closedform_wsss.cams.methods import REFINERS

MODULE = importlib.import_module("closedform_wsss.functional.refine_cam")
SETS = {
    "voc_scribbles/val": "VOC with careful labels, val",
    "voc_mini": "VOC mini",
    "ecssd": "ECSSD",
}


def product(image: Tensor, cam: Tensor, *, saliency: Tensor) -> Tensor:
    """The CAM where the image is salient."""
    return raw(image, cam) * raw(image, saliency)


def alone(image: Tensor, cam: Tensor, *, saliency: Tensor) -> Tensor:
    """The saliency for every class of the image."""
    return raw(image, saliency).expand(-1, cam.shape[1], -1, -1)


def with_odds(image: Tensor, cam: Tensor, *, odds: float, saliency: Tensor) -> Tensor:
    """Another weight of the saliency's odds; with 0 it is one more channel of the image and nothing else."""
    own = MODULE.SALIENCY_ODDS
    MODULE.SALIENCY_ODDS = odds
    try:
        return REFINERS["full"](image, cam, saliency=saliency)
    finally:
        MODULE.SALIENCY_ODDS = own


ROWS: dict[str, tuple[Refiner, tuple[str, ...]]] = {
    "raw": (raw, ()),
    "full (default)": (REFINERS["full"], ()),
    "full, boundaries": (REFINERS["full"], ("boundaries",)),
    "full, saliency": (REFINERS["full"], ("saliency",)),
    "full, saliency and boundaries": (REFINERS["full"], CUES),
    "full, saliency: weight 0": (partial(with_odds, odds=0.0), ("saliency",)),
    "full, saliency: weight 1": (partial(with_odds, odds=1.0), ("saliency",)),
    "full, saliency: weight 3": (partial(with_odds, odds=3.0), ("saliency",)),
    "raw times saliency": (product, ("saliency",)),
    "saliency for every class": (alone, ("saliency",)),
}


def pictures_of(data: Path, name: str) -> list[Picture]:
    """Of a set. The weight of the saliency was chosen on VOC val, so no image of VOC mini may be there."""
    pictures = read(data / name, None)
    if name != "voc_scribbles/val":
        return pictures
    mini = {path.stem for path in (data / "voc_mini" / "images").glob("*.jpg")}
    return [picture for picture in pictures if picture.name not in mini]


def with_maps(pictures: list[Picture], folder: Path) -> list[Picture]:
    """The pictures that have all maps, with them."""
    return [
        replace(picture, cues={cue: read_cue(cue, folder / cue / f"{picture.name}.png")[None] for cue in CUES})
        for picture in pictures
        if all((folder / cue / f"{picture.name}.png").exists() for cue in CUES)
    ]


def text_of(rows: dict[str, Any]) -> str:
    """The table of a data set."""
    base = rows["raw"]["all"]["cross"]
    return table(
        ["method", "cross", "above raw", "best on all", "thresholds", "ms an image"],
        [
            [
                name,
                f"{row['all']['cross']:.4f}",
                f"{100 * (row['all']['cross'] - base):+.1f}",
                f"{row['all']['best']:.4f}",
                ", ".join(f"{row['all']['thresholds'][half]:.2f}" for half in ("even", "odd")),
                f"{row['milliseconds']:.1f}",
            ]
            for name, row in rows.items()
        ],
    )


@torch.no_grad()
def main() -> None:
    """Set after set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path, help="folder with voc_scribbles/, voc_mini/ and ecssd/")
    parser.add_argument("maps", metavar="MAPS", type=Path, help="folder of the maps")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (%(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    machine = describe_machine()
    payload: dict[str, Any] = {"machine": machine, "images": {}, "rows": {}}
    parts = []
    for name, title in SETS.items():
        pictures = with_maps(pictures_of(args.data, name), args.maps / name)
        if not pictures:
            continue
        payload["images"][name] = [picture.name for picture in pictures]
        payload["rows"][name] = rows = {}
        for row, (method, cues) in ROWS.items():
            own = [replace(picture, cues={cue: picture.cues[cue] for cue in cues}) for picture in pictures]
            rows[row] = measure(method, own, NUM_CLASSES[name.split("/")[0]], set())
            print(f"{name}, {row}: {rows[row]['all']['cross']:.4f}", file=sys.stderr, flush=True)
        parts.append(f"## {title}: {len(pictures)} images\n\n{text_of(rows)}")
    if not parts:
        raise SystemExit(f"benchmarks cams.cues: {args.maps} holds no maps of the images of {', '.join(SETS)}")
    write_json("cues", payload)
    intro = (
        "Columns as in the benchmark `cams`: mean IoU of the pseudo-labels, each half of the images with the threshold "
        "of the other (**cross**). Saliency is that of IS-Net, boundaries those of HED (`cams.make_cues`): both were "
        "trained on masks and contours drawn by people, so these labels are no longer from tags alone. Whether images "
        "of these sets were among those that IS-Net was trained on is not known. The weight of the saliency in the "
        "odds, 2, was chosen on VOC val and ECSSD, so VOC mini is a set left out; the rows of other weights say what "
        "each set alone would choose. Weight 0: saliency is one more channel of the image and nothing else. `saliency "
        "for every class` cannot tell classes of an image apart.\n\n"
    )
    command = "python benchmarks cams.cues DATA MAPS"
    write_markdown("cues", "CAMs refined with saliency and boundaries", command, machine, intro + "\n\n".join(parts))


if __name__ == "__main__":
    main()
