"""
Superpixels, hard and soft
==========================

Hard superpixels by :func:`~closedform_wsss.functional.slic` (scikit-image's), soft ones by
:func:`~closedform_wsss.functional.soft_slic`, which is differentiable, runs in batches and says how sure it is of
every pixel.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data
from skimage.segmentation import mark_boundaries

from closedform_wsss.functional import slic, soft_slic, superpixel_pool, superpixel_unpool
from closedform_wsss.io import from_array

photograph = data.coffee()
image = from_array(photograph)[None] / 255  # (1, 3, H, W) in [0, 1]
CELL = 16

# %%
# ``q`` ``(N, 9, H, W)`` holds a weight for each of the superpixels of the 3 x 3 cells around a pixel. They add up to
# 1. The strongest of them makes hard labels.

q = soft_slic(image, cell_size=CELL)
best = q.argmax(1)[0]
row = torch.arange(q.shape[2])[:, None] // CELL + best // 3
column = torch.arange(q.shape[3]) // CELL + best % 3
soft_labels = row * (q.shape[3] + 2) + column

hard_labels = slic(image, cell_size=CELL)[0]


def outlines(labels: torch.Tensor) -> np.ndarray:
    return mark_boundaries(photograph, labels.numpy(), color=(1, 0.8, 0.1))


figure, axes = plt.subplots(1, 3, figsize=(12, 2.9), layout="constrained")
axes[0].imshow(outlines(hard_labels))
axes[1].imshow(outlines(soft_labels))
axes[2].imshow(q.amax(1)[0], cmap="magma")
for ax, title in zip(axes, ("slic", "soft_slic, strongest", "weight of the strongest"), strict=True):
    ax.set_title(title)
    ax.set_axis_off()

# %%
# Means over superpixels
# ----------------------
# Pooling averages any map over each superpixel; unpooling gives every pixel the values of its superpixels back.
# Gradients flow through both, to the map and to ``q``. Smaller cells follow more.

figure, axes = plt.subplots(1, 3, figsize=(12, 2.9), layout="constrained")
for ax, cell in zip(axes, (8, 16, 32), strict=True):
    q = soft_slic(image, cell_size=cell)
    means = superpixel_unpool(superpixel_pool(image, q, cell_size=cell), q, cell_size=cell)
    ax.imshow(means[0].permute(1, 2, 0).clamp(0, 1))
    ax.set_title(f"means over cells of {cell}")
    ax.set_axis_off()

# %%
# Compactness
# -----------
# How much position counts beside colour: superpixels become rounder, and cut across faint edges.

figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
for ax, compactness in zip(axes, (3, 10, 40), strict=True):
    best = soft_slic(image, cell_size=CELL, compactness=compactness).argmax(1)[0]
    labels = (torch.arange(best.shape[0])[:, None] // CELL + best // 3) * 1000
    labels = labels + torch.arange(best.shape[1]) // CELL + best % 3
    ax.imshow(outlines(labels)[60:300, 150:450])
    ax.set_title(f"compactness={compactness}")
    ax.set_axis_off()
