"""The W-cycle: the coarse levels as an approximate inverse.

The levels are systems of the basis functions of tiles, then of 2 x 2 tiles, 4 x 4 tiles ... (coarsening.py). Each level
corrects what is slow on the level before, so the number of iterations is nearly independent of the image size. The
smoother is a forward and a backward sweep of block Gauss-Seidel. The last level is solved directly.
"""

from __future__ import annotations

import scipy.sparse as sp
import torch
from torch import Tensor

from closedform_wsss.solver.direct_solver import direct_solver
from closedform_wsss.solver.multigrid.block_energies import BlockEnergies
from closedform_wsss.solver.multigrid.block_matrix import BlockMatrix
from closedform_wsss.solver.multigrid.coarsening import coarsen, level_matrix, to_scipy
from closedform_wsss.solver.sparse import Sparse

# Of the coarsest level. A sparse factorization of this size takes as long as some sweeps over its pixels.
MAX_COARSEST = 3000
MAX_COARSEST_DENSE = 4096
# Of all levels but the first (W-cycle). These levels are cheap compared with the first, and compared with a V-cycle a
# third of the iterations on the pixels is saved at 12 megapixels.
CYCLE_INDEX = 2


class _Level:
    """A system A z = r, and the prolongation P from the next coarser one."""

    def __init__(self, matrix: BlockMatrix, prolongation: sp.csr_array) -> None:
        self.matrix = matrix
        like = matrix.matrix
        self.prolongation, self.restriction = Sparse(prolongation, like), Sparse(prolongation.T.tocsr(), like)


class WCycle:
    """An approximate inverse of the Galerkin matrix P^T (L + D) P of the tiles' basis: a W-cycle over levels."""

    def __init__(self, energies: BlockEnergies) -> None:
        device = energies.inside.device
        max_coarsest = MAX_COARSEST if device.type == "cpu" else MAX_COARSEST_DENSE
        self.levels: list[_Level] = []
        own, links = level_matrix(energies)
        while int(energies.sizes.sum()) > max_coarsest:
            matrix = BlockMatrix(energies, own, links)
            coarser, prolongation = coarsen(energies, own.diagonal(dim1=1, dim2=2))
            if prolongation.shape[1] > 0.9 * prolongation.shape[0]:
                break
            self.levels.append(_Level(matrix, prolongation))
            energies = coarser
            own, links = level_matrix(energies)
        coarsest = to_scipy(energies, own, links)
        self.solve = direct_solver(coarsest, device, dense=device.type != "cpu")

    def correct(self, r: Tensor) -> Tensor:
        """The approximate A^-1 r, ``(F, C)``."""
        return self._cycle(0, r.contiguous())

    def _cycle(self, depth: int, r: Tensor) -> Tensor:
        if depth == len(self.levels):
            return self.solve(r.double().mT).mT.to(r.dtype)
        level = self.levels[depth]
        z = torch.zeros_like(r)
        for _ in range(CYCLE_INDEX if depth else 1):
            level.matrix.relax(r, z, backward=False)
            z += level.prolongation @ self._cycle(depth + 1, level.restriction @ (r - level.matrix.product(z)))
            level.matrix.relax(r, z, backward=True)
        return z
