"""Folders for examples/train_segmentation.py from a few VOC images, human clicks and class activation maps.

    python benchmarks training.voc_folders DATA/voc_mini OUTPUT

The images without a void border (labelled less carefully, things are missing) go to OUTPUT/train, those with one to
OUTPUT/val. Both get, beside images/ and labels/: scribbles/, points/ (discs of 4 pixels round human clicks) and cams/
(labels by refine_cam and pseudo_labels, 255 where the two best scores are close).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from PIL import Image

from closedform_wsss.functional import pseudo_labels, refine_cam
from closedform_wsss.io import from_points, read_cam, read_image, write_label_png

RADIUS, THRESHOLD, MARGIN = 4, 0.4, 0.1


def clicks(points: dict[str, list[dict[str, float]]], shape: tuple[int, int]):
    """The marks of one image; clicks just beyond the border are brought in."""
    height, width = shape
    return from_points(
        (
            (min(max(p["x"], 0), width - 1), min(max(p["y"], 0), height - 1), int(p["cls"]))
            for p in [*points["foreground"], *points["background"]]
        ),
        shape,
        radius=RADIUS,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path)
    parser.add_argument("output", metavar="OUTPUT", type=Path)
    args = parser.parse_args()
    meta = json.loads((args.data / "meta.json").read_text())
    points = json.loads((args.data / "human_points.json").read_text())
    for name, about in meta.items():
        split = args.output / ("val" if about["has_void_border"] else "train")
        for folder, suffix in (("images", "jpg"), ("labels", "png"), ("scribbles", "png")):
            (split / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(args.data / folder / f"{name}.{suffix}", split / folder)
        image = read_image(args.data / "images" / f"{name}.jpg")
        (split / "points").mkdir(exist_ok=True)
        write_label_png(split / "points" / f"{name}.png", clicks(points[name], image.shape[1:]))
        (split / "cams").mkdir(exist_ok=True)
        classes, cam = read_cam(args.data / "cams" / f"{name}.npz")
        refined = refine_cam(cam[None].clamp(0, 1), image[None])
        labels = pseudo_labels(refined.clamp(0, 1), threshold=THRESHOLD, margin=MARGIN, classes=classes.tolist())
        write_label_png(split / "cams" / f"{name}.png", labels[0])
        assert Image.open(split / "labels" / f"{name}.png").size == image.shape[:0:-1]
