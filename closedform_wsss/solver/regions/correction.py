"""The exact correction on functions of regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from closedform_wsss._common.stencil_layout import TAPS, stencil_planes
from closedform_wsss._common.tile_layout import SIDE
from closedform_wsss.laplacian import MattingLaplacian
from closedform_wsss.laplacian.stencil import StencilOperator
from closedform_wsss.solver.direct_solver import MAX_UNKNOWNS_DENSE, direct_solver
from closedform_wsss.solver.regions.part import IntArray, Part
from closedform_wsss.solver.sparse import Sparse
from closedform_wsss.solver.tiles import Tiles

# An energy below this, relative to the squared length of the function, is rounding of the stencil.
MIN_ENERGY = 1e-13


class RegionCorrection:
    """With the functions as columns of Z and their energies E = Z^T (L + D) Z: z += Z E^-1 Z^T r for maps in tiles.

    Attributes:
        count: How many functions there are.
    """

    def __init__(
        self, functions: Sequence[Part], laplacian: MattingLaplacian, data_weight: Tensor, tiles: Tiles
    ) -> None:
        """functions: those of :func:`region_functions`; data_weight: D, ``(N, H, W)``."""
        self.count = 0
        if not functions:
            return
        pixels, basis = _matrix(functions)
        of_image = laplacian._operator
        assert isinstance(of_image, StencilOperator)
        energies = _energies(of_image, data_weight, pixels, basis)
        lengths = basis.multiply(basis).sum(0)
        kept = np.flatnonzero(energies.diagonal() > MIN_ENERGY * lengths)
        basis, energies = basis[:, kept], energies[kept][:, kept]
        energies += sp.diags(_ridges(functions)[kept] * energies.diagonal())
        self.count = len(kept)
        self._set_places(torch.from_numpy(pixels).to(tiles.image.device), data_weight, tiles)
        self._basis, self._transposed = (Sparse(sp.csr_array(part), laplacian.image) for part in (basis, basis.T))
        device = laplacian.image.device
        dense = device.type != "cpu" and self.count <= MAX_UNKNOWNS_DENSE
        self._solve, self._on = direct_solver(sp.csc_array(energies), device, dense), device if dense else "cpu"

    def _set_places(self, pixels: Tensor, data_weight: Tensor, tiles: Tiles) -> None:
        _, h, w = data_weight.shape
        y, x = pixels % (h * w) // w, pixels % w
        self._places = tiles.at(pixels // (h * w), y // SIDE, x // SIDE).long(), y % SIDE, x % SIDE

    def correct(self, r: Tensor, z: Tensor) -> None:
        """z += Z E^-1 Z^T r, both ``(M, C, 16, 16)``."""
        tile, y, x = self._places
        right = self._transposed @ r[tile, :, y, x]
        solution = self._solve(right.double().T.contiguous().to(self._on)).T.to(r)
        z[tile, :, y, x] += self._basis @ solution


def _count(part: Part) -> int:
    return int(part.regions.max()) + 1


def _ridges(functions: Sequence[Part]) -> npt.NDArray[np.float64]:
    return np.concatenate([np.full(_count(part), part.ridge) for part in functions])


def _matrix(functions: Sequence[Part]) -> tuple[IntArray, sp.csr_array]:
    """The pixels of all functions, and Z on them."""
    starts = np.cumsum([0, *map(_count, functions)])
    pixels, rows = np.unique(np.concatenate([part.pixels for part in functions]), return_inverse=True)
    columns = np.concatenate([part.regions + start for part, start in zip(functions, starts, strict=False)])
    values = np.concatenate([part.values for part in functions])
    return pixels, sp.csr_array((values, (rows, columns)), shape=(len(pixels), int(starts[-1])))


def _energies(operator: StencilOperator, data_weight: Tensor, pixels: IntArray, basis: sp.csr_array) -> sp.csr_array:
    """E = Z^T (L + D) Z as -sum_{p < q} L_pq (z_p - z_q) (z_p - z_q)^T + the rest of the diagonal: sums of small
    numbers, where Z^T (L Z) would be a difference of large ones."""
    _, h, w = data_weight.shape
    planes = stencil_planes(operator.stencil, operator.width)
    diagonal = data_weight if operator.row_sums is None else data_weight + operator.row_sums
    own = diagonal.flatten()[torch.from_numpy(pixels).to(diagonal.device)].double().cpu().numpy()
    energies = basis.T @ sp.diags(own) @ basis
    place = np.full(data_weight.numel(), len(pixels))  # of a pixel beyond all regions: a row of zeros
    place[pixels] = np.arange(len(pixels))
    padded = sp.vstack([basis, sp.csr_array((1, basis.shape[1]))]).tocsr()
    # Pixels with equal rows, as all of a flat region, add nothing. A product with any numbers tells them apart.
    key = padded @ np.random.default_rng(0).random(padded.shape[1])
    image, y, x = pixels // (h * w), pixels % (h * w) // w, pixels % w
    for k, (dy, dx) in enumerate(TAPS):
        for sign in (1, -1):
            other_y, other_x = y + sign * dy, x + sign * dx
            inside = (other_y >= 0) & (other_y < h) & (other_x >= 0) & (other_x < w)
            at = np.flatnonzero(inside)
            other = place[(image[at] * h + other_y[at]) * w + other_x[at]]
            if sign == -1:  # pairs of two pixels of regions are done already
                at, other = at[other == len(pixels)], other[other == len(pixels)]
            differs = key[at] != key[other]
            at, other = at[differs], other[differs]
            first = (y, x) if sign == 1 else (other_y, other_x)
            entries = [torch.from_numpy(part[at]).to(planes.device) for part in (image, *first)]
            entry = planes[entries[0], k, entries[1], entries[2]].double().cpu().numpy()
            difference = padded[at] - padded[other]
            energies = energies - difference.T @ sp.diags(entry) @ difference
    return sp.csr_array(energies)
