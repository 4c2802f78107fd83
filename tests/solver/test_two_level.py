"""The two-level preconditioner: its coarse matrix against P^T A P, and what it is for."""

import numpy as np
import pytest
import torch

from closedform_wsss import MattingLaplacian
from closedform_wsss.solver import two_level
from closedform_wsss.solver.map_solver import MapSolver
from closedform_wsss.solver.two_level import AffineCoarseSpace, TwoLevel, cell_side


def problem(size, channels=3, radius=1, n=2, dense=None):
    image = torch.rand(n, channels, *size, dtype=torch.float64)
    image[:, :, : size[0] // 2] = 0.25  # a flat part, where colours say nothing
    data_weight = torch.where(torch.rand(n, *size) < 0.2, 100.0, 0.0).double()
    laplacian = MattingLaplacian(image, radius=radius, eps=1e-4)
    none_excluded = torch.zeros(n, 1, *size, dtype=torch.bool)

    def product(v):
        return laplacian.product(v, data_weight)

    return (
        image,
        laplacian,
        data_weight,
        product,
        AffineCoarseSpace(image, product, 2 * radius, none_excluded, dense=dense),
    )


def prolongation(coarse, image):
    """P (pixels, unknowns), column by column."""
    h, w = coarse.size
    columns = []
    for row in range(coarse.cells[0]):
        for column in range(coarse.cells[1]):
            for b in range(coarse.basis.shape[1]):
                only = torch.zeros(h, w, dtype=torch.float64)
                part = tuple(slice(i * coarse.side, (i + 1) * coarse.side) for i in (row, column))
                only[part] = coarse.basis[image, b][part]
                columns.append(only.flatten().numpy())
    return np.stack(columns, 1)


@pytest.mark.parametrize(("size", "radius"), [((20, 31), 1), ((7, 40), 1), ((3, 3), 1), ((1, 9), 1), ((26, 19), 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_coarse_matrix_is_galerkin(size, radius, channels):
    _, laplacian, data_weight, product, coarse = problem(size, channels, radius)
    for n, matrix in enumerate(coarse._matrices(coarse.basis, product)):
        P = prolongation(coarse, n)
        A = laplacian.to_scipy(n).toarray() + np.diag(data_weight[n].flatten().numpy())
        np.testing.assert_allclose(matrix.toarray(), P.T @ A @ P, rtol=0, atol=1e-7)


@pytest.mark.parametrize("dense", [False, True])
def test_correction_is_the_coarse_solution(dense):
    _, laplacian, data_weight, _, coarse = problem((20, 31), n=1, dense=dense)
    r = torch.randn(1, 2, 20, 31, dtype=torch.float64)
    P = prolongation(coarse, 0)
    A = laplacian.to_scipy(0).toarray() + np.diag(data_weight[0].flatten().numpy())
    expected = (P @ np.linalg.pinv(P.T @ A @ P) @ P.T @ r[0].reshape(2, -1).T.numpy()).T
    np.testing.assert_allclose(coarse.correct(r)[0].reshape(2, -1).numpy(), expected, rtol=0, atol=1e-5)


def test_colours_that_are_affine_in_a_cell_are_reproduced():
    """The correction of A x is x for x in the coarse space: one step solves what Jacobi needs thousands for."""
    _, _, _, product, coarse = problem((24, 36), n=1)
    x = coarse._repeat(torch.randn(1, 1, *coarse.cells, dtype=torch.float64)) * coarse.basis[:, 1:2]
    torch.testing.assert_close(coarse.correct(product(x)), x, rtol=0, atol=1e-5)


def test_excluded_cells_are_left_out():
    image, laplacian, _, _, _ = problem((24, 36), n=1)
    excluded = torch.zeros(1, 1, 24, 36, dtype=torch.bool)
    excluded[..., :20] = True
    data_weight = excluded[:, 0].double() * 100
    coarse = AffineCoarseSpace(image, lambda v: laplacian.product(v, data_weight), 2, excluded)
    r = torch.randn(1, 1, 24, 36, dtype=torch.float64)
    correction = coarse.correct(r)
    boundary = 20 // coarse.side * coarse.side
    assert (correction[..., :boundary] == 0).all() and (correction[..., boundary:] != 0).any()
    everything = AffineCoarseSpace(image, lambda v: laplacian.product(v, data_weight), 2, torch.ones_like(excluded))
    assert (everything.correct(r) == 0).all()


def test_preconditioner_is_symmetric_and_positive():
    _, laplacian, data_weight, _, coarse = problem((20, 31), n=1)
    operator = MapSolver(laplacian, data_weight)
    preconditioner = TwoLevel(coarse, operator, laplacian.windows_per_pixel() + data_weight[:, None])
    u, v = torch.randn(2, 1, 1, 20, 31, dtype=torch.float64)

    def precondition(r):
        return preconditioner(r, torch.empty_like(r), torch.empty_like(r))[0]

    torch.testing.assert_close((u * precondition(v)).sum(), (v * precondition(u)).sum(), rtol=1e-6, atol=1e-9)
    assert (u * precondition(u)).sum() > 0


def test_large_images_get_larger_cells():
    for pixels in (10**3, 10**5, 10**7):
        side = cell_side(pixels, 3, 2)
        assert side % 2 == 0 and side >= two_level.MIN_CELL
        assert 4 * pixels / side**2 <= two_level.MAX_UNKNOWNS
    assert cell_side(100, 3, 8) == 16
