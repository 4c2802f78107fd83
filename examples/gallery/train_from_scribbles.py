"""
Training from scribbles
=======================

A small network learns in four ways, always from the same initial weights:

* from full masks;
* from scribbles;
* from scribbles by ``mark_loss``: cross-entropy, closed-form energy, dense CRF, absent classes;
* from pseudo-labels: its own predictions after the matting filter, as in the :doc:`recipe </training>`.
"""

# %%
# Synthetic scenes
# ----------------
# Each scene has blobs of three classes on a background. The colours of a class vary within a scene and between scenes,
# and overlap with those of other classes. Scribbles are a short stroke in the middle of each blob, and a stroke with a
# corner on the background.

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import ListedColormap
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from closedform_wsss.functional import classes_present, mark_loss, matting_filter
from closedform_wsss.io import IGNORE_INDEX
from closedform_wsss.metrics import ConfusionMatrix

SIDE = 96
COLORS = np.array([[0.45, 0.5, 0.4], [0.7, 0.45, 0.3], [0.35, 0.45, 0.65], [0.55, 0.65, 0.35]])
CLASSES = len(COLORS)


def scene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image (H, W, 3) in [0, 1], mask and marks (H, W)."""
    mask, marks = Image.new("L", (SIDE, SIDE), 0), Image.new("L", (SIDE, SIDE), IGNORE_INDEX)
    x, y = rng.uniform(40, 56, 2)
    ImageDraw.Draw(marks).line([(x, 4), (x, y), (SIDE - 4, y)], 0, 2)
    places = rng.permutation([(24, 26), (72, 28), (26, 72), (70, 72)])[:3] + rng.uniform(-6, 6, (3, 2))
    for x, y in places:
        label = int(rng.integers(1, CLASSES))
        angle = np.linspace(0, 2 * np.pi, 40)
        waves = [rng.normal(0, 3 / k) * np.sin(k * angle + rng.uniform(0, 6)) for k in (2, 3, 5)]
        radius = rng.uniform(14, 20) + sum(waves)
        outline = np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)
        ImageDraw.Draw(mask).polygon([tuple(corner) for corner in outline], label)
        dx, dy = rng.uniform(-6, 6, 2)
        ImageDraw.Draw(marks).line([(x - dx, y - dy), (x + dx, y + dy)], label, 2)
    labels, marked = np.array(mask), np.array(marks)
    marked[marked != labels] = IGNORE_INDEX
    coarse = [
        Image.fromarray(plane).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for plane in rng.normal(0, 1, (3, 8, 8))
    ]
    tints = COLORS + rng.normal(0, 0.06, (CLASSES, 3))
    image = tints[labels] + 0.07 * np.stack(coarse, -1) + rng.normal(0, 0.03, (SIDE, SIDE, 3))
    return image.clip(0, 1), labels, marked


rng = np.random.default_rng(0)
images, masks, marks = (torch.from_numpy(np.stack(x)) for x in zip(*(scene(rng) for _ in range(80)), strict=True))
images, masks, marks = images.permute(0, 3, 1, 2).float(), masks.long(), marks.long()
TRAIN, TEST = slice(0, 48), slice(48, 80)
print(f"{(marks != IGNORE_INDEX).float().mean():.1%} of the pixels are marked")

# %%
# A network at a quarter of the size, and a training loop
# -------------------------------------------------------


def layer(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def full_size(x: Tensor) -> Tensor:
    return interpolate(x, (SIDE, SIDE), mode="bilinear")


def train(targets: Tensor, criterion, epochs: int = 30) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(layer(3, 24, 2), layer(24, 48, 2), layer(48, 48), layer(48, 48), nn.Conv2d(48, CLASSES, 1))
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=epochs * 6)
    for _ in range(epochs):
        for batch in torch.randperm(48).split(8):
            loss = criterion(full_size(model(images[batch])), targets[batch], images[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def predict(model: nn.Module, part: slice) -> Tensor:
    return full_size(model(images[part])).softmax(1)


# %%
# Four ways to learn
# ------------------
# The cross-entropy counts the pixels that have a target:


def on_targets(logits: Tensor, target: Tensor, image: Tensor) -> Tensor:
    return cross_entropy(logits, target, ignore_index=IGNORE_INDEX)


# ``mark_loss`` also uses the image, and the classes that are marked in it: the others are absent.


def on_marks(logits: Tensor, target: Tensor, image: Tensor) -> Tensor:
    return mark_loss(logits, target, image, class_present=classes_present(target, CLASSES))


models = {
    "full masks": train(masks, on_targets),
    "scribbles": train(marks, on_targets),
    "scribbles, mark_loss": train(marks, on_marks),
}

# %%
# The fourth way starts with the network of the third. The matting filter aligns its predictions on the
# training images with the edges and keeps the scribbles. The best class of each pixel is the target of a new network.

probabilities = predict(models["scribbles, mark_loss"], TRAIN)
filtered = matting_filter(probabilities, images[TRAIN], target=marks[TRAIN], fidelity=3e-3, eps=1e-5, tol=0.03)
models["own labels, filtered"] = train(filtered.argmax(1), on_targets)

# %%
# Results
# -------
# Mean IoU on scenes that were not used for training:

for name, model in models.items():
    matrix = ConfusionMatrix(CLASSES)
    matrix.update(predict(model, TEST).argmax(1), masks[TEST])
    print(f"{name:<22} mean IoU {matrix.compute().mean_iou:.3f}")

# %%

palette = ListedColormap(["#d9d9d9", "#d95f02", "#4575b4", "#66a61e"])
figure, axes = plt.subplots(3, 6, figsize=(12, 6.3), layout="constrained")
for row, index in zip(axes, (50, 61, 72), strict=True):
    picture = images[index].permute(1, 2, 0)
    row[0].imshow(picture)
    stroke = np.ma.masked_equal(marks[index], IGNORE_INDEX)
    row[0].imshow(stroke, cmap=palette, vmin=0, vmax=CLASSES - 1, interpolation="nearest")
    results = [masks[index], *(predict(model, slice(index, index + 1))[0].argmax(0) for model in models.values())]
    for ax, result in zip(row[1:], results, strict=True):
        ax.imshow(result, cmap=palette, vmin=0, vmax=CLASSES - 1, interpolation="nearest")
titles = ["test scene, its strokes", "truth", *models]
for ax, title in zip(axes[0], titles, strict=True):
    ax.set_title(title, fontsize=10)
for ax in axes.flat:
    ax.set_axis_off()

# %%
# From scribbles, the network learns roughly where each class is. It makes errors along outlines and far from the
# strokes. ``mark_loss`` removes some of them. The filter combines the predictions and the edges over the whole image,
# and the new network learns from the result. :doc:`/training` has measurements on photographs.
