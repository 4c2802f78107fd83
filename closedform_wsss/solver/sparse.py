"""Products with sparse matrices."""

from __future__ import annotations

import warnings
from typing import Any

import scipy.sparse as sp
import torch
from torch import Tensor


class Sparse:
    """A sparse matrix for products with ``(n, C)``. On the CPU by SciPy on one thread: as quick as torch on two
    threads, and not slowed down when other work keeps a core busy."""

    def __init__(self, matrix: sp.csr_array, like: Tensor) -> None:
        """In the device and precision of ``like``."""
        rows, columns, values = (torch.from_numpy(part) for part in (matrix.indptr, matrix.indices, matrix.data))
        values = values.to(like.dtype)
        self.matrix: Any
        if like.device.type == "cpu":
            self.matrix = sp.csr_array((values.numpy(), matrix.indices, matrix.indptr), matrix.shape)
            return
        with warnings.catch_warnings():  # torch warns once that CSR tensors are in beta
            warnings.simplefilter("ignore", UserWarning)
            self.matrix = torch.sparse_csr_tensor(rows, columns, values, matrix.shape, check_invariants=False)
            self.matrix = self.matrix.to(like.device)

    def __matmul__(self, z: Tensor) -> Tensor:
        single = z.shape[1] == 1  # a vector is twice as fast as one column
        z = z[:, 0] if single else z.contiguous()
        y: Tensor = self.matrix @ z if isinstance(self.matrix, Tensor) else torch.from_numpy(self.matrix @ z.numpy())
        return y[:, None] if single else y
