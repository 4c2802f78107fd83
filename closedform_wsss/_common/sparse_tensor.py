"""Sparse tensors of torch."""

from __future__ import annotations

import torch
from torch import Tensor


def sparse_coo(indices: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """A COO tensor without checks of its indices. torch 2.12 warns of that, even where ``check_invariants=False`` asks
    for it, but not inside of the context."""
    with torch.sparse.check_sparse_tensor_invariants(enable=False):
        return torch.sparse_coo_tensor(indices, values, shape)
