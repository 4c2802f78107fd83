"""What each method of ``refine-cams`` does, by its public functions, and what values it is given."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from helpers.pictures import photo
from torch import Tensor

from closedform_wsss.cams.methods import REFINERS
from closedform_wsss.cams.values import unit_range
from closedform_wsss.functional import asam, calibrate_cam, refine_cam, soft_slic, solve_matting
from closedform_wsss.io import from_array

SIZE = (70, 90)  # of 5 x 6 superpixels at half the size: 3 steps
HALF = F.interpolate(from_array(photo(*SIZE))[None] / 255, (35, 45), mode="bilinear", antialias=True)


def propagated(cam: Tensor) -> Tensor:
    return asam(cam, soft_slic(HALF, cell_size=8), num_iters=3)


def enlarged(maps: Tensor) -> Tensor:
    return F.interpolate(maps, SIZE, mode="bilinear")


def by_marks(cam: Tensor) -> Tensor:
    """Confident are pixels of a class above 0.6 that leads by 0.25, and those where all classes are below 0.1."""
    small = F.interpolate(cam, HALF.shape[-2:], mode="bilinear")[0]
    (best, second), marks = small.sort(0, descending=True)
    wins = (best > 0.6) & (best - second > 0.25)
    marks = torch.where(wins, marks[0] + 1, torch.where(best < 0.1, 0, 255))
    return enlarged(solve_matting(marks[None], HALF, num_classes=3, tol=1e-2).alpha[:, 1:]).clamp(0, 1)


EXPECTED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "full": lambda cam, image: refine_cam(cam, image),
    "matting": lambda cam, image: refine_cam(cam, image, num_iters=0, level=None),
    "matting+level": lambda cam, image: refine_cam(cam, image, num_iters=0),
    "asam": lambda cam, image: enlarged(propagated(cam)),
    "asam+level": lambda cam, image: enlarged(calibrate_cam(propagated(cam), HALF, level=0.4)),
    "asam+matting": lambda cam, image: refine_cam(cam, image, level=None),
    "closed-form": lambda cam, image: by_marks(cam),
    "none": lambda cam, image: enlarged(cam),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_method_is_its_functions(name: str) -> None:
    image = from_array(photo(*SIZE))[None]
    # One class at a time, weak at its border, and nothing at the end of the rows.
    x = torch.linspace(0, 1, 12)
    cam = (
        torch.stack([1 - 3 * (x - centre).abs() for centre in (0.2, 0.6)])
        .clamp(0, 1)[None, :, None]
        .expand(1, 2, 9, 12)
    )
    expected = EXPECTED[name](cam, image)
    torch.testing.assert_close(REFINERS[name](image, cam), expected, rtol=0, atol=1e-5)
    others = [other(cam, image) for method, other in EXPECTED.items() if method != name]
    assert all((other - expected).abs().max() > 0.01 for other in others)


def test_maps_beyond_the_range_of_rounding_are_refused() -> None:
    maps = torch.linspace(0, 1, 12).view(1, 3, 4)
    assert torch.equal(unit_range(maps * 1.03 - 0.015, normalize=False), (maps * 1.03 - 0.015).clamp(0, 1))
    for wrong in (maps + 0.03, maps - 0.03):
        with pytest.raises(ValueError, match=r"the CAM must be in \[0, 1\], got values from"):
            unit_range(wrong, normalize=False)
