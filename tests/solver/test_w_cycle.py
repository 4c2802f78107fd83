"""The coarse levels: their energies against those of crops, and the cycle as an inverse."""

import numpy as np
import pytest
import torch
from helpers.coarse_basis import galerkin, problem, prolongation

from closedform_wsss import MattingLaplacian
from closedform_wsss.solver.multigrid import coarsening, w_cycle
from closedform_wsss.solver.multigrid.block_energies import matrix_blocks
from closedform_wsss.solver.multigrid.block_matrix import BlockMatrix
from closedform_wsss.solver.multigrid.coarsening import coarsen, to_scipy
from closedform_wsss.solver.multigrid.w_cycle import WCycle


@pytest.mark.parametrize("size", [(128, 128), (100, 75)])
def test_energies_of_blocks_are_those_of_crops(size, monkeypatch):
    """The local Neumann matrix of a block of 2, 4 or 8 tiles' side is L of the image cropped to it."""
    monkeypatch.setattr(coarsening, "LEVEL_THRESHOLD", 0.5)
    image, _, _, tiles, basis = problem(size)
    P, energies = prolongation(tiles, basis), basis.energies
    soft = np.zeros(size)  # the inside energies include weak marks
    soft[20:, 40:] = 0.01
    bounds = [[*range(0, length, 16), length] for length in size]  # of the blocks
    for _ in range(3):
        bounds = [[b[0], *b[2 - (len(b) - 1) % 2 :: 2]] for b in bounds]
        own, links = matrix_blocks(energies)
        matrix = to_scipy(energies, own, links)
        energies, down = coarsen(energies, own.diagonal(dim1=1, dim2=2))
        P = P @ down.toarray()
        coarser = to_scipy(energies, *matrix_blocks(energies)).toarray()
        np.testing.assert_allclose(coarser, (down.T @ matrix @ down).toarray(), rtol=0, atol=1e-10)
        starts = np.append(0, np.cumsum(energies.sizes.numpy()))
        for t, (row, column) in enumerate(zip(energies.grid.row.tolist(), energies.grid.column.tolist(), strict=True)):
            own, count = slice(starts[t], starts[t + 1]), int(energies.sizes[t])
            part = np.s_[bounds[0][row] : bounds[0][row + 1], bounds[1][column] : bounds[1][column + 1]]
            crop = image[(slice(None), slice(None), *part)].contiguous()
            L = MattingLaplacian(crop, eps=1e-5).to_scipy(0)
            V = P.reshape(*size, -1)[part].reshape(L.shape[0], -1)[:, own]
            expected = V.T @ (L @ V + soft[part].ravel()[:, None] * V)
            np.testing.assert_allclose(energies.inside[t, :count, :count], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("largest", [8000, 12])
@pytest.mark.parametrize("kind", ["closed_form", "learning_based"])
def test_cycle_is_symmetric_positive_and_nearly_the_inverse(kind, largest, monkeypatch):
    monkeypatch.setattr(w_cycle, "MAX_COARSEST", largest)
    _, _, _, _, basis = problem((100, 75), kind=kind)
    levels = WCycle(basis.energies)
    assert bool(levels.levels) == (largest == 12)  # else the first level is solved directly
    A = galerkin(basis).toarray()
    M = levels.correct(torch.eye(len(A), dtype=torch.float64)).numpy()
    np.testing.assert_allclose(M, M.T, rtol=0, atol=1e-6 * np.abs(M).max())
    half = np.linalg.cholesky(A + 1e-12 * np.diag(A.diagonal()))
    ends = np.linalg.eigvalsh(half.T @ ((M + M.T) / 2) @ half)[[0, -1]]
    assert ends[0] > 0.02 and ends[1] < 2
    jacobi = np.linalg.eigvalsh(half.T @ (half / A.diagonal()[:, None]))
    assert ends[1] / ends[0] < 0.1 * jacobi[-1] / jacobi[0]


def test_one_column_and_several_agree():
    _, _, _, _, basis = problem((100, 75))
    levels = WCycle(basis.energies)
    r = torch.randn(len(basis.basis), 3, dtype=torch.float64)
    single = torch.cat([levels.correct(r[:, i : i + 1]) for i in range(3)], 1)
    torch.testing.assert_close(levels.correct(r), single)


def test_block_matrix_is_the_matrix():
    _, _, _, _, basis = problem((100, 75))
    energies = basis.energies
    own, links = matrix_blocks(energies)
    A = galerkin(basis).toarray()
    blocks = BlockMatrix(energies, own, links)
    np.testing.assert_allclose(blocks.product(torch.eye(len(A), dtype=torch.float64)), A, rtol=0, atol=1e-12)
    z, r = torch.zeros(len(A), 2, dtype=torch.float64), torch.randn(len(A), 2, dtype=torch.float64)
    blocks.relax(r, z, backward=False)
    last = energies.grid.row % 2 * 2 + energies.grid.column % 2 == 3  # solved exactly, and not touched again
    on_last = last.repeat_interleave(energies.sizes)
    assert on_last.any()
    torch.testing.assert_close(blocks.product(z)[on_last], r[on_last])
