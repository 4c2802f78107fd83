"""The type that superpixels have, and what takes it."""

from __future__ import annotations

import pytest
import torch
from helpers.superpixels import GRIDS, association
from torch.utils.data import default_collate

from closedform_wsss import Superpixels, functional, nn
from closedform_wsss._common.superpixel_grid import neighbours_inside

Q, LABELS = association(2, 8, 8, 4), torch.arange(64).view(1, 8, 8).expand(2, 8, 8) // 10
X = torch.rand(2, 3, 8, 8, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_labels_need_no_grid(dtype: torch.dtype) -> None:
    labels = LABELS.to(dtype)
    expected = functional.superpixel_pool(X, LABELS)
    for superpixels in (labels, Superpixels(labels, 4), Superpixels(labels, 2.5)):
        assert torch.equal(functional.superpixel_pool(X, superpixels), expected)


def test_what_makes_superpixels_says_its_cell_size() -> None:
    image = torch.rand(1, 3, 32, 32)
    for module in (nn.SoftSLIC(cell_size=8), nn.SpixelNet(cell_size=8), nn.SLIC(cell_size=8)):
        superpixels = module(image)
        assert isinstance(superpixels, Superpixels) and superpixels.cell_size == 8
        assert superpixels.is_soft == (not isinstance(module, nn.SLIC))


TAKE_SUPERPIXELS = {
    "superpixel_pool": lambda s: functional.superpixel_pool(X, s),
    "superpixel_unpool": lambda s: functional.superpixel_unpool(torch.rand(2, 3, 2, 2), s),
    "superpixel_consistency_loss": lambda s: functional.superpixel_consistency_loss(X, LABELS % 3, s),
    "superpixel_reconstruction_loss": lambda s: functional.superpixel_reconstruction_loss(s, X),
    "asam_affinity": functional.asam_affinity,
    "asam": lambda s: functional.asam(X, s),
}


@pytest.mark.parametrize("name", TAKE_SUPERPIXELS)
def test_errors(name: str) -> None:
    take = TAKE_SUPERPIXELS[name]
    take(Superpixels(Q, 4))
    with pytest.raises(TypeError, match=rf"{name}: .* carry their grid, got a tensor of shape .* Superpixels\("):
        take(Q)
    with pytest.raises(TypeError, match=f"{name}: superpixels must be Superpixels.*, got tuple"):
        take((Q, 4))
    with pytest.raises(TypeError, match=f"{name}: cell_size must be an integer >= 1, got float 4.0"):
        take(Superpixels(Q, 4.0))
    collated = default_collate([Superpixels(Q[0], 4), Superpixels(Q[1], 4)])
    with pytest.raises(TypeError, match=f"{name}: superpixels.cell_size must be an integer, got a tensor"):
        take(collated)
    with pytest.raises(ValueError, match=rf"{name}: superpixels.assignment must be soft \(N, 9, H, W\), got shape"):
        take(Superpixels(Q[0], 4))
    with pytest.raises((TypeError, ValueError), match=f"{name}: superpixels"):
        take(Superpixels(LABELS.bool(), 4))


@pytest.mark.parametrize("name", [name for name in TAKE_SUPERPIXELS if name != "superpixel_pool"])
@pytest.mark.parametrize("rows", [slice(0, 8), slice(2, 4), slice(7, 8)])  # all, half a cell, the last
def test_weights_add_up_to_one(name: str, rows: slice) -> None:
    take = TAKE_SUPERPIXELS[name]
    for factor in (0.95, 0.99, 1.01, 1.05):  # half precision leaves a few thousandths
        q = Q.clone()
        q[..., rows, :] *= factor
        if abs(factor - 1) < 0.02:
            take(Superpixels(q, 4))
        else:
            with pytest.raises(ValueError, match=f"{name}: superpixels.assignment must add up to 1"):
                take(Superpixels(q, 4))


@pytest.mark.parametrize("name", ["superpixel_reconstruction_loss", "asam_affinity", "asam"])
def test_what_needs_soft_ones_refuses_labels(name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name}: superpixels must be soft, got labels \(2, 8, 8\): use soft_slic"):
        TAKE_SUPERPIXELS[name](LABELS)


@pytest.mark.parametrize(("height", "width", "cell_size"), GRIDS)
def test_to_hard_against_a_loop(height: int, width: int, cell_size: int) -> None:
    soft = Superpixels(association(2, height, width, cell_size), cell_size)
    hard = soft.to_hard()
    columns = -(-width // cell_size)
    for n in range(2):
        for y in range(height):
            for x in range(width):
                k = int(soft.assignment[n, :, y, x].argmax())
                expected = (y // cell_size + k // 3 - 1) * columns + x // cell_size + k % 3 - 1
                assert hard.assignment[n, y, x] == expected
    assert hard.cell_size == cell_size and hard.to_hard() is hard
    outside = ~neighbours_inside(height, width, cell_size, torch.device("cpu"))
    large = soft.assignment.masked_fill(outside, 9.0)  # weights outside the grid do not count
    assert torch.equal(Superpixels(large, cell_size).to_hard().assignment, hard.assignment)


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (nn.SoftSLIC, {"cell_size": 0}, "cell_size must be an integer >= 1"),
        (nn.SoftSLIC, {"temperature": 0}, "temperature must be a finite number > 0"),
        (nn.SoftSLIC, {"color_space": "hsv"}, "color_space must be one of"),
        (nn.SLIC, {"cell_size": 0.5}, "cell_size must be >= 1"),
        (nn.SLIC, {"num_iters": 0}, "num_iters must be an integer >= 1"),
        (nn.ASAM, {"restart": 2}, r"restart must be a number in \[0, 1\]"),
        (nn.ASAM, {"num_iters": -1}, "num_iters must be an integer >= 0"),
        (nn.SuperpixelConsistencyLoss, {"weighting": "entropy"}, "weighting must be one of"),
        (nn.SuperpixelConsistencyLoss, {"gamma": 0}, "gamma must be a finite number > 0"),
        (nn.SuperpixelReconstructionLoss, {"position_weight": 0}, "position_weight must be a finite number > 0"),
        (nn.SuperpixelReconstructionLoss, {"reduction": "max"}, "reduction must be one of"),
        (nn.RefineCAM, {"level": 1.0}, r"level must be a number in \(0, 1\)"),
        (nn.RefineCAM, {"fidelity": -1}, "fidelity must be a finite number > 0"),
    ],
)
def test_modules_check_their_options_when_they_are_made(module, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"{module.__name__}: {message}"):
        module(**options)


@pytest.mark.parametrize("module", [nn.ClosedFormLoss, nn.SuperpixelConsistencyLoss])
@pytest.mark.parametrize(
    ("weight", "kind", "message"),
    [
        ([-1, 2], ValueError, r"class_weight must be >= 0 and finite, got \[-1, 2\]"),
        (torch.tensor([1.0, torch.nan]), ValueError, "class_weight must be >= 0 and finite"),
        (torch.ones(2, 2), ValueError, r"class_weight must be \(C,\), got shape \(2, 2\)"),
        ("ab", TypeError, r"class_weight must be numbers \(C,\), got str 'ab'"),
    ],
)
def test_losses_check_their_weights_when_they_are_made(module, weight, kind, message: str) -> None:
    with pytest.raises(kind, match=f"^{module.__name__}: {message}"):
        module(class_weight=weight)
    assert module(class_weight=[1.0, 2.0]).class_weight.tolist() == [1, 2]


def test_modules_pass_their_options_on() -> None:
    image, cam = torch.rand(1, 3, 32, 40), torch.rand(1, 2, 8, 10)
    superpixels, maps = functional.soft_slic(image, cell_size=4), torch.rand(1, 2, 32, 40)
    pairs = [
        (nn.RefineCAM(num_iters=3, fidelity=0.1, level=0.3)(cam, image),
         functional.refine_cam(cam, image, num_iters=3, fidelity=0.1, level=0.3)),
        (nn.SLIC(cell_size=8, compactness=3.0, num_iters=2)(image).assignment,
         functional.slic(image, cell_size=8, compactness=3.0, num_iters=2).assignment),
        (nn.ASAM(num_iters=3, restart=0.2, tol=1e-9)(cam, superpixels),
         functional.asam(cam, superpixels, num_iters=3, restart=0.2, tol=1e-9)),
        (nn.SuperpixelReconstructionLoss(position_weight=0.5, reduction="none")(superpixels, maps),
         functional.superpixel_reconstruction_loss(superpixels, maps, position_weight=0.5, reduction="none")),
    ]  # fmt: skip
    for found, expected in pairs:
        assert torch.equal(found, expected)
