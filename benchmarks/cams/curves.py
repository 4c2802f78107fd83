"""Mean IoU of refined CAMs at every threshold, and what the best threshold of each map would give.

    python benchmarks cams.curves DATA
    python benchmarks cams.curves DATA --maps MAPS   with the saliency of `cams.make_cues`, where MAPS has it

DATA is as for `cams`. `cams.chart` draws the curves.

Writes results/cam_curves.json and .md.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common.harness import describe_machine, table, write_json, write_markdown
from torch import Tensor

from cams.baselines import Refiner, raw
from cams.cams import NUM_CLASSES, Picture, add, options, read_sets
from closedform_wsss.cams.cues import read_cue
from closedform_wsss.cams.methods import REFINERS
from closedform_wsss.cli.eval.counts import empty_histogram
from closedform_wsss.cli.eval.report import scores_of_halves
from closedform_wsss.io import IGNORE_INDEX

TITLES = {"voc_scribbles": "VOC with careful labels", "voc_mini": "VOC mini", "ecssd": "ECSSD"}
METHODS: dict[str, Refiner] = {
    "raw": raw,
    "asam+matting": REFINERS["asam+matting"],
    "full": REFINERS["full"],
    "full, saliency": REFINERS["full"],
}
ORACLE = {"raw": "raw, oracle", "asam+matting": "asam+matting, oracle", "full, saliency": "full, saliency, oracle"}
DEFAULT, MIDDLE = 0.4, 0.5
LOWEST, HIGHEST = 0.02, 0.98  # of the oracle's thresholds


def at_best_threshold(cam: Tensor, picture: Picture) -> Tensor:
    """Each map to the power that moves its best threshold, by the truth, to 0.5."""
    truth = torch.from_numpy(picture.truth.astype(np.int64))
    counted = truth != IGNORE_INDEX
    thresholds = torch.arange(LOWEST, HIGHEST + 1e-6, 0.02)
    powers = []
    for map, label in zip(cam[0], picture.classes.tolist(), strict=True):
        own = truth[counted] == label
        order = map[counted].sort()
        # Pixels above each threshold, and those of the class among them.
        first = torch.searchsorted(order.values, thresholds, right=True)
        hits = own[order.indices].flip(0).cumsum(0).flip(0)
        hits = torch.cat([hits, hits.new_zeros(1)])[first]
        iou = hits / (len(own) - first + own.sum() - hits).clamp_min(1)
        powers.append(math.log(MIDDLE) / math.log(float(thresholds[int(iou.argmax())])))
    return cam ** torch.tensor(powers)[None, :, None, None]


def curves_of(pictures: list[Picture], num_classes: int, maps: Path | None) -> dict[str, Any]:
    """Mean IoU by threshold of each method, and of the oracle at its threshold."""
    how = options(num_classes)
    found: dict[str, Any] = {}
    for name, method in METHODS.items():
        chosen, histogram, oracle = 0, empty_histogram(how), empty_histogram(how)
        for picture in pictures:
            cues = {}
            if "saliency" in name:
                files = [] if maps is None else sorted(maps.rglob(f"saliency/{picture.name}.png"))
                if not files:
                    continue
                cues = {"saliency": read_cue("saliency", files[0])[None]}
            cam = method(picture.image, picture.cam, **cues).float().clamp(0, 1)
            add(how, histogram, picture, cam)
            add(how, oracle, picture, at_best_threshold(cam, picture))
            chosen += 1
        if chosen:
            found[name] = {"images": chosen, "curve": _curve(how, histogram)}
            if name in ORACLE:
                found[ORACLE[name]] = {"images": chosen, "mean_iou": dict(_curve(how, oracle))[MIDDLE]}
    return found


def _curve(how: Any, histogram: Any) -> list[tuple[float, float]]:
    curve: list[tuple[float, float]] = scores_of_halves(how, [histogram, np.zeros_like(histogram)], None)["curve"]
    return curve


def rows_of(found: dict[str, Any]) -> list[list[str]]:
    """A row for each method: at the default threshold, at the best one, at the best of each map."""
    rows = []
    for name in (name for name in METHODS if name in found):
        curve = dict(found[name]["curve"])
        best = max(curve, key=lambda threshold: curve[threshold])
        oracle = f"{found[ORACLE[name]]['mean_iou']:.4f}" if name in ORACLE else ""
        rows.append([name, str(found[name]["images"]), f"{curve[DEFAULT]:.4f}", f"{curve[best]:.4f} ({best})", oracle])
    return rows


@torch.no_grad()
def main() -> None:
    """Set after set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path, help="folder with voc_scribbles/, voc_mini/ and ecssd/")
    parser.add_argument("--maps", type=Path, help="folder of cams.make_cues")
    args = parser.parse_args()
    machine = describe_machine()
    payload: dict[str, Any] = {"machine": machine, "sets": {}}
    parts = []
    for name, pictures in read_sets(args.data, None).items():
        payload["sets"][name] = found = curves_of(pictures, NUM_CLASSES[name], args.maps)
        print(name, *rows_of(found), sep="\n", file=sys.stderr, flush=True)
        head = ["method", "images", f"at {DEFAULT}", "best threshold", "best threshold of each map (oracle)"]
        parts.append(f"## {TITLES[name]}\n\n{table(head, rows_of(found))}")
    write_json("cam_curves", payload)
    text = (
        "Mean IoU of the pseudo-labels at one threshold for all images, and at the threshold of each map that is best "
        "by the truth. `full` is `asam+matting` with the threshold of each map that `calibrate_cam` estimates.\n\n"
    )
    command = "python benchmarks cams.curves DATA" + (" --maps MAPS" if args.maps else "")
    write_markdown("cam_curves", "Thresholds of CAMs", command, machine, text + "\n\n".join(parts))


if __name__ == "__main__":
    main()
