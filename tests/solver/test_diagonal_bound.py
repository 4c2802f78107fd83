"""The diagonal that bounds L: a bound on every image, and small where a pixel is loose."""

import numpy as np
import pytest
import scipy.linalg
import torch
from helpers.strokes import photograph, strokes

from closedform_wsss import MattingLaplacian
from closedform_wsss.functional import solve_matting
from closedform_wsss.laplacian import KINDS
from closedform_wsss.solver import diagonal_bound as module
from closedform_wsss.solver.diagonal_bound import diagonal_bound

SIZE = (17, 22)


def speckled(size, share=0.15, generator=0):
    """One colour, but for single pixels whose values are one step of 8 bits away."""
    random = torch.Generator().manual_seed(generator)
    steps = (torch.rand(1, 3, *size, generator=random) < share).double()
    return (torch.tensor([30, 60, 1]).view(1, 3, 1, 1) + steps).double() / 255


def images():
    random = torch.Generator().manual_seed(0)
    yield "photograph", photograph(SIZE)
    yield "speckled", speckled(SIZE)
    yield "many speckles", speckled(SIZE, 0.5)
    yield "one speckle", speckled(SIZE, 0.003)
    yield "noise", torch.rand(1, 3, *SIZE, generator=random, dtype=torch.float64)
    yield "black and white", (torch.rand(1, 1, *SIZE, generator=random) < 0.2).double().expand(-1, 3, -1, -1)
    yield "flat", torch.full((1, 3, *SIZE), 0.25, dtype=torch.float64)
    yield "smallest", speckled((3, 3), 0.3)


@pytest.mark.parametrize("image", [pytest.param(image, id=name) for name, image in images()])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eps", [1e-7, 1e-4])
def test_no_eigenvalue_is_above_one(kind, image, eps):
    """Of B^-1 L, from dense matrices."""
    laplacian = MattingLaplacian(image, kind=kind, eps=eps)
    bound = diagonal_bound(laplacian._operator, laplacian.windows_per_pixel())
    dense = laplacian.to_scipy(0).toarray()
    largest = scipy.linalg.eigh(dense, np.diag(bound.flatten().numpy()), eigvals_only=True)[-1]
    assert largest < 1 + 1e-9
    if image.shape[-2:] == SIZE:
        assert largest > 0.3  # not far above L either


@pytest.mark.parametrize("image", [pytest.param(image, id=name) for name, image in images()])
def test_agrees_with_its_formula(image):
    laplacian = MattingLaplacian(image, kind="learning_based")
    windows = laplacian.windows_per_pixel()
    dense = laplacian.to_scipy(0).toarray()
    diagonal, expected = np.diag(dense), windows.flatten().numpy().copy()
    coupling = np.abs(dense) / np.sqrt(np.outer(diagonal, diagonal))
    np.fill_diagonal(coupling, 0)
    loose = diagonal < module.LOOSE * expected
    expected += diagonal * coupling[loose].sum(0)
    expected[loose] = (diagonal * (1 + coupling.sum(0)))[loose]
    bound = diagonal_bound(laplacian._operator, windows)
    np.testing.assert_allclose(bound.flatten().numpy(), expected, rtol=1e-6, atol=2 * module.SMALLEST)


def test_a_loose_pixel():
    """A speckle hardly couples with its neighbours. The other pixels keep the number of their windows, but for what
    couples them with loose ones."""
    image = speckled(SIZE, 0)
    image[0, 2, 8, 9] += 1 / 255
    laplacian = MattingLaplacian(image, kind="learning_based")
    bound = diagonal_bound(laplacian._operator, laplacian.windows_per_pixel())[0, 0]
    windows = laplacian.windows_per_pixel()[0, 0]
    assert bound[8, 9] < 0.01
    windows[8, 9] = bound[8, 9]
    assert (bound >= windows).all() and (bound - windows).max() < 1


def test_a_batch():
    pair = torch.cat([photograph(SIZE), speckled(SIZE)])
    laplacian = MattingLaplacian(pair, kind="learning_based")
    both = diagonal_bound(laplacian._operator, laplacian.windows_per_pixel())
    for n in range(2):
        alone = MattingLaplacian(pair[n : n + 1], kind="learning_based")
        torch.testing.assert_close(both[n : n + 1], diagonal_bound(alone._operator, alone.windows_per_pixel()))


@pytest.mark.parametrize("size", [(96, 128), (128, 192)])
def test_fewer_iterations(monkeypatch, size):
    """On a photograph whose blue is 0 but for single pixels, as in warm shadows of 8 bits."""
    monkeypatch.setattr("closedform_wsss.solver.regions.clipped.CLIPPED", 2.0)  # it would correct them too
    image = photograph(size)
    image[:, 2] = (torch.rand(1, *size, generator=torch.Generator().manual_seed(0)) < 0.03) / 255
    marks = strokes(size, 2)
    solution = solve_matting(marks, image, kind="learning_based", tol=1e-6)
    monkeypatch.setattr(module, "LOOSE", 0.0)
    before = solve_matting(marks, image, kind="learning_based", tol=1e-6)
    assert solution.converged and before.converged
    assert solution.iterations < 0.6 * before.iterations  # 60 and 133, 72 and 177
    torch.testing.assert_close(solution.alpha, before.alpha, rtol=0, atol=1e-5)


def test_lone_pixels_of_the_closed_form(monkeypatch):
    """Single pixels of other colours in a white image. With the number of windows as the bound 0.2 remains."""
    monkeypatch.setattr("closedform_wsss.solver.regions.clipped.CLIPPED", 2.0)  # it would correct them too
    size, generator = (90, 131), torch.Generator().manual_seed(0)
    lone = torch.rand(1, 1, *size, generator=generator) < 0.03
    image = torch.where(lone, torch.rand(1, 3, *size, generator=generator), 1.0)
    marks = strokes(size, 3)
    found = solve_matting(marks, image, tol=1e-3)
    expected = solve_matting(marks, image.double(), tol=1e-9)
    assert found.converged and expected.converged and found.iterations <= 32
    torch.testing.assert_close(found.alpha, expected.alpha.float(), rtol=0, atol=5e-3)
