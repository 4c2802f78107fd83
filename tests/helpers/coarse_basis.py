"""A coarse basis to test with, its prolongation and its Galerkin product."""

import numpy as np
import torch

from closedform_wsss import MattingLaplacian
from closedform_wsss._common.tile_layout import SIDE
from closedform_wsss.solver.multigrid.block_energies import matrix_blocks
from closedform_wsss.solver.multigrid.coarsening import to_scipy
from closedform_wsss.solver.multigrid.local_basis import local_basis
from closedform_wsss.solver.tiles import Tiles


def problem(size=(37, 52), channels=3, kind="closed_form", chosen=None, n=1):
    """A smooth image with an edge and a flat part; some marks, strong and weak."""
    torch.manual_seed(0)
    h, w = size
    ramp = torch.linspace(0, 1, w).expand(n, channels, h, w) * torch.linspace(0.2, 1, channels)[:, None, None]
    image = (0.7 * ramp + 0.02 * torch.rand(n, channels, h, w)).double()
    image[..., h // 2 :, w // 3 :] = 0.9 - 0.5 * image[..., h // 2 :, w // 3 :]
    image[..., : h // 3, : w // 4] = 0.25
    data_weight = torch.zeros(n, h, w, dtype=torch.float64)
    data_weight[:, 5:9, 5:30] = 100.0
    data_weight[:, 20:, 40:] = 0.01
    rows, columns = -(-h // SIDE), -(-w // SIDE)
    tiles = Tiles(torch.ones(n, rows, columns, dtype=torch.bool) if chosen is None else chosen, h, w)
    laplacian = MattingLaplacian(image, kind=kind, eps=1e-5)
    of_tiles = tiles.gather(data_weight[:, None])[:, 0]
    inside = tiles.gather(torch.ones(n, 1, h, w).double())[:, 0] > 0
    basis = local_basis(image, tiles, (of_tiles < 5) & inside, of_tiles, 1e-5, kind == "learning_based")
    return image, laplacian, data_weight, tiles, basis


def prolongation(tiles, basis, image=0):
    """P (pixels of an image, basis functions), dense."""
    h, w = tiles.size[1:]
    P = np.zeros((h, w, len(basis.basis)))
    for t, (n, row, column) in enumerate(tiles.tiles.tolist()):
        if n != image:
            continue
        part = np.s_[SIDE * row : SIDE * row + SIDE, SIDE * column : SIDE * column + SIDE]
        for f in range(int(basis.starts[t]), int(basis.starts[t + 1])):
            there = P[part][..., f]
            there[...] = basis.basis[f].numpy()[: there.shape[0], : there.shape[1]]
    return P.reshape(h * w, -1)


def galerkin(basis):
    """P^T (L + D) P as the energies say."""
    return to_scipy(basis.energies, *matrix_blocks(basis.energies))
