"""
Scribbles to mattes
===================

:func:`~closedform_wsss.functional.solve_matting` computes a matte of each class from a few strokes on a photograph. The
matte is the fraction of each pixel that belongs to the class, also in fine structures such as fur.
"""

# %%
# Marks are a label map: a class where a stroke is, 255 elsewhere. Here they are drawn; from files,
# :func:`~closedform_wsss.io.read_marks` takes scribbled copies, trimaps, label maps and XML, and
# :func:`~closedform_wsss.io.read_image` gives the image.

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageDraw
from skimage import data

from closedform_wsss.functional import solve_matting
from closedform_wsss.io import IGNORE_INDEX, from_array

photograph = data.chelsea()
CAT = [
    [(70, 8), (60, 60), (50, 110), (12, 155), (10, 292), (120, 290), (270, 285), (305, 255), (335, 180), (350, 110)],
    [(345, 60), (365, 40), (385, 5), (330, 10), (90, 10), (120, 150), (220, 220), (280, 200), (280, 60), (180, 120)],
    [(320, 120), (240, 150), (60, 240), (180, 250)],
]
BACKGROUND = [
    [(12, 5), (22, 60), (5, 110)],
    [(412, 5), (385, 70), (370, 90), (374, 150), (362, 190), (345, 230), (340, 262), (335, 295), (445, 290), (440, 10)],
    [(400, 60), (400, 270)],
]
drawing = Image.new("L", photograph.shape[1::-1], IGNORE_INDEX)
for label, strokes in ((0, BACKGROUND), (1, CAT)):
    for stroke in strokes:
        ImageDraw.Draw(drawing).line(stroke, fill=label, width=3, joint="curve")
marks = torch.from_numpy(np.array(drawing))[None]  # (1, H, W)
image = from_array(photograph)[None]  # (1, 3, H, W) uint8

# %%
# One call returns a map for each class. The maps add up to 1. The solution also describes the convergence.

progress = []
solution = solve_matting(
    marks, image, eps=1e-6, callback=lambda iterations, error: progress.append((iterations, error))
)
alpha = solution.alpha
print(solution)

# %%
strokes = np.ma.masked_equal(marks[0], IGNORE_INDEX)
matte = alpha[0, 1].clamp(0, 1).numpy()
cut = photograph / 255 * matte[..., None] + np.array([0.1, 0.45, 0.4]) * (1 - matte[..., None])
figure, axes = plt.subplots(1, 3, figsize=(12, 2.9), layout="constrained")
axes[0].imshow(photograph)
axes[0].imshow(strokes, cmap="coolwarm", interpolation="nearest")
axes[1].imshow(matte, cmap="gray")
axes[2].imshow(cut)
for ax, title in zip(axes, ("photograph and strokes", "matte of the cat", "before another wall"), strict=True):
    ax.set_title(title)
    ax.set_axis_off()

# %%
# In front of the other wall, the old colours are still visible at the border: a matte does not contain the colours of
# the foreground. :doc:`/postprocessing` says how to compute them.
#
# Convergence
# -----------
# The solver estimates the largest error of all pixels and mattes, in units of alpha (a step of an 8-bit picture is
# 0.004). It stops at ``tol``, 0.001 by default.

figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.semilogy(*zip(*progress, strict=True), "o-", markersize=3)
ax.axhline(1e-3, color="gray", linestyle="--")
ax.set(xlabel="iterations", ylabel="estimated error of alpha")
ax.grid(alpha=0.3)
