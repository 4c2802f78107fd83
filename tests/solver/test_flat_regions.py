"""The functions of flat regions, and solves of images of few colours."""

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
from closedform_wsss.solver.regions import RegionCorrection, flat, region_functions
from closedform_wsss.solver.tiles import Tiles

SIZE = (72, 96)


def drawing(levels: int, *, grey: bool = False, seed: int = 0, size: tuple[int, int] = SIZE) -> Tensor:
    """Smooth noise of few values."""
    noise = torch.rand(1, 3, size[0] // 8, size[1] // 8, generator=torch.Generator().manual_seed(seed)).double()
    image = torch.nn.functional.interpolate(noise, size, mode="bicubic").clamp(0, 1)
    if grey:
        image = image[:, :1].expand(-1, 3, -1, -1)
    return (image * (levels - 1)).round() / (levels - 1)


def system(image: Tensor, data_weight: Tensor, **options: float) -> sp.csc_array:
    matrix = MattingLaplacian(image, **options).to_scipy(0) + sp.diags(data_weight.numpy().ravel())
    return sp.csc_array(matrix)


def test_regions_are_what_windows_join() -> None:
    """Against sets that grow pixel by pixel."""
    colours = flat._colours(drawing(3)[0])
    found = flat._regions(colours)
    seen = np.full(SIZE, -1)
    count = 0
    for start in np.ndindex(SIZE):
        if seen[start] >= 0:
            continue
        todo, seen[start] = [start], count
        while todo:
            y, x = todo.pop()
            for other in np.ndindex(5, 5):
                b, a = y + other[0] - 2, x + other[1] - 2
                inside = 0 <= b < SIZE[0] and 0 <= a < SIZE[1]
                if inside and seen[b, a] < 0 and colours[b, a] == colours[y, x]:
                    seen[b, a] = count
                    todo.append((b, a))
        count += 1
    assert found.max() + 1 == count > 10
    assert len(np.unique(found * count + seen)) == count


def test_colours_are_told_apart_by_every_channel() -> None:
    image = torch.tensor([[0.0, 0, 1, 1, 0], [0.5, 0.25, 0.25, 0.5, 0.5]])[:, None]
    assert flat._colours(image).tolist() == [[1, 0, 2, 3, 1]]


def test_the_correction_is_exact(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    """Z E^-1 Z^T with an indicator for each free region, against dense matrices; the other image has none."""
    monkeypatch.setattr(flat, "RIDGE", 0.0)
    size = (24, 32)
    image = torch.cat([photograph(size).double(), drawing(3, size=size)])
    weight = torch.full((2, *size), 1e-4, dtype=torch.float64)
    weight[:, 3:5, 4:20] = 100
    laplacian = MattingLaplacian(image.to(device), eps=1e-4)
    tiles = Tiles(torch.ones(2, 2, 2, dtype=torch.bool, device=device), *size)
    functions = region_functions(laplacian.image, weight.to(device))
    correction = RegionCorrection(functions, laplacian, weight.to(device), tiles)
    r = torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    z = torch.zeros_like(tiles.gather(r.to(device)))
    correction.correct(tiles.gather(r.to(device)), z)
    found = tiles.scatter(z, torch.zeros_like(r, device=device)).cpu()
    regions = flat._regions(flat._colours(image[1]))
    held = np.unique(regions[(weight[1] == 100).numpy()])
    Z = np.stack([(regions == k).ravel() for k in range(regions.max() + 1) if k not in held], 1).astype(float)
    matrix = system(image[1:], weight[1], eps=1e-4).toarray()
    expected = Z @ np.linalg.solve(Z.T @ matrix @ Z, Z.T @ r[1].flatten(1).numpy().T)
    np.testing.assert_allclose(found[1].flatten(1).numpy().T, expected, rtol=1e-6, atol=1e-6 * abs(expected).max())
    assert not found[0].any() and correction.count == Z.shape[1] > 5


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(("levels", "seed"), [(3, 0), (5, 1), (9, 2), (17, 3)])
def test_few_colours(levels: int, grey: bool, seed: int) -> None:
    """Without the correction half of these are 0.02 to 1 away from the solution, and say that they converged."""
    image, target = drawing(levels, grey=grey, seed=seed), strokes(SIZE, 3)
    weight = (target != 255).double() * 100
    right = weight * torch.stack([target[0] == c for c in range(3)])
    solution = solve_matting(target, image.float(), tol=1e-2)
    expected = scipy.sparse.linalg.splu(system(image, weight)).solve(right.flatten(1).numpy().T).T
    error = np.abs(solution.alpha[0].flatten(1).double().numpy() - expected).max()
    assert solution.converged and error < 1e-2 and solution.iterations <= 48


@pytest.mark.parametrize("levels", [5, 9])
def test_few_colours_of_the_learning_based_laplacian(levels: int) -> None:
    """Its energies are squares, so those of the regions are tiny: 0.6 and 0.07 away if they count as rounding."""
    image, target = drawing(levels, seed=levels), strokes(SIZE, 3)
    weight = (target != 255).double() * 100
    right = weight * torch.stack([target[0] == c for c in range(3)])
    solution = solve_matting(target, image.float(), tol=1e-2, kind="learning_based")
    matrix = MattingLaplacian(image, kind="learning_based").to_scipy(0) + sp.diags(weight.numpy().ravel())
    expected = scipy.sparse.linalg.splu(matrix.tocsc()).solve(right.flatten(1).numpy().T).T
    error = np.abs(solution.alpha[0].flatten(1).double().numpy() - expected).max()
    assert solution.converged and error < 2e-2 and solution.iterations <= 80


def test_the_filter_of_a_drawing() -> None:
    image = drawing(5)
    x = torch.rand(1, 2, *SIZE, generator=torch.Generator().manual_seed(4)).double()
    found = matting_filter(x, image, fidelity=1e-5, eps=1e-7, tol=1e-3)
    weight = torch.full((1, *SIZE), 1e-5, dtype=torch.float64)
    expected = scipy.sparse.linalg.splu(system(image, weight, eps=1e-7)).solve(1e-5 * x[0].flatten(1).numpy().T).T
    assert np.abs(found[0].flatten(1).numpy() - expected).max() < 5e-3


def test_photographs_and_noise_have_none() -> None:
    """Nor has a photograph on a white background, whose own pixels are regions of one."""
    held = torch.zeros(160, 200, dtype=torch.bool)
    picture = photograph((160, 200)).double()
    framed = torch.ones_like(picture)
    framed[..., 30:130, 40:160] = (picture[..., 30:130, 40:160] * 255).round() / 255
    noise = (torch.rand(1, 3, 160, 200, generator=torch.Generator().manual_seed(0)) * 2).round() / 2
    for image in (picture, framed, noise):
        assert flat.flat_functions(image[0], held) == []
    (part,) = flat.flat_functions(drawing(5, size=(160, 200))[0], held)
    assert part.pixels.size == held.numel() and part.regions.max() > 50


def test_marked_regions_are_left_out() -> None:
    image, held = drawing(3)[0], torch.zeros(SIZE, dtype=torch.bool)
    (whole,) = flat.flat_functions(image, held)
    held[20, 30] = True
    (fewer,) = flat.flat_functions(image, held)
    assert fewer.regions.max() == whole.regions.max() - 1
    assert 20 * SIZE[1] + 30 not in fewer.pixels
    held[:] = True
    assert flat.flat_functions(image, held) == []
