"""
What the matting Laplacian measures
===================================

This program draws the pictures of :doc:`the mathematics </mathematics>`. In every small window, a matte is nearly an
affine function of the colour. The Laplacian adds up the deviations of a map from such functions. A map has a low cost
if it follows the image.
"""

# %%
# A matte is affine in the colours, window by window
# --------------------------------------------------
# A line of pixels goes from the saucer over the rim into the cup. The map on this line is smooth in colour, but not in
# position. Each window of three pixels predicts it with its own slope and constant.

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from skimage import data
from torch.nn.functional import interpolate

from closedform_wsss import MattingLaplacian
from closedform_wsss.functional import matting_filter
from closedform_wsss.io import from_array

photograph = from_array(data.coffee())[None].double() / 255
image = interpolate(photograph, (100, 150), mode="bilinear", antialias=True).clamp(0, 1)
height, width = image.shape[2:]
picture = image[0].permute(1, 2, 0)

EPS = 1e-5
line = image[0, :, 45, 18:60].T.numpy()
alpha = (line.mean(1) - line.mean(1).min()) / np.ptp(line.mean(1))  # a matte that follows the grey value
alpha[22:] = 1 - alpha[22:]  # from the middle on, the opposite

figure, axes = plt.subplots(1, 3, figsize=(12, 2.7), layout="constrained", width_ratios=(1.2, 1.5, 1.5))
axes[0].imshow(picture)
axes[0].plot([18, 59], [45, 45], color="cyan")
axes[0].set_axis_off()
axes[1].plot(line.mean(1), color="gray", label="grey value")
axes[1].plot(alpha, color="C0", label="matte")
cost = np.full(len(alpha), np.nan)
for middle in range(1, len(alpha) - 1):
    window = slice(middle - 1, middle + 2)
    colors, values = line[window] - line[window].mean(0), alpha[window] - alpha[window].mean()
    slopes = np.linalg.solve(colors.T @ colors + EPS * np.eye(3), colors.T @ values)
    fitted = colors @ slopes + alpha[window].mean()
    axes[1].plot(np.arange(middle - 1, middle + 2), fitted, color="C1", linewidth=0.8)
    cost[middle] = ((values - colors @ slopes) ** 2).sum() + EPS * (slopes**2).sum()
axes[1].plot([], [], color="C1", label="prediction of the windows")
axes[1].legend(fontsize=8)
axes[2].semilogy(cost, ".-", color="C3")
axes[2].set_title("cost of each window", fontsize=10)

# %%
# In the middle, the matte turns into its opposite, but the image has no edge there. The two windows across that place
# cost ten thousand times as much as the others. At the rim the matte also falls steeply, but so does the colour, and a
# slope explains it. Every affine function of the colour has almost no cost, and every window can have its own.
#
# Maps with almost no cost
# ------------------------
# These are the eigenvectors of the smallest eigenvalues, after the constant. The solution for scribbles is a
# combination of such maps. The coarse basis of the solver contains similar functions.

laplacian = MattingLaplacian(image, eps=EPS)
values, vectors = eigsh(laplacian.to_scipy(0), k=7, sigma=-1e-6)

figure, axes = plt.subplots(2, 3, figsize=(12, 5.6), layout="constrained")
for ax, value, vector in zip(axes.flat, values[1:], vectors.T[1:], strict=True):
    ax.imshow(vector.reshape(height, width), cmap="coolwarm")
    ax.set_title(f"eigenvalue {value:.1e}", fontsize=10)
    ax.set_axis_off()

# %%
# The influence of one pixel
# --------------------------
# The response of :func:`~closedform_wsss.functional.matting_filter` to a single pixel is a row of
# :math:`(L + \lambda I)^{-1} \lambda`. It spreads over surfaces of one colour and stops at edges. Some values are
# negative (blue), because there is no maximum principle.

figure, axes = plt.subplots(1, 3, figsize=(12, 2.8), layout="constrained")
for ax, (y, x) in zip(axes, ((26, 38), (60, 70), (85, 120)), strict=True):
    point = torch.zeros(1, 1, height, width, dtype=torch.double)
    point[0, 0, y, x] = 1
    row = matting_filter(point, image, fidelity=1e-3, eps=EPS, tol=1e-5)[0, 0]
    limit = 0.3 * row.max()
    ax.imshow(row, cmap="coolwarm", vmin=-limit, vmax=limit)
    ax.plot(x, y, "k+", markersize=10)
    ax.set_axis_off()

# sphinx_gallery_thumbnail_number = 2
