"""The functions of regions that clipped pixels enclose, and solves of over- and under-exposed images."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg
import torch
from helpers.strokes import photograph, strokes
from torch import Tensor

from closedform_wsss import MattingLaplacian
from closedform_wsss.functional import matting_filter, solve_matting
from closedform_wsss.solver.regions import RegionCorrection, region_functions
from closedform_wsss.solver.regions import clipped as module
from closedform_wsss.solver.regions.functions import MAX_DATA_WEIGHT
from closedform_wsss.solver.tile_solver import TileSolver
from closedform_wsss.solver.tiles import Tiles


def clipped(size: tuple[int, int], low: float = 0.0, high: float = 1.0, seed: int = 0) -> Tensor:
    """Small blobs, most of them clipped, in 8 bits."""
    noise = torch.rand(1, 3, size[0] // 4, size[1] // 4, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise, size, mode="bicubic").double().clamp(0, 1)
    noise = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed + 1)).double()
    image = ((smooth + 0.1 * noise - low) / (high - low)).clamp(0, 1)
    return (image * 255).round() / 255


def all_tiles(n: int, h: int, w: int) -> Tiles:
    return Tiles(torch.ones(n, -(-h // 16), -(-w // 16), dtype=torch.bool), h, w)


def exact(image: Tensor, data_weight: Tensor, right: Tensor) -> Tensor:
    """(L + D)^-1 of maps ``(C, H, W)``."""
    system = MattingLaplacian(image).to_scipy(0) + sp.diags(data_weight.numpy().ravel())
    solution = scipy.sparse.linalg.splu(system.tocsc()).solve(right.flatten(1).numpy().T)
    return torch.from_numpy(solution.T).view_as(right)


def test_no_window_holds_pixels_of_two_regions() -> None:
    inside = (clipped((60, 75)) < 0.6).all(1)[0].numpy()
    held = np.zeros_like(inside)
    regions = module._regions(inside, held)
    assert regions.max() > 5 and ((regions >= 0) == inside).all()
    for y in range(58):
        for x in range(73):
            window = np.unique(regions[y : y + 3, x : x + 3])
            assert len(window[window >= 0]) <= 1
    held[np.argwhere(regions == 3)[0][0], np.argwhere(regions == 3)[0][1]] = True
    fewer = module._regions(inside, held)
    assert fewer.max() == regions.max() - 1 and (fewer[regions == 3] == -1).all()
    assert set(np.unique(fewer)) == set(range(-1, regions.max()))


@pytest.mark.parametrize("kind", ["closed_form", "learning_based"])
def test_the_correction_is_exact(kind: str, device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Z E^-1 Z^T of two images, whose functions are found by hand, against dense matrices."""
    monkeypatch.setattr(module, "RIDGE", 0.0)
    image = torch.cat([clipped((33, 44), 0.4), clipped((33, 44), 0.0, 0.6, seed=5)])
    weight = 1e-3 * torch.rand(2, 33, 44, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    weight[:, 10:12, 5:40] = 100
    laplacian, tiles = MattingLaplacian(image.to(device), kind=kind), all_tiles(2, 33, 44)
    tiles = Tiles(tiles.chosen.to(device), 33, 44)
    functions = region_functions(laplacian.image, weight.to(device))
    regions = RegionCorrection(functions, laplacian, weight.to(device), tiles)
    r = torch.randn(2, 3, 33, 44, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    z = torch.zeros_like(tiles.gather(r.to(device)))
    regions.correct(tiles.gather(r.to(device)), z)
    found = tiles.scatter(z, torch.zeros_like(r, device=device)).cpu()
    count = 0
    for n in range(2):
        columns = []
        for c in range(3):
            for end in (image[n, c].min(), image[n, c].max()):
                if (image[n, c] == end).double().mean() < module.CLIPPED:
                    continue
                labels = module._regions((image[n, c] != end).numpy(), (weight[n] >= MAX_DATA_WEIGHT).numpy())
                columns += [((image[n, c] - end).numpy() * (labels == k)).ravel() for k in range(labels.max() + 1)]
        Z = np.stack(columns, 1)
        count += Z.shape[1]
        system = laplacian.to_scipy(n).toarray() + np.diag(weight[n].numpy().ravel())
        expected = Z @ np.linalg.solve(Z.T @ system @ Z, Z.T @ r[n].flatten(1).numpy().T)
        np.testing.assert_allclose(found[n].flatten(1).numpy().T, expected, rtol=1e-6, atol=1e-6 * abs(expected).max())
    assert regions.count == count > 5


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(("low", "high"), [(0.0, 0.5), (0.5, 1.0), (0.35, 0.65)])
def test_over_and_under_exposed(low: float, high: float, grey: bool, seed: int) -> None:
    """Without the correction some of these stop 0.1 to 1 away from the solution, and in float32 0.01."""
    size = (90, 131)
    image, target = clipped(size, low, high, seed), strokes(size, 3)
    if grey:
        image = image[:, :1].expand(-1, 3, -1, -1)
    weight = (target != 255).double() * 100
    right = weight * torch.stack([target[0] == c for c in range(3)])
    solution = solve_matting(target, image.float(), tol=1e-4)
    error = (solution.alpha[0].double() - exact(image, weight, right)).abs().max()
    assert solution.converged and error < 1e-3 and solution.alpha.dtype == torch.float32


@pytest.mark.parametrize(("low", "high", "iterations"), [(0.0, 0.5, 70), (0.35, 0.65, 70)])
def test_the_correction_saves_iterations(low: float, high: float, iterations: int) -> None:
    """56 each; 188 without it."""
    size = (90, 131)
    solution = solve_matting(strokes(size, 3), clipped(size, low, high, 7), tol=1e-3)
    assert solution.converged and solution.iterations <= iterations


def test_the_preconditioner_is_symmetric_and_positive() -> None:
    """As conjugate gradients ask for."""
    size = (48, 64)
    image, weight = clipped(size, 0.0, 0.5), (strokes(size, 3) != 255).double() * 100
    tiles = all_tiles(1, *size)
    functions = region_functions(image, weight)
    solver = TileSolver(MattingLaplacian(image), weight, tiles, functions)
    generator = torch.Generator().manual_seed(1)
    u, v = (tiles.gather(torch.randn(1, 2, *size, generator=generator).double()) for _ in range(2))
    mu, mv = (solver.precondition(x, torch.empty_like(x), torch.empty_like(x))[0] for x in (u, v))
    assert functions and float((u * mu).sum()) > 0 and float((v * mv).sum()) > 0
    torch.testing.assert_close((u * mv).sum(), (v * mu).sum(), rtol=1e-6, atol=0)


def test_the_filter_of_an_overexposed_image() -> None:
    size = (72, 96)
    image = clipped(size, 0.0, 0.5)
    x = torch.rand(1, 2, 6, 8, generator=torch.Generator().manual_seed(4)).double()
    x = torch.nn.functional.interpolate(x, size, mode="bilinear")
    found = matting_filter(x, image, fidelity=1e-4, tol=1e-3)
    weight = torch.full((1, *size), 1e-4, dtype=torch.float64)
    system = MattingLaplacian(image, eps=1e-6).to_scipy(0) + sp.diags(weight.numpy().ravel())
    expected = scipy.sparse.linalg.splu(system.tocsc()).solve(1e-4 * x[0].flatten(1).numpy().T).T
    assert np.abs(found[0].flatten(1).numpy() - expected).max() < 5e-3


def test_specks_cost_nothing() -> None:
    """Four enclosed pixels of 2000, 0.2 %, and eight, 0.4 %, around the limit of 0.3 %."""
    size = (40, 50)
    weight = torch.zeros(1, *size)
    for side, expected in ((1, 0), (2, 3)):
        image = torch.ones(1, 3, *size)
        image[..., :10] = photograph(size)[..., :10]
        weight[..., :10] = 100
        for x in (20, 30) if side == 2 else (20, 25, 30, 35):
            image[..., 20 : 20 + side, x : x + side] = 0.5
        assert len(module.clipped_functions(image[0], weight[0] > 0)) == expected


def test_channels_with_few_clipped_pixels_have_no_regions() -> None:
    """A ring of 64 or 108 clipped pixels of 10,000 around a region of 36."""
    for ring, expected in ((2, 0), (3, 3)):
        image = 0.2 + 0.5 * torch.rand(1, 3, 100, 100, generator=torch.Generator().manual_seed(0))
        inner = image[..., 40:46, 40:46].clone()
        image[..., 40 - ring : 46 + ring, 40 - ring : 46 + ring] = 1
        image[..., 40:46, 40:46] = inner
        weight = torch.zeros(1, 100, 100)
        weight[..., :10] = 100
        assert len(module.clipped_functions(image[0], weight[0] > 0)) == expected


def test_images_without_clipped_pixels_have_none() -> None:
    size = (40, 50)
    weight = (strokes(size, 3) != 255).double() * 100
    for image in (photograph(size), torch.full((1, 3, *size), 0.5), torch.full((1, 3, *size), 1.0)):
        assert region_functions(image, weight) == []
