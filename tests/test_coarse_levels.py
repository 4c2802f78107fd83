"""The levels below the pixels: their energies against those of crops, and the cycle as an inverse."""

import numpy as np
import pytest
import torch
from test_local_basis import problem, prolongation

from closedform_wsss import MattingLaplacian
from closedform_wsss.functional import _coarse_levels
from closedform_wsss.functional._coarse_levels import CoarseLevels, _assemble, _Blocks, _coarsen


def first_blocks(tiles, basis):
    number = torch.where(basis.exists, basis.exists.flatten().cumsum(0).view_as(basis.exists) - 1, -1)
    energies = (basis.inside, basis.right, basis.below, basis.corner, basis.traces)
    return _Blocks(tiles.tiles.numpy(), number, *energies), _assemble(basis, number, len(basis.functions))


@pytest.mark.parametrize("size", [(128, 128), (100, 75)])
def test_energies_of_blocks_are_those_of_crops(size, monkeypatch):
    """Whatever a block of 2, 4 or 8 tiles' side costs by itself is what L of the image cut off there says."""
    monkeypatch.setattr(_coarse_levels, "THRESHOLD", 0.5)
    image, _, _, tiles, basis = problem(size)
    P = prolongation(tiles, basis)
    blocks, matrix = first_blocks(tiles, basis)
    soft = np.zeros(size)  # inside energies count soft marks too
    soft[20:, 40:] = 0.01
    for side in (32, 64, 128):
        blocks, down = _coarsen(blocks, torch.from_numpy(matrix.diagonal()))
        P, matrix = P @ down.toarray(), (down.T @ matrix @ down).tocsr()
        number = blocks.number.numpy()
        for (_, row, column), own, inside in zip(blocks.key.tolist(), number, blocks.inside.numpy(), strict=True):
            part = np.s_[row * side : (row + 1) * side, column * side : (column + 1) * side]
            crop = image[(slice(None), slice(None), *part)].contiguous()
            L = MattingLaplacian(crop, eps=1e-5).to_scipy(0)
            V = P.reshape(*size, -1)[part].reshape(L.shape[0], -1)[:, own[own >= 0]]
            expected = V.T @ (L @ V + soft[part].ravel()[:, None] * V)
            np.testing.assert_allclose(inside[np.ix_(own >= 0, own >= 0)], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("most", [8000, 12])
@pytest.mark.parametrize("kind", ["closed_form", "learning_based"])
def test_cycle_is_symmetric_positive_and_nearly_the_inverse(kind, most, monkeypatch):
    monkeypatch.setattr(_coarse_levels, "MOST_UNKNOWNS", most)
    _, _, _, tiles, basis = problem((100, 75), kind=kind)
    levels = CoarseLevels(basis, tiles)
    assert len(levels.levels) == (0 if most == 8000 else len(levels.levels)) and (most == 8000 or levels.levels)
    _, matrix = first_blocks(tiles, basis)
    A = matrix.toarray()
    M = levels.correct(torch.eye(len(A), dtype=torch.float64)).numpy()
    np.testing.assert_allclose(M, M.T, rtol=0, atol=1e-6 * np.abs(M).max())
    half = np.linalg.cholesky(A + 1e-12 * np.diag(A.diagonal()))
    ends = np.linalg.eigvalsh(half.T @ ((M + M.T) / 2) @ half)[[0, -1]]
    assert ends[0] > 0.02 and ends[1] < 2
    jacobi = np.linalg.eigvalsh(half.T @ (half / A.diagonal()[:, None]))
    assert ends[1] / ends[0] < 0.1 * jacobi[-1] / jacobi[0]


def test_one_column_and_several_agree():
    _, _, _, tiles, basis = problem((100, 75))
    levels = CoarseLevels(basis, tiles)
    r = torch.randn(len(basis.functions), 3, dtype=torch.float64)
    single = torch.cat([levels.correct(r[:, i : i + 1]) for i in range(3)], 1)
    torch.testing.assert_close(levels.correct(r), single)
