"""Class activation maps from image tags.

    python examples/make_cams.py IMAGES TAGS -o CAMS

IMAGES is a folder of images. TAGS is a table with the classes of each image, such as a line
`2007_000032,1,15` (`closedform_wsss.io.read_tags`); classes are numbers from 1. A classifier with ImageNet weights
learns the tags. Its last convolution gives a map for each class; CAMS gets those of the tags of each image, at several
sizes and mirrored, averaged, and divided by their maximum (`closedform_wsss.io.write_cam`). `closedform-wsss
refine-cams` reads them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm, trange

from closedform_wsss.functional import multi_label_loss
from closedform_wsss.io import read_image, read_tags, write_cam

sys.path.insert(0, str(Path(__file__).parent))
from segmentation.data import image_files
from segmentation.model import EfficientNetLite0, SameConv

SIZES = (0.75, 1.0, 1.5)  # of the image, relative to --size


class Classifier(nn.Module):
    """Maps ``(N, C, h, w)`` at stride 16 of an image in [0, 1]; their means are the logits."""

    def __init__(self, num_classes: int, pretrained: bool) -> None:
        super().__init__()
        self.encoder = EfficientNetLite0(pretrained)
        # The last convolution with a stride keeps the size instead: CAMs twice as fine.
        strided = [m for m in self.encoder.modules() if isinstance(m, SameConv) and m.stride == (2, 2)]
        strided[-1].stride = (1, 1)
        self.classifier = nn.Conv2d(self.encoder.channels[-1], num_classes, 1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        return self.classifier(F.dropout(self.encoder(image)[-1], 0.2, self.training))


def tagged(file: Path, images: Path) -> tuple[list[Path], Tensor]:
    """The image files and their tags, ``(M, C)`` bool."""
    files = {path.stem: path for path in image_files(images)}
    try:
        tags = read_tags(file)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    if missing := sorted(set(files) - {name for name, classes in tags.items() if classes}):
        raise SystemExit(f"{file} has no tags for {len(missing)} images of {images}, the first is {missing[0]}")
    present = torch.zeros(len(files), max(tags[name][-1] for name in files), dtype=torch.bool)
    for row, name in zip(present, files, strict=True):
        row[torch.tensor(tags[name]) - 1] = True
    return list(files.values()), present


def sized(image: Tensor, length: float) -> Tensor:
    """An image ``(1, 3, H, W)`` in [0, 1] whose longer side has about so many pixels, multiples of 32."""
    scale = length / max(image.shape[2:])
    size = [max(round(side * scale / 32), 1) * 32 for side in image.shape[2:]]
    return F.interpolate(image, size, mode="bilinear", antialias=True).clamp(0, 1)


def train(model: Classifier, files: list[Path], present: Tensor, args: argparse.Namespace) -> None:
    """Learns the tags, from images of one size: squares."""
    square = (args.size, args.size)
    images = torch.stack(
        [
            F.interpolate(read_image(file)[None].float(), square, mode="bilinear", antialias=True)[0].round().byte()
            for file in tqdm(files, "read", disable=args.quiet)
        ]
    )
    steps = max(len(files) // args.batch, 1)
    optimizer = torch.optim.AdamW(
        [
            {"params": model.encoder.parameters(), "lr": args.lr},
            {"params": model.classifier.parameters(), "lr": args.lr},
        ]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [args.lr, 10 * args.lr], total_steps=args.epochs * steps, pct_start=0.1
    )
    model.train()
    for epoch in trange(args.epochs, desc="train", disable=args.quiet):
        order, total = torch.randperm(len(files)), 0.0
        for step in range(steps):
            index = order[step * args.batch : (step + 1) * args.batch]
            x = images[index].to(args.device).float() / 255
            x = torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5, x.flip(-1), x)
            loss = multi_label_loss(model(x).mean((2, 3)), present[index].to(args.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        if not args.quiet:
            tqdm.write(f"epoch {epoch + 1}  loss {total / steps:.4f}")


@torch.no_grad()
def maps_of(model: Classifier, image: Tensor, classes: Tensor, length: int) -> Tensor:
    """CAMs ``(K, h, w)`` in [0, 1] of classes ``(K,)`` from 0."""
    found = []
    for part in SIZES:
        view = sized(image, part * length)
        both = model(torch.cat([view, view.flip(-1)]))[:, classes].relu()
        found.append((both[:1] + both[1:].flip(-1)) / 2)
    cam = sum(F.interpolate(maps, found[-1].shape[2:], mode="bilinear", align_corners=False) for maps in found)[0]
    return cam / cam.amax((1, 2), keepdim=True).clamp_min(1e-6)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", metavar="IMAGES", type=Path)
    parser.add_argument("tags", metavar="TAGS", type=Path)
    parser.add_argument("-o", "--output", metavar="CAMS", type=Path, required=True)
    parser.add_argument("--size", type=int, default=288, help="pixels of the longer side (default 288)")
    parser.add_argument("--epochs", type=int, default=8, help="default 8")
    parser.add_argument("--batch", type=int, default=16, help="images in a step (default 16)")
    parser.add_argument("--lr", type=float, default=3e-4, help="highest learning rate (default 3e-4)")
    parser.add_argument("--no-pretrained", action="store_true", help="start from random weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    args = parser.parse_args(argv)
    for name in ("size", "epochs", "batch"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(args, name)}")
    torch.manual_seed(args.seed)
    files, present = tagged(args.tags, args.images)
    model = Classifier(present.shape[1], not args.no_pretrained).to(args.device)
    train(model, files, present, args)
    model.eval()
    args.output.mkdir(parents=True, exist_ok=True)
    for file, row in tqdm(list(zip(files, present, strict=True)), "CAMs", disable=args.quiet):
        classes = row.nonzero()[:, 0]
        image = read_image(file)[None].to(args.device).float() / 255
        cam = maps_of(model, image, classes.to(args.device), args.size)
        write_cam(args.output / f"{file.stem}.npz", classes + 1, cam, format="npz")
    print(f"{len(files)} CAMs in {args.output}")


if __name__ == "__main__":
    main()
