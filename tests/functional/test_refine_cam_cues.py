"""Saliency and boundaries of other networks in ``refine_cam``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from helpers.pictures import photo
from torch import Tensor

from closedform_wsss import _reference
from closedform_wsss._resize import resize_image
from closedform_wsss.functional import matting_filter, refine_cam, soft_slic
from closedform_wsss.io import from_array
from closedform_wsss.superpixels.lab import rgb_to_lab

SIZE = 64
SIDE = torch.arange(SIZE) < SIZE // 2  # the left half of the columns


def photograph() -> Tensor:
    return from_array(photo(SIZE, SIZE))[None].double() / 255


def by_steps(
    cam: Tensor, image: Tensor, saliency: Tensor, boundaries: Tensor, num_iters: int, fidelity: float = 3e-3
) -> Tensor:
    """The same from the reference implementations, in float64, with the logistic function in place of odds."""
    half, quarter = (resize_image(image, (SIZE // part, SIZE // part)) for part in (2, 4))
    s, b = (resize_image(map, (SIZE // 2, SIZE // 2)) for map in (saliency, boundaries))
    q = soft_slic(torch.cat([rgb_to_lab(half), 50 * s], 1), cell_size=8, color_space=None).assignment
    shared = _reference.asam_affinity(q * (1 - b) ** 3, 8)
    affinity = shared / shared.sum(1, keepdim=True)
    start = F.interpolate(cam, half.shape[-2:], mode="bilinear")
    cells = _reference.superpixel_pool(start, q, 8) / _reference.superpixel_pool(torch.ones_like(start), q, 8)
    for _ in range(num_iters):
        padded = F.pad(cells, (2, 2, 2, 2))
        around = F.unfold(padded, 5).unflatten(1, (cells.shape[1], 25)).unflatten(3, cells.shape[-2:])
        cells = (around * affinity[:, None]).sum(2)
    x = F.interpolate(_reference.superpixel_unpool(cells, q, 8), quarter.shape[-2:], mode="bilinear")
    s = resize_image(saliency, (SIZE // 4, SIZE // 4))
    x = (x.logit() + 2 * (2 * s - 1)).sigmoid()
    x = matting_filter(x, torch.cat([quarter, s], 1), fidelity=fidelity, eps=1e-6, tol=1e-8, max_iter=2000).clamp(0, 1)
    return F.interpolate(x, image.shape[-2:], mode="bilinear")


@pytest.mark.parametrize("with_saliency, with_boundaries", [(True, False), (False, True), (True, True)])
def test_against_the_steps(with_saliency: bool, with_boundaries: bool) -> None:
    image, cam = photograph(), 0.1 + 0.8 * torch.rand(1, 2, 8, 8, dtype=torch.float64)
    smooth = F.interpolate(torch.rand(2, 1, 9, 9, dtype=torch.float64), (SIZE, SIZE), mode="bilinear")
    saliency, boundaries = smooth[:1], smooth[1:]
    own = {"saliency": saliency if with_saliency else None, "boundaries": boundaries if with_boundaries else None}
    found = refine_cam(cam, image, **own, num_iters=12, level=None)
    without = refine_cam(cam, image, num_iters=12, level=None)
    # A saliency of 0.5 everywhere changes no odds, and one channel more without contrast no edges.
    steps = [saliency if with_saliency else torch.full_like(saliency, 0.5)]
    expected = by_steps(cam, image, *steps, boundaries if with_boundaries else torch.zeros_like(boundaries), 12)
    error = (found - expected).abs()
    assert error.max() < 0.05 and error.mean() < 0.01, (error.max(), error.mean())  # the filter's fixed steps
    assert (found - without).abs().mean() > 2 * error.mean()


def test_the_affinity_with_boundaries() -> None:
    """Without the error of the filter, which holds the maps to what the superpixels made of them."""
    image, cam = photograph(), torch.rand(1, 2, 8, 8, dtype=torch.float64)
    nothing = torch.full((1, 1, SIZE, SIZE), 0.5, dtype=torch.float64)
    boundaries = F.interpolate(torch.rand(1, 1, 9, 9, dtype=torch.float64), (SIZE, SIZE), mode="bilinear")
    options = {"num_iters": 12, "fidelity": 1e4}
    found = refine_cam(cam, image, boundaries=boundaries, level=None, **options)
    expected = by_steps(cam, image, nothing, boundaries, **options)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_no_saliency_is_one_half_everywhere() -> None:
    image, cam = photograph().float(), torch.rand(1, 2, 8, 8)
    found = refine_cam(cam, image, saliency=torch.full((1, 1, 8, 8), 0.5), boundaries=torch.zeros(1, 1, 8, 8))
    torch.testing.assert_close(found, refine_cam(cam, image), rtol=0, atol=2e-3)


def test_saliency_shows_an_object_that_colours_hide() -> None:
    flat = torch.full((1, 3, SIZE, SIZE), 0.5)
    cam = torch.linspace(0.6, 0.3, 8).expand(1, 1, 8, 8)
    saliency = SIDE.float().expand(1, 1, SIZE, SIZE)
    assert (refine_cam(cam, flat, level=None)[..., SIZE // 2 + 4] > 0.4).all()
    found = refine_cam(cam, flat, saliency=saliency)
    assert ((found > 0.4) == (saliency > 0.5)).float().mean() > 0.97


def test_boundaries_keep_values_apart() -> None:
    flat = torch.full((1, 3, SIZE, SIZE), 0.5)
    cam = torch.zeros(1, 1, 8, 8)
    cam[..., :4] = 0.8
    boundaries = torch.zeros(1, 1, SIZE, SIZE)
    boundaries[..., SIZE // 2 - 4 : SIZE // 2 + 4] = 1
    # The matting filter would mix them: it is as good as left out.
    options = {"fidelity": 1e3, "level": None, "num_iters": 80}

    def contrast(maps: Tensor) -> float:
        return float(maps[..., SIDE].mean() - maps[..., ~SIDE].mean())

    # The superpixels of a flat image are soft beyond the band too.
    assert contrast(refine_cam(cam, flat, boundaries=boundaries, **options)) > 0.25
    assert contrast(refine_cam(cam, flat, **options)) < 0.1
    everywhere = refine_cam(cam, flat, boundaries=torch.ones(1, 1, 4, 4), **options)
    assert torch.isfinite(everywhere).all() and contrast(everywhere) > 0.6


def test_zero_and_one_stay() -> None:
    image, saliency = torch.rand(1, 3, 40, 40), torch.rand(1, 1, 40, 40)
    for value in (0.0, 1.0):
        found = refine_cam(torch.full((1, 2, 5, 5), value), image, saliency=saliency, level=None)
        torch.testing.assert_close(found, torch.full((1, 2, 40, 40), value), rtol=0, atol=1e-5)


def test_batches_dtypes_layouts_and_gradients() -> None:
    image, cam = torch.rand(2, 3, 41, 30), torch.rand(2, 2, 5, 5)
    saliency, boundaries = (torch.rand(2, 1, 30, 20) * 255).byte(), torch.rand(2, 20, 15, 1).permute(0, 3, 1, 2)
    both = refine_cam(cam, image, saliency=saliency, boundaries=boundaries)
    alone = [
        refine_cam(cam[n:][:1], image[n:][:1], saliency=saliency[n:][:1], boundaries=boundaries[n:][:1]) for n in (0, 1)
    ]
    torch.testing.assert_close(both, torch.cat(alone), rtol=0, atol=1e-5)
    same = refine_cam(cam, image, saliency=saliency.float() / 255, boundaries=boundaries.contiguous())
    torch.testing.assert_close(both, same, rtol=0, atol=1e-5)
    half = refine_cam(cam, image, saliency=saliency.half() / 255, boundaries=boundaries.bfloat16())
    assert half.dtype == torch.float32 and (half - both).abs().mean() < 0.01
    double = refine_cam(cam.double(), image, saliency=saliency, boundaries=boundaries)
    assert double.dtype == torch.float64
    cam.requires_grad_()
    saliency = (saliency.float() / 255).requires_grad_()
    refine_cam(cam, image, saliency=saliency, level=None).sum().backward()
    assert cam.grad is not None and torch.isfinite(cam.grad).all() and saliency.grad is None


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 47)])
def test_any_size(size: tuple[int, int]) -> None:
    image, cam, map = torch.rand(2, 1, *size), torch.rand(2, 3, 3, 5), torch.rand(2, 1, *size)
    found = refine_cam(cam, image, saliency=map, boundaries=map)
    assert found.shape == (2, 3, *size) and found.min() >= 0 and found.max() <= 1


IMAGE, CAM, MAP = torch.rand(1, 3, 16, 20), torch.rand(1, 2, 4, 5), torch.rand(1, 1, 16, 20)


@pytest.mark.parametrize("name", ["saliency", "boundaries"])
@pytest.mark.parametrize(
    "map, message",
    [
        (MAP[0, 0].numpy(), r"must be a tensor"),
        (MAP[0], r"must be \(N, C, H, W\), got shape \(1, 16, 20\)"),
        (MAP.expand(1, 2, 16, 20), r"must be \(N, 1, h, w\), one map for all classes, got shape \(1, 2, 16, 20\)"),
        (MAP.expand(2, 1, 16, 20), "must have the same batch size, got 2 and 1"),
        (MAP * 255, r"must be in \[0, 1\], got values in"),
        (MAP * torch.nan, r"must be in \[0, 1\], got NaN"),
        (MAP > 0.5, r"must be floating point in \[0, 1\] or uint8, got torch.bool"),
        ((MAP > 0.5).byte(), r"in uint8 must be from 0 .* to 255 .*, got values of 0 and 1, which are both black"),
        (MAP[:, :, :0], "with H and W >= 1"),
        (MAP.transpose(-1, -2), "looks transposed"),
    ],
)
def test_errors(name: str, map: object, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"refine_cam: {name}.*{message}"):
        refine_cam(CAM, IMAGE, **{name: map})


def test_boundaries_without_superpixels() -> None:
    call: Callable[..., Tensor] = refine_cam
    with pytest.raises(ValueError, match="refine_cam: boundaries must be None with num_iters=0"):
        call(CAM, IMAGE, boundaries=MAP, num_iters=0)
