"""Test-time augmentation: the mean over scales and flips of an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from closedform_wsss._checks import (
    as_compute_dtype,
    check_finite,
    check_image,
    check_maps,
    check_option,
    check_pixels,
    check_positive,
    check_same_view,
)
from closedform_wsss._resize import resize_image, resize_maps, scaled_size

FN = "test_time_augmentation"


def test_time_augmentation(
    refine: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    image: Tensor,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> Tensor:
    """Test-time augmentation: the mean of a function's results on resized and mirrored copies of an image.

    Superpixels depend on the scale of the image and on the place of their grid. The mean over several scales and flips
    depends less on both.

    Args:
        refine: ``(x, image) -> y``: maps ``(N, C, h, w)`` and an image ``(N, D, h, w)`` of a size to maps
            ``(N, C, h', w')`` of any size, floating point.
        x: ``(N, C, H', W')``, any size; resized to each copy of the image by bilinear interpolation.
        image: ``(N, D, H, W)`` in [0, 1] or uint8.
        scales: Sizes of the copies, > 0, relative to the image. Default (1,).
        flip: Use each copy also mirrored left to right. Default False.

    Returns:
        ``(N, C, H, W)``; float64 if x is, float32 otherwise.

    Raises:
        TypeError: A wrong dtype, or ``refine`` returns no floating-point tensor.
        ValueError: A shape or device does not fit, also of what ``refine`` returns; NaN in x; ``scales`` is empty or
            holds a number that is not above 0; ``flip`` is not a bool; the image is not in [0, 1].

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import asam, test_time_augmentation, soft_slic
        >>> image, cam = torch.rand(1, 3, 64, 96), torch.rand(1, 2, 4, 6)
        >>> def refine(x, image):
        ...     return asam(x, soft_slic(image, cell_size=8))
        >>> test_time_augmentation(refine, cam, image, scales=(0.5, 1.0), flip=True).shape
        torch.Size([1, 2, 64, 96])
    """
    image = check_image(FN, image)
    x = check_maps(FN, "x", x, image.shape[0], image.device)
    check_pixels(FN, "x", x)
    check_finite(FN, "x", x)
    check_same_view(FN, x=x, image=image)
    if not callable(refine):
        raise TypeError(f"{FN}: refine must be a function of maps and image, got {type(refine).__name__}")
    check_option(FN, "flip", flip, (True, False))
    if not hasattr(scales, "__len__") or len(scales) == 0:
        raise ValueError(f"{FN}: scales must hold at least one number, got {scales!r}")
    size = (image.shape[2], image.shape[3])
    x = as_compute_dtype(x)
    image = image.to(x.dtype)
    total, count = x.new_zeros(*x.shape[:2], *size), 0
    for scale in scales:
        scale = check_positive(FN, "scales", scale)
        view_size = scaled_size(size, scale)
        view = resize_image(image, view_size).clamp(0, 1)
        maps = resize_maps(x, view_size)
        for mirrored in (False, True) if flip else (False,):
            # Copies: refine may write into what it gets.
            y = refine(maps.flip(-1), view.flip(-1)) if mirrored else refine(maps.clone(), view.clone())
            y = _checked(y, x)
            total = total + resize_maps(y.flip(-1) if mirrored else y, size)
            count += 1
    return total / count


def _checked(y: Tensor, x: Tensor) -> Tensor:
    """A result of ``refine``, as maps like x: others would be added up by broadcasting."""
    name = "the result of refine"
    y = check_maps(FN, name, y, x.shape[0], x.device, of="x")
    check_pixels(FN, name, y)
    if y.shape[1] != x.shape[1]:
        raise ValueError(
            f"{FN}: {name} must be maps of the {x.shape[1]} classes of x, (N, C, h, w), got shape {tuple(y.shape)}"
        )
    return y.to(x.dtype)


# pytest collects functions whose name starts with "test" from modules that import them by name.
test_time_augmentation.__test__ = False  # type: ignore[attr-defined]
