"""Hard superpixels: scikit-image's SLIC for batches of tensors."""

from __future__ import annotations

from typing import Any

import torch
from skimage import segmentation
from torch import Tensor

from closedform_wsss._checks import check_count, check_image, check_positive, check_tensor
from closedform_wsss._ops._define import define
from closedform_wsss.superpixels import Superpixels

FN = "slic"
# With less the position counts less than rounding, and where squared distances overflow no superpixel is the nearest:
# scikit-image writes to the one before the first then.
MIN_COMPACTNESS = 1e-10


def slic(image: Tensor, *, cell_size: float = 16, compactness: float = 10.0, num_iters: int = 10) -> Superpixels:
    r"""Hard superpixels by scikit-image's SLIC: k-means in colour and position from a regular grid.

    Pixel p belongs to the superpixel i with the smallest
    :math:`\lVert c_p - c_i \rVert^2 + (m / S)^2 \lVert x_p - x_i \rVert^2`, with colours c in CIELAB, positions x,
    ``compactness`` m and the step S of the grid. scikit-image works on the CPU, one image at a time; CUDA tensors are
    copied. It first scales the values of each image to [0, 1]. At the end it makes every superpixel connected: parts
    much smaller than a cell join a neighbour.

    Args:
        image: ``(N, D, H, W)`` in [0, 1] or uint8, before mean/std normalisation: RGB for D = 3, grey for D = 1
            (repeated to three channels); other channels are used without conversion, times 100.
        cell_size: About the square root of the number of pixels in a superpixel, >= 1. Default 16.
        compactness: m > 0; more makes superpixels squarer. Default 10.
        num_iters: Steps of k-means, >= 1. Default 10.

    Returns:
        Hard :class:`~closedform_wsss.Superpixels`: labels ``(N, H, W)``, int64, on the image's device. The labels of
        each image are 0, 1, ... without gaps. There are about H W / ``cell_size**2``; images of a batch differ in how
        many they have.

    Raises:
        TypeError: image is neither floating point nor uint8, cell_size or compactness is no number.
        ValueError: image is not (N, D, H, W) or not in [0, 1], or an option is out of range.

    Reference:
        Achanta, Shaji, Smith, Lucchi, Fua, Süsstrunk: SLIC superpixels compared to state-of-the-art superpixel methods.
        TPAMI 2012.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import slic
        >>> labels = slic(torch.rand(2, 3, 48, 64), cell_size=16).assignment
        >>> labels.shape, labels.dtype
        (torch.Size([2, 48, 64]), torch.int64)
    """
    check_tensor(FN, "image", image)
    # The labels are made on the CPU: there the values can be checked, too.
    device, image = image.device, check_image(FN, image.cpu())
    check_options(FN, cell_size, compactness, num_iters)
    labels: Tensor = _slic(image, float(cell_size), float(compactness), int(num_iters))
    return Superpixels(labels.to(device), cell_size)


def check_options(fn: str, cell_size: Any, compactness: Any, num_iters: Any) -> None:
    if check_positive(fn, "cell_size", cell_size) < 1:
        raise ValueError(f"{fn}: cell_size must be >= 1, got {cell_size}")
    check_positive(fn, "compactness", compactness)
    check_count(fn, "num_iters", num_iters, 1)


# An operator, so that torch.compile does not trace scikit-image.


def _slic_run(image: Tensor, cell_size: float, compactness: float, num_iters: int) -> Tensor:
    n, channels, height, width = image.shape
    if channels == 1:
        image = image.expand(n, 3, height, width)
    lab = image.shape[1] == 3
    segments = max(1, round(height * width / cell_size**2))
    labels = torch.empty(n, height, width, dtype=torch.int64, device="cpu")
    for k, pixels in enumerate(image.permute(0, 2, 3, 1).contiguous().numpy()):
        found = segmentation.slic(
            pixels,
            n_segments=segments,
            # Lightness in CIELAB goes to 100, other channels to 1.
            compactness=max(compactness if lab else compactness / 100, MIN_COMPACTNESS),
            max_num_iter=num_iters,
            convert2lab=lab,
            start_label=0,
            channel_axis=-1,
        )
        labels[k] = torch.from_numpy(found)
    return labels


def _slic_fake(image: Tensor, *_: Any) -> Tensor:
    return image.new_empty(image.shape[0], *image.shape[2:], dtype=torch.int64)


_slic = define(
    "slic",
    "(Tensor image, float cell_size, float compactness, int num_iters) -> Tensor",
    _slic_run,
    _slic_run,
    _slic_fake,
)
