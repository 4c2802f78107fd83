"""The threshold that `calibrate_cam` estimates: chosen on some data sets, how good is it on another?

    python benchmarks cams.calibration DATA

DATA is as for `cams`. Of voc_mini only the images labelled with care count.

Writes results/calibration.json and .md.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from common.harness import describe_machine, table, write_json, write_markdown
from torch import Tensor

from cams.cams import Picture, read_sets
from closedform_wsss._threshold_scores import SCORES, levels_like, threshold_scores
from closedform_wsss.functional import refine_cam
from closedform_wsss.functional.calibrate_cam import PRIOR_DEVIATION, PRIOR_MEAN, WEIGHTS, scored_image
from closedform_wsss.io import IGNORE_INDEX

LEVELS = levels_like(torch.zeros(()))
THREE = ("contrast", "variance", "border")
CAUTION = 3e-3  # weight of the squared weights, so that a score that tells nothing gets none
STEPS, RATE = 400, 0.05
RESAMPLES = 2000


@dataclass(frozen=True)
class Maps:
    """All maps of a data set, M.

    Attributes:
        picture: Number of the picture of each.
        label: Class of each, ``(M,)``.
        scores: ``(M, K, 5)``, of each threshold.
        pixels: ``(M, K, 4)``, at each threshold: in both the region and its class, in either; outside the region and of
            the background, in either.
    """

    picture: list[int]
    label: Tensor
    scores: Tensor
    pixels: Tensor

    @property
    def iou(self) -> Tensor:
        """Of each map with its class, ``(M, K)``."""
        return self.pixels[..., 0] / self.pixels[..., 1].clamp_min(1)

    def pooled_iou(self, weight: Tensor) -> Tensor:
        """IoU of all pixels, mean over the classes and the background; weights of the thresholds ``(M, K)``."""
        pixels = (weight[..., None] * self.pixels).sum(1)
        classes, index = self.label.unique(return_inverse=True)
        both, either = pixels.new_zeros(2, len(classes)).index_add(1, index, pixels[:, :2].T)
        background = pixels[:, 2:].sum(0)
        return torch.cat([both / either.clamp_min(1), background[:1] / background[1:].clamp_min(1)]).mean()


def measured(pictures: list[Picture]) -> Maps:
    """Refined CAMs at a quarter of the size, where `refine_cam` calibrates them."""
    number, labels, scores, pixels = [], [], [], []
    for k, picture in enumerate(pictures):
        image = picture.image.float() / 255
        refined = refine_cam(picture.cam, image, level=None)
        quarter = [max(round(side / 4), 1) for side in picture.truth.shape]
        cam = F.interpolate(refined, quarter, mode="bilinear", antialias=True).clamp(0, 1)
        small = F.interpolate(image, quarter, mode="bilinear", antialias=True).clamp(0, 1)
        truth = F.interpolate(torch.from_numpy(picture.truth)[None, None].double(), quarter, mode="nearest")[0, 0]
        counted = truth != IGNORE_INDEX
        scores.append(threshold_scores(cam, scored_image(small))[0])
        for c, label in enumerate(picture.classes.tolist()):
            here = cam[0, c] > LEVELS[:, None, None]
            own, none = truth == label, truth == 0
            counts = [here & own, (here | own) & counted, ~here & none, (~here | none) & counted]
            pixels.append(torch.stack([found.sum((1, 2)) for found in counts], 1).float())
            number.append(k)
            labels.append(label)
    return Maps(number, torch.tensor(labels), torch.cat(scores), torch.stack(pixels))


def log_weights(maps: Maps, columns: list[int], parameters: Tensor) -> Tensor:
    """Of the thresholds, ``(M, K)``: weights of the scores, then a prior that is quadratic in the threshold."""
    place = (LEVELS - 0.4) / 0.2
    prior = parameters[-2] * place + parameters[-1] * place**2
    return maps.scores[..., columns] @ parameters[:-2] + prior


def chosen(sets: Sequence[Maps], columns: list[int]) -> Tensor:
    """The parameters with the largest expected IoU, of single maps and of all pixels, each data set counting alike."""
    parameters = torch.zeros(len(columns) + 2, requires_grad=True)
    optimizer = torch.optim.Adam([parameters], RATE)
    for _ in range(STEPS):
        gains = []
        for maps in sets:
            weight = log_weights(maps, columns, parameters).softmax(1)
            gains.append(((weight * maps.iou).sum(1).mean() + maps.pooled_iou(weight)) / 2)
        loss = CAUTION * parameters.square().mean() - torch.stack(gains).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return parameters.detach()


def at_mean_threshold(log_weight: Tensor) -> Tensor:
    """The number of the threshold of each map, ``(M,)``."""
    threshold = log_weight.softmax(1) @ LEVELS
    return (threshold[:, None] - LEVELS).abs().argmin(1)


def library(maps: Maps) -> Tensor:
    """With the settings of `calibrate_cam`."""
    return maps.scores @ torch.tensor(WEIGHTS) - 0.5 * ((LEVELS - PRIOR_MEAN) / PRIOR_DEVIATION) ** 2


def interval(maps: Maps, iou: Tensor) -> tuple[float, float]:
    """95 % of the means over resampled pictures."""
    of_picture: dict[int, list[float]] = {}
    for number, value in zip(maps.picture, iou.tolist(), strict=True):
        of_picture.setdefault(number, []).append(value)
    pictures, draw = list(of_picture.values()), random.Random(0)
    means = []
    for _ in range(RESAMPLES):
        drawn = draw.choices(pictures, k=len(pictures))
        means.append(sum(map(sum, drawn)) / sum(map(len, drawn)))
    cuts = statistics.quantiles(means, n=40)
    return cuts[0], cuts[-1]


def rows(name: str, sets: dict[str, Maps]) -> dict[str, Tensor]:
    """The thresholds of a data set's maps by each choice."""
    maps, others = sets[name], [other for key, other in sets.items() if key != name]
    everything, three = list(range(len(SCORES))), [SCORES.index(score) for score in THREE]
    fixed = int(torch.stack([other.iou.mean(0) for other in others]).mean(0).argmax())
    return {
        "one threshold, chosen on the others": torch.full((len(maps.label),), fixed),
        "contrast, variance and border, chosen on the others": at_mean_threshold(
            log_weights(maps, three, chosen(others, three))
        ),
        "all five scores, chosen on the others": at_mean_threshold(
            log_weights(maps, everything, chosen(others, everything))
        ),
        "**calibrate_cam** (rounded, chosen on all)": at_mean_threshold(library(maps)),
        "the best threshold of each map (upper bound)": maps.iou.argmax(1),
    }


def main() -> None:
    """Measures, chooses, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path, help="folder with voc_scribbles/, voc_mini/ and ecssd/")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N images only (result files get _quick)")
    args = parser.parse_args()
    machine = describe_machine()
    meta = json.loads((args.data / "voc_mini" / "meta.json").read_text())
    found_in = read_sets(args.data, args.limit)
    pictures = {
        "VOC": found_in["voc_scribbles"],
        "VOC mini": [picture for picture in found_in["voc_mini"] if meta[picture.name]["has_void_border"]],
        "ECSSD": found_in["ecssd"],
    }
    with torch.no_grad():
        sets = {name: measured(found) for name, found in pictures.items()}
    found = {name: rows(name, sets) for name in sets}
    values: dict[str, dict[str, list[float]]] = {}
    for name, maps in sets.items():
        values[name] = {}
        for row, threshold in found[name].items():
            iou = maps.iou.gather(1, threshold[:, None])[:, 0]
            pooled = maps.pooled_iou(F.one_hot(threshold, len(LEVELS)))
            values[name][row] = [float(pooled), float(iou.mean()), *interval(maps, iou)]
    counts = {name: f"{len(pictures[name])} images, {len(maps.label)} maps" for name, maps in sets.items()}
    payload = {"machine": machine, "sets": counts, "rows": values}
    cells = []
    for row in found["VOC"]:
        of_row = [values[name][row] for name in sets]
        cells.append([row, *(f"{pool:.3f}, {mean:.3f} ({low:.3f} to {high:.3f})" for pool, mean, low, high in of_row)])
        print(*cells[-1], sep="  ", file=sys.stderr)
    text = (
        "Of refined CAMs, at a quarter of the size, where `refine_cam` calibrates: the IoU of all pixels, mean over "
        "the classes and the background; the mean IoU of the single maps with the pixels of their class; in "
        "parentheses 95 % of these means over resampled images. *Chosen on the others*: weights and prior that have "
        "the largest expected value of both on the other two data sets, each counting alike.\n\n"
        + table(["threshold by", *(f"{name}: {count}" for name, count in counts.items())], cells)
    )
    result = "calibration" + ("_quick" if args.limit else "")
    write_json(result, payload)
    given = [option for option in sys.argv[1:] if Path(option) != args.data]
    command = shlex.join(["python", "benchmarks", "cams.calibration", "DATA", *given])
    write_markdown(result, "The threshold of a CAM", command, machine, text)


if __name__ == "__main__":
    main()
