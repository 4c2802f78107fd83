"""
Class activation maps to labels
===============================

A classifier's map of a class is coarse: here it has one value for 16 x 16 pixels. ASAM spreads it over similar
superpixels. The matting filter moves its borders to the outlines in the image. The calibration moves the best contour
to a common threshold. All steps use only the image. Nothing is trained.
"""

# %%
# The folder ``examples/cams`` of the repository holds the maps of three photographs.

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data
from torch.nn.functional import interpolate

from closedform_wsss.functional import asam, calibrate_cam, matting_filter, pseudo_labels, refine_cam, soft_slic
from closedform_wsss.io import from_array, read_cam

FOLDER = Path("../cams")  # from examples/gallery


def load(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Image (1, 3, H, W) and CAM (1, 1, h, w), both in [0, 1]."""
    _, maps = read_cam(FOLDER / f"{name}.npz")
    return from_array(getattr(data, name)())[None] / 255, maps[None]


def resized(x: torch.Tensor, scale: float) -> torch.Tensor:
    return interpolate(x, scale_factor=scale, mode="bilinear", antialias=True).clamp(0, 1)


image, cam = load("chelsea")
print(tuple(image.shape), tuple(cam.shape))

# %%
# Step by step
# ------------
# ASAM works on superpixels, here at half of the image's size. In each step, a superpixel exchanges values with its
# neighbours, in proportion to the pixels that both share. So values spread within an object, but little across its
# outline.

half = resized(image, 0.5)
superpixels = soft_slic(half, cell_size=8)
spread = {steps: asam(cam, superpixels, num_iters=steps) for steps in (0, 10, 40, 160)}

figure, axes = plt.subplots(1, 5, figsize=(13, 2.2), layout="constrained")
for ax, (title, x) in zip(axes, {"CAM": cam, **{f"{k} steps": x for k, x in spread.items()}}.items(), strict=True):
    ax.imshow(x[0, 0], cmap="inferno", vmin=0, vmax=1)
    ax.set_title(title)
    ax.set_axis_off()

# %%
# Too few steps leave gaps. Too many steps blur the object into its surroundings. The filter and the calibration run
# at a quarter of the size.

quarter = resized(image, 0.25)
x = interpolate(spread[40], quarter.shape[2:], mode="bilinear")
filtered = matting_filter(x, quarter, fidelity=3e-3, tol=1e-2).clamp(0, 1)
levelled = calibrate_cam(filtered, quarter, level=0.4)

figure, axes = plt.subplots(1, 3, figsize=(12, 2.9), layout="constrained")
for ax, (title, y) in zip(axes, {"ASAM": x, "matting filter": filtered, "level": levelled}.items(), strict=True):
    ax.imshow(y[0, 0], cmap="inferno", vmin=0, vmax=1)
    ax.contour(y[0, 0], [0.4], colors="white", linewidths=1)
    ax.set_title(title)
    ax.set_axis_off()

# %%
# All of it in one call
# ---------------------
# :func:`~closedform_wsss.functional.refine_cam` runs these steps; it takes more steps of ASAM for a larger image, here
# 59. :func:`~closedform_wsss.functional.pseudo_labels` applies the threshold. The options are the same for all images.

figure, axes = plt.subplots(3, 3, figsize=(11, 7.2), layout="constrained")
for row, name in zip(axes, ("chelsea", "coffee", "rocket"), strict=True):
    image, cam = load(name)
    picture = image[0].permute(1, 2, 0).numpy()
    refined = refine_cam(cam, image)
    labels = pseudo_labels(refined, threshold=0.4)[0].numpy()
    before = interpolate(cam, image.shape[2:], mode="bilinear")[0, 0]
    row[0].imshow(picture)
    row[0].imshow(before, cmap="inferno", alpha=0.6, vmin=0, vmax=1)
    row[1].imshow(refined[0, 0], cmap="inferno", vmin=0, vmax=1)
    row[2].imshow(np.where(labels[..., None] > 0, picture, 0.75 + 0.2 * picture.mean(2, keepdims=True)))
for ax, title in zip(axes[0], ("CAM", "refine_cam", "label"), strict=True):
    ax.set_title(title)
for ax in axes.flat:
    ax.set_axis_off()

# %%
# The CAM of the cup covers only its bright part. Refinement finds the outline of that part, not of the cup: it moves
# a map to edges, but has no knowledge of objects. The rocket is a failure: its CAM is several times wider than the
# rocket, and the sky around it has no edges. :doc:`/benchmarks` measures the effect of each step on data sets.
# :doc:`/cams` explains the steps.

# sphinx_gallery_thumbnail_number = 3
