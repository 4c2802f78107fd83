"""Mean field on a lattice; the reference implementation of ``csrc/cpu/lattice_mean_field.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._reference.lattice_filter import lattice_filter


def lattice_mean_field(
    energy: Tensor,
    indices: Tensor,
    weights: Tensor,
    neighbours: Tensor,
    iterations: int,
) -> Tensor:
    """q = softmax(-energy), then ``iterations`` times q = softmax(-energy + W q), all ``(N, P, C)``.

    Kraehenbuehl, Koltun: Efficient inference in fully connected CRFs with Gaussian edge potentials. NIPS 2011.
    """
    q = torch.softmax(-energy, 2)
    for _ in range(iterations):
        message = lattice_filter(q, indices, weights, neighbours, False)
        q = torch.softmax(message - energy, 2)
    return q
