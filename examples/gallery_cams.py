"""Draw the pictures of the gallery: class activation maps, what refines them, and the pseudo-labels.

    python examples/gallery_cams.py -o docs/_static

The photographs come with scikit-image. The CAMs are in examples/cams, and its README says how they were made. The
references are drawn by hand: strokes that the closed-form solution spreads. They are not the ground truth of a data
set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from skimage import data
from skimage.segmentation import mark_boundaries
from torch import Tensor

from closedform_wsss.functional import asam, pseudo_labels, refine_cam, soft_slic, solve_matting
from closedform_wsss.io import IGNORE_INDEX, from_array, read_cam

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).resolve().parent
WIDTH = 330  # of a panel, in pixels
GOLD = np.array([1.0, 0.72, 0.1])
Strokes = list[list[tuple[int, int]]]

# Lines (x, y), (x, y), ... on the object, and next to it.
OBJECT: dict[str, Strokes] = {
    "chelsea": [
        [
            (70, 8),
            (60, 60),
            (50, 110),
            (12, 155),
            (10, 292),
            (120, 290),
            (270, 285),
            (305, 255),
            (335, 180),
            (350, 110),
        ],
        [
            (345, 60),
            (365, 40),
            (385, 5),
            (330, 10),
            (90, 10),
            (120, 150),
            (220, 220),
            (280, 200),
            (280, 60),
            (180, 120),
        ],
        [(320, 120), (240, 150), (60, 240), (180, 250)],
    ],
    "coffee": [
        [(181, 110), (200, 60), (285, 25), (370, 60), (398, 110), (370, 170), (285, 202), (200, 165), (181, 110)],
        [(285, 50), (230, 100), (285, 150), (340, 100), (285, 180)],
        [(182, 150), (200, 195), (235, 228), (262, 268), (290, 278), (325, 266), (318, 232), (384, 180), (290, 222)],
        [(245, 225), (300, 260)],
        [(224, 238), (212, 285), (224, 299)],
    ],
    "rocket": [
        [(322, 132), (316, 150), (328, 165), (322, 170), (317, 190), (317, 398)],
        [(317, 398), (327, 398), (327, 190), (322, 180), (322, 390)],
    ],
}
BESIDE: dict[str, Strokes] = {
    "chelsea": [
        [(12, 5), (22, 60), (5, 110)],
        [
            (412, 5),
            (385, 70),
            (370, 90),
            (374, 150),
            (362, 190),
            (345, 230),
            (340, 262),
            (335, 295),
            (445, 290),
            (440, 10),
        ],
        [(400, 60), (400, 270)],
    ],
    "coffee": [
        [(20, 20), (160, 60), (200, 22), (285, 6), (350, 16), (392, 56), (412, 80), (410, 110), (420, 150), (398, 215)],
        [(163, 100), (165, 150), (180, 200), (200, 230), (188, 290), (215, 318), (245, 312), (300, 296), (328, 282)],
        [(398, 215), (385, 245), (355, 245), (324, 252), (340, 290), (375, 310), (300, 350), (120, 250), (150, 130)],
        [
            (30, 380),
            (90, 300),
            (20, 150),
            (300, 393),
            (480, 330),
            (590, 390),
            (560, 20),
            (420, 40),
            (560, 200),
            (450, 230),
        ],
    ],
    "rocket": [
        [(5, 420), (250, 420), (262, 412), (380, 412), (635, 420), (630, 10), (10, 10), (10, 400)],
        [(322, 116), (306, 140), (306, 330), (290, 360), (290, 400), (250, 300), (100, 380), (150, 100)],
        [(322, 116), (338, 140), (338, 330), (352, 360), (352, 400), (400, 300), (600, 380), (500, 100)],
        [(309, 190), (309, 340), (300, 396)],
        [(334, 190), (334, 340), (340, 396)],
    ],
}


def reference(name: str, image: Tensor) -> Tensor:
    """The object's mask ``(H, W)`` from the strokes."""
    height, width = image.shape[2:]
    marks = Image.new("L", (width, height), IGNORE_INDEX)
    draw = ImageDraw.Draw(marks)
    for value, strokes in ((0, BESIDE[name]), (1, OBJECT[name])):
        for stroke in strokes:
            draw.line(stroke, fill=value, width=3, joint="curve")
    return solve_matting(torch.from_numpy(np.array(marks))[None], image, eps=1e-6).alpha[0, 1] > 0.5


def heat(image: np.ndarray, cam: Tensor) -> np.ndarray:
    """A map in [0, 1] as colour over the grey image."""
    grey = image.mean(2, keepdims=True).repeat(3, 2)
    return 0.35 * grey + 0.65 * plt.get_cmap("inferno")(cam.numpy())[..., :3]


def cut_out(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The object in colour with a golden border, all else in pale grey."""
    pale = 0.75 + 0.2 * image.mean(2, keepdims=True).repeat(3, 2)
    return mark_boundaries(np.where(mask[..., None], image, pale), mask.astype(int), color=GOLD, mode="thick")


def panels(name: str) -> dict[str, np.ndarray]:
    """Every picture of one photograph, by title."""
    pixels = getattr(data, name)()
    image = from_array(pixels)[None] / 255
    _, maps = read_cam(HERE / "cams" / f"{name}.npz")
    cam = maps[None]
    rgb, size = pixels / 255, image.shape[2:]
    half = F.interpolate(image, scale_factor=0.5, mode="bilinear", antialias=True).clamp(0, 1)

    def full(x: Tensor) -> Tensor:
        return F.interpolate(x, size, mode="bilinear").clamp(0, 1)[0, 0]

    smooth = full(asam(cam, soft_slic(half, cell_size=8), num_iters=80))
    filtered = refine_cam(cam, image, level=None)[0, 0]
    refined = refine_cam(cam, image)
    # Smoother outlines than the default's, which follow every hair.
    superpixels = soft_slic(image, cell_size=16, compactness=30).to_hard().assignment[0].numpy()
    return {
        "image": rgb,
        "CAM": heat(rgb, full(cam)),
        "refine_cam": heat(rgb, refined[0, 0]),
        "pseudo-label": cut_out(rgb, pseudo_labels(refined, threshold=0.4)[0].numpy() > 0),
        "reference": cut_out(rgb, reference(name, image).numpy()),
        "superpixels": mark_boundaries(rgb, superpixels, color=GOLD),
        "1. ASAM": heat(rgb, smooth),
        "2. matting filter": heat(rgb, filtered),
        "3. level": heat(rgb, refined[0, 0]),
    }


def save(rows: list[dict[str, np.ndarray]], titles: list[str], path: Path) -> None:
    """A grid of panels, all at one size, with the titles above."""
    height = round(WIDTH * 2 / 3)
    gap, head = 6, 30
    size = (len(titles) * (WIDTH + gap) - gap, head + len(rows) * (height + gap) - gap)
    figure = plt.figure(figsize=(size[0] / 100, size[1] / 100), dpi=100, facecolor="white")
    for i, row in enumerate(rows):
        for j, title in enumerate(titles):
            left, top = j * (WIDTH + gap), head + i * (height + gap)
            axes = figure.add_axes(
                (left / size[0], 1 - (top + height) / size[1], WIDTH / size[0], height / size[1]), xticks=[], yticks=[]
            )
            axes.imshow(row[title].clip(0, 1), aspect="auto", interpolation="lanczos")
            axes.set_frame_on(False)
            if i == 0:
                axes.set_title(title, fontsize=15, pad=6)
    figure.savefig(path, pil_kwargs={"quality": 82})
    plt.close(figure)


def main() -> None:
    """Draw both pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the pictures")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    rows = [panels(name) for name in OBJECT]
    save(rows, ["image", "CAM", "refine_cam", "pseudo-label", "reference"], args.output / "gallery_cams.jpg")
    save(rows, ["superpixels", "1. ASAM", "2. matting filter", "3. level"], args.output / "gallery_steps.jpg")


if __name__ == "__main__":
    main()
