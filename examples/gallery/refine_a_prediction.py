"""
Refining a network's output
===========================

Networks predict at a quarter or an eighth of the image's size, and upsampling ignores the image. Two functions align
the prediction with the edges of the image. :func:`~closedform_wsss.functional.matting_filter` filters the whole maps.
:func:`~closedform_wsss.functional.solve_matting` keeps the confident part and computes the rest.
"""

# %%
# A network with coarse predictions
# ---------------------------------
# The network overfits one photograph with its mask, at a sixteenth of the size. So its prediction is roughly right,
# but has no sharp outline.

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageDraw
from skimage import data
from torch import nn
from torch.nn.functional import cross_entropy, interpolate

from closedform_wsss.functional import matting_filter, solve_matting
from closedform_wsss.io import IGNORE_INDEX, from_array

photograph = data.chelsea()
image = from_array(photograph)[None] / 255  # (1, 3, H, W) in [0, 1]
OUTLINE = [
    *zip(
        (0, 0, 28, 40, 58, 62, 393, 384, 362, 372, 358, 340, 338, 320),
        (299, 195, 160, 80, 40, 0, 0, 25, 62, 120, 175, 205, 250, 299),
        strict=True,
    )
]  # x and y of the corners
drawing = Image.new("L", photograph.shape[1::-1], 0)
ImageDraw.Draw(drawing).polygon(OUTLINE, fill=1)
mask = torch.from_numpy(np.array(drawing))[None].long()

torch.manual_seed(0)
model = nn.Sequential(
    nn.AvgPool2d(16, ceil_mode=True),
    nn.Conv2d(3, 32, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(32, 32, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(32, 2, 1),
)
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
for _ in range(200):
    loss = cross_entropy(interpolate(model(image), image.shape[2:], mode="bilinear"), mask)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

with torch.no_grad():
    coarse = model(image).softmax(1)  # (1, 2, H / 16, W / 16)
upsampled = interpolate(coarse, image.shape[2:], mode="bilinear")

# %%
# The matting filter
# ------------------
# The filter takes a map and returns a map of the same size and with the same mean. With a smaller ``fidelity`` the
# result follows the image more.

filtered = matting_filter(upsampled, image, fidelity=3e-3, eps=1e-6, tol=1e-2)

# %%
# The solver
# ----------
# Confident predictions become marks, except in a border as wide as a cell of the network. The image determines the
# other pixels.

best, labels = upsampled.max(1)
border = torch.nn.functional.max_pool2d((best < 0.9).float(), 17, 1, padding=8) > 0
sure = labels.masked_fill(border, IGNORE_INDEX)
solved = solve_matting(sure, image, eps=1e-6, tol=1e-2).alpha
print(f"{(sure == IGNORE_INDEX).float().mean():.0%} of the pixels were left to the image")

# %%
pale = 0.75 + 0.2 * photograph.mean(2, keepdims=True) / 255
left_out = torch.where(sure == IGNORE_INDEX, 0.5, sure.double())
figure, axes = plt.subplots(2, 4, figsize=(13, 4.6), layout="constrained")
maps = {
    "network": upsampled[0, 1],
    "sure (1, 0) or not (0.5)": left_out[0],
    "filtered": filtered[0, 1],
    "solved": solved[0, 1],
}
for column, (title, x) in zip(axes.T, maps.items(), strict=True):
    column[0].imshow(x, cmap="gray", vmin=0, vmax=1)
    column[0].set_title(title)
    column[1].imshow(np.where(x[..., None] > 0.5, photograph / 255, pale))
for ax in axes.flat:
    ax.set_axis_off()

# %%
# The filter is a differentiable, linear function of the network's output. The module
# :class:`~closedform_wsss.nn.MattingFilter` can also be the last layer of the network during training. The solver gives
# sharp mattes where the marks are right. It cannot correct confident errors of the network.
