"""Mean field on a lattice; the reference implementation of ``csrc/cpu/lattice_mean_field.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._reference.lattice_filter import lattice_filter


def lattice_mean_field(unary: Tensor, indices: Tensor, weights: Tensor, neighbours: Tensor, iterations: int) -> Tensor:
    """q = softmax(unary), then ``iterations`` times q = softmax(unary + W q), all ``(N, C, P)``.

    Kraehenbuehl, Koltun: Efficient inference in fully connected CRFs with Gaussian edge potentials. NIPS 2011.
    """
    q = torch.softmax(unary, 1)
    for _ in range(iterations):
        message = lattice_filter(q.transpose(1, 2), indices, weights, neighbours, False)
        q = torch.softmax(unary + message.transpose(1, 2), 1)
    return q.contiguous()
