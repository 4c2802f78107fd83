"""Direct solvers of small systems, such as the coarsest one of a preconditioner: sparse on the CPU, dense on other
devices, where sparse triangular solves are slow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import splu
from torch import Tensor

from closedform_wsss._common.sparse_tensor import sparse_coo

# A direct solver is quick up to about this size. Dense: two products with a matrix of 0.5 GB.
MAX_UNKNOWNS = 16_000
MAX_UNKNOWNS_DENSE = 8192

Solver = Callable[[Tensor], Tensor]


def direct_solver(matrix: sp.csc_array, device: torch.device, dense: bool) -> Solver:
    """Right-hand sides ``(C, unknowns)`` float64 -> solutions, for a symmetric positive definite matrix."""
    if matrix.shape[0] == 0:
        return lambda right: right
    return _dense(matrix, device) if dense else _sparse(matrix)


def _sparse(matrix: sp.csc_array) -> Solver:
    """Right-hand sides ``(C, unknowns)`` -> solutions, on the host."""
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0)
    return lambda right: torch.from_numpy(factors.solve(right.numpy().T).T)


def _dense(matrix: sp.csc_array, device: torch.device) -> Solver:
    """The same on any device: with A = F F^T the solution is W^T W b, W = F^-1.

    Two products instead of a substitution, which is a chain of thousands of small steps. In float64, which no setting
    of torch turns into TF32.
    """
    entries = matrix.tocoo()
    places = torch.from_numpy(np.stack([entries.row, entries.col])).to(device)
    values = torch.from_numpy(entries.data).to(device)
    full = sparse_coo(places, values, matrix.shape).to_dense()
    identity = torch.eye(matrix.shape[0], dtype=full.dtype, device=device)
    inverse = torch.linalg.solve_triangular(torch.linalg.cholesky(full), identity, upper=False)
    return lambda right: (right @ inverse.T) @ inverse
