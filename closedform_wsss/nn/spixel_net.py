"""The fully convolutional superpixel network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closedform_wsss._checks import as_compute_dtype, check_count, check_image
from closedform_wsss._common.superpixel_grid import neighbours_inside
from closedform_wsss.superpixels import Superpixels

CHANNELS = (16, 32, 64, 128, 256)
# Of the channels; what the published network was trained with.
MEAN = (0.411, 0.432, 0.45)
# Four halvings: sizes are padded to a multiple of this inside.
MULTIPLE = 16
# Module names of the published checkpoints -> ours. Their heads of the lower resolutions are not used.
PUBLISHED = (
    (r"conv(\d)a\.", r"encoder.\1.0."),
    (r"conv(\d)b\.", r"encoder.\1.1."),
    (r"deconv(\d)\.", r"up.\1."),
    (r"conv(\d)_1\.", r"merge.\1."),
    (r"pred_mask0\.", r"head."),
)
UNUSED = r"pred_mask[1-3]\."


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1)
    )


def _up(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.1))


class SpixelNet(nn.Module):
    """SpixelFCN: soft superpixels of an image from one pass through a small U-Net.

    An encoder of five resolutions with 16 to 256 channels, a decoder with skip connections, and a 3 x 3 convolution to
    9 channels; neighbours outside the grid are left out of the softmax. It starts with random weights: train it with
    :func:`closedform_wsss.functional.superpixel_reconstruction_loss`, or :meth:`load_published` ones.

    Args:
        cell_size: Side S of the grid's cells, >= 1. Default 16, as in the published weights. For superpixels of
            another size from a network trained for S, resize the image.

    Shape:
        image ``(N, 3, H, W)``, RGB in [0, 1] or uint8, before mean/std normalisation -> soft
        :class:`~closedform_wsss.Superpixels` of ``(N, 9, H, W)``, 0 for cells outside the grid. Every size works: the
        image is padded to a multiple of 16 inside.

    Raises:
        TypeError, ValueError: image is not (N, 3, H, W) in [0, 1] or uint8, when called.

    Reference:
        Yang, Sun, Jin, Zhou: Superpixel segmentation with fully convolutional networks. CVPR 2020.

    Example:
        >>> import torch
        >>> from closedform_wsss.nn import SpixelNet
        >>> net = SpixelNet().eval()
        >>> net(torch.rand(1, 3, 50, 70)).assignment.shape
        torch.Size([1, 9, 50, 70])
    """

    def __init__(self, *, cell_size: int = 16) -> None:
        super().__init__()
        self.cell_size = check_count("SpixelNet", "cell_size", cell_size, 1)
        steps = list(zip((3, *CHANNELS), CHANNELS, strict=False))
        self.encoder = nn.ModuleList(
            nn.Sequential(_conv(inputs, outputs, stride=2 if level else 1), _conv(outputs, outputs))
            for level, (inputs, outputs) in enumerate(steps)
        )
        self.up = nn.ModuleList(_up(outputs, inputs) for inputs, outputs in steps[1:])
        self.merge = nn.ModuleList(_conv(2 * inputs, inputs) for inputs, _ in steps[1:])
        self.head = nn.Conv2d(CHANNELS[0], 9, 3, padding=1)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(module.weight, 0.1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Superpixels:
        image = check_image("SpixelNet", image)
        if image.shape[1] != 3:
            hint = ": repeat a grey one with image.expand(-1, 3, -1, -1)" if image.shape[1] == 1 else ""
            raise ValueError(f"SpixelNet: image must be (N, 3, H, W), got shape {tuple(image.shape)}{hint}")
        height, width = image.shape[2:]
        # Numbers, not a buffer: one that is not saved has no values in a network that was made on the meta device.
        channels = image.to(self.head.weight.dtype).unbind(1)
        x = torch.stack([channel - mean for channel, mean in zip(channels, MEAN, strict=True)], 1)
        x = F.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
        skips = []
        for level in self.encoder:
            x = level(x)
            skips.append(x)
        skips.pop()
        # The modules are in the order of the resolutions, highest first.
        for up, merge in zip(reversed(self.up), reversed(self.merge), strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], 1))
        logits = self.head(x)[..., :height, :width]
        logits = as_compute_dtype(logits)
        inside = neighbours_inside(height, width, self.cell_size, image.device)
        return Superpixels(torch.softmax(logits.masked_fill(~inside, -torch.inf), 1), self.cell_size)

    def load_published(self, checkpoint: Mapping[str, Any]) -> None:
        """Loads weights in the format of the authors' implementation.

        Args:
            checkpoint: What ``torch.load`` gives for one of their files, or its ``"state_dict"``.

        Raises:
            RuntimeError: The weights are not those of this network (the variant with batch normalisation).
        """
        state = {}
        for key, value in checkpoint.get("state_dict", checkpoint).items():
            if re.match(UNUSED, key):
                continue
            for theirs, own in PUBLISHED:
                key = re.sub(f"^{theirs}", own, key)
            state[key] = value
        self.load_state_dict(state)

    def extra_repr(self) -> str:
        return f"cell_size={self.cell_size}"
