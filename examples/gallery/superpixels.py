"""
Superpixels, hard and soft
==========================

:func:`~closedform_wsss.functional.slic` computes hard superpixels with scikit-image.
:func:`~closedform_wsss.functional.soft_slic` computes soft superpixels: it is differentiable, runs in batches, and its
weights show how certain the assignment of each pixel is.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from skimage import data
from skimage.segmentation import mark_boundaries

from closedform_wsss import Superpixels
from closedform_wsss.functional import slic, soft_slic, superpixel_pool, superpixel_unpool
from closedform_wsss.io import from_array

photograph = data.coffee()
image = from_array(photograph)[None] / 255  # (1, 3, H, W) in [0, 1]
CELL = 16

# %%
# The assignment ``(N, 9, H, W)`` holds one weight for each superpixel of the 3 x 3 cells around a pixel. The weights
# add up to 1. :meth:`~closedform_wsss.Superpixels.to_hard` gives each pixel to the superpixel of its largest weight.

soft, hard = soft_slic(image, cell_size=CELL), slic(image, cell_size=CELL)


def outlines(superpixels: Superpixels) -> np.ndarray:
    return mark_boundaries(photograph, superpixels.to_hard().assignment[0].numpy(), color=(1, 0.8, 0.1))


figure, axes = plt.subplots(1, 3, figsize=(12, 2.9), layout="constrained")
axes[0].imshow(outlines(hard))
axes[1].imshow(outlines(soft))
axes[2].imshow(soft.assignment.amax(1)[0], cmap="magma")
for ax, title in zip(axes, ("slic", "soft_slic, strongest", "weight of the strongest"), strict=True):
    ax.set_title(title)
    ax.set_axis_off()

# %%
# Means over superpixels
# ----------------------
# Pooling averages a map over each superpixel. Unpooling gives each pixel the weighted mean of its superpixels.
# Gradients flow through both, to the map and to the assignment. Smaller cells keep more detail.

figure, axes = plt.subplots(1, 3, figsize=(12, 2.9), layout="constrained")
for ax, cell in zip(axes, (8, 16, 32), strict=True):
    soft = soft_slic(image, cell_size=cell)
    means = superpixel_unpool(superpixel_pool(image, soft), soft)
    ax.imshow(means[0].permute(1, 2, 0).clamp(0, 1))
    ax.set_title(f"means over cells of {cell}")
    ax.set_axis_off()

# %%
# Compactness
# -----------
# Compactness is the weight of the position relative to the colour. With a larger value, superpixels are rounder and
# cross weak edges.

figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
for ax, compactness in zip(axes, (3, 10, 40), strict=True):
    ax.imshow(outlines(soft_slic(image, cell_size=CELL, compactness=compactness))[60:300, 150:450])
    ax.set_title(f"compactness={compactness}")
    ax.set_axis_off()
