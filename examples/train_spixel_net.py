"""Train a superpixel network on a folder of images, with or without labels.

    python examples/train_spixel_net.py IMAGES -o spixel_net.pt
    python examples/train_spixel_net.py IMAGES --segments SEGMENTS -o spixel_net.pt

IMAGES is a folder of images. With labels the superpixels learn to reconstruct the labels, otherwise the colours.
SEGMENTS holds a label map for each image, with the same name: a .png with classes, 255 where there is none, or an .npz
with `segments` (A, H, W) of A annotators. Each step draws one annotator at random.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from segmentation.data import image_files
from skimage.color import rgb2lab
from torch import Tensor
from tqdm import trange

from closedform_wsss.functional import superpixel_reconstruction_loss
from closedform_wsss.io import IGNORE_INDEX, read_image, read_label_png
from closedform_wsss.nn import SpixelNet


def read_segments(folder: Path, stem: str, size: tuple[int, int]) -> np.ndarray:
    """Label maps ``(A, H, W)`` of one image of that size, -1 where there is no label."""
    file = folder / f"{stem}.npz"
    if file.exists():
        labels = np.load(file)["segments"].astype(np.int64)
    else:
        file = folder / f"{stem}.png"
        if not file.exists():
            raise SystemExit(f"{folder} must hold {stem}.npz or {stem}.png")
        labels = read_label_png(file)[None].numpy()
        labels[labels == IGNORE_INDEX] = -1
    if labels.shape[1:] != size:
        raise SystemExit(f"{file} has {labels.shape[-1]} x {labels.shape[-2]} pixels, its image {size[1]} x {size[0]}")
    return labels


class Crops:
    """Random crops, flipped at random, of images that stay in memory."""

    def __init__(self, images: Path, segments: Path | None, size: int, seed: int) -> None:
        files = image_files(images)
        self.images = [read_image(file).permute(1, 2, 0).numpy() for file in files]
        if min(min(image.shape[:2]) for image in self.images) < size:
            raise SystemExit(f"{images} must hold images of at least {size} x {size} pixels")
        # What the superpixels reconstruct, (K, H, W, D): label maps, or the colours in CIELAB.
        if segments:
            pairs = zip(files, self.images, strict=True)
            self.targets = [read_segments(segments, file.stem, image.shape[:2])[..., None] for file, image in pairs]
        else:
            self.targets = [(rgb2lab(image) / 100).astype(np.float32)[None] for image in self.images]
        self.size, self.random = size, np.random.default_rng(seed)

    def one(self) -> tuple[Tensor, Tensor]:
        """Image ``(3, size, size)`` uint8 and target ``(D, size, size)``."""
        k = self.random.integers(len(self.images))
        image, target = self.images[k], self.random.choice(self.targets[k])
        y, x = (self.random.integers(side - self.size + 1) for side in image.shape[:2])
        flips = tuple(np.flatnonzero(self.random.random(2) < 0.5))
        crops = [np.flip(a[y : y + self.size, x : x + self.size], flips) for a in (image, target)]
        image, target = (torch.from_numpy(np.ascontiguousarray(np.moveaxis(crop, 2, 0))) for crop in crops)
        return image, target

    def batch(self, n: int) -> tuple[Tensor, Tensor]:
        """Images ``(n, 3, size, size)``, and colours ``(n, 3, size, size)`` or labels ``(n, size, size)``."""
        images, targets = (torch.stack(parts) for parts in zip(*(self.one() for _ in range(n)), strict=True))
        return images, targets if targets.is_floating_point() else targets[:, 0]


def main() -> None:
    """Read the options, train, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", metavar="IMAGES", type=Path, help="folder of images")
    parser.add_argument("-o", "--output", type=Path, required=True, help="file for the weights (a state_dict)")
    parser.add_argument("--segments", type=Path, help="folder of label maps; default: reconstruct colours")
    parser.add_argument("--cell-size", type=int, default=16, help="side of the grid's cells (default 16)")
    parser.add_argument("--steps", type=int, default=1000, help="default 1000")
    parser.add_argument("--batch", type=int, default=4, help="crops in a step (default 4)")
    parser.add_argument("--crop", type=int, default=160, help="side of the crops (default 160)")
    parser.add_argument("--lr", type=float, default=1e-3, help="highest learning rate (default 1e-3)")
    parser.add_argument("--position-weight", type=float, help="of the loss (default: the loss's own)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for folder in (args.images, args.segments):
        if folder and not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    args.output.parent.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(args.seed)
    crops = Crops(args.images, args.segments, args.crop, args.seed)
    print(f"{len(crops.images)} images; reconstructing {'labels' if args.segments else 'colours'} on {args.device}")
    net = SpixelNet(cell_size=args.cell_size).to(args.device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=args.steps)

    started, average = time.time(), None
    for _ in (bar := trange(args.steps)):
        image, target = (tensor.to(args.device) for tensor in crops.batch(args.batch))
        loss = superpixel_reconstruction_loss(
            net(image),
            target,
            position_weight=args.position_weight,
            ignore_index=-1,
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        bar.set_postfix_str(f"loss {average:.4f}")

    torch.save(net.cpu().state_dict(), args.output)
    print(f"loss {average:.4f} after {args.steps} steps and {time.time() - started:.0f} s; weights in {args.output}")
    print(f"net = SpixelNet(cell_size={args.cell_size}); net.load_state_dict(torch.load('{args.output}'))")


if __name__ == "__main__":
    main()
