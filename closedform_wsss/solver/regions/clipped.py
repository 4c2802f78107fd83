"""Functions without energy that clipped pixels make, and their exact correction.

L x is nearly zero for every x that is affine in the colours of each window. Over- and under-exposed images are full of
them: where channel c is clipped at v, v - I_c is zero. So for each region that clipped pixels enclose, the function
v - I_c on this region, and 0 elsewhere, is affine in each window: only eps holds the region to what is around it. Many
lie side by side in a tile, and neither Jacobi nor the coarse levels can tell them apart. They form a system of their
own, E = Z^T (L + D) Z with one of them in each column of Z, which hardly couples two of them and is solved exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from scipy import ndimage
from torch import Tensor

from closedform_wsss._common.stencil_layout import TAPS, stencil_planes
from closedform_wsss._common.tile_layout import SIDE
from closedform_wsss.laplacian import MattingLaplacian
from closedform_wsss.laplacian.stencil import StencilOperator
from closedform_wsss.solver.multigrid.direct import MAX_UNKNOWNS_DENSE, direct_solver
from closedform_wsss.solver.multigrid.sparse import Sparse
from closedform_wsss.solver.tiles import Tiles

# A channel is clipped at its smallest or largest value if this fraction of the image has it.
CLIPPED = 0.01
# Regions that cover less of an image in all, as the specks of any photograph, leave the solve as it is.
COVERED = 0.003
# D in a region, from which on it is held by more than its neighbours.
MAX_DATA_WEIGHT = 1e-2
# Added to E, relative to a function's own energy: keeps it positive definite where channels are equal, or nearly so.
RIDGE = 1e-2
# An energy below this, relative to the squared length of the function, is rounding of the stencil.
MIN_ENERGY = 1e-9

IntArray: TypeAlias = npt.NDArray[np.int64]
Part: TypeAlias = tuple[IntArray, IntArray, npt.NDArray[np.float64]]  # pixels, their regions and values


class ClippedRegions:
    """The functions Z of the regions, and z += Z E^-1 Z^T r for maps in tiles.

    Attributes:
        count: How many functions there are.
    """

    def __init__(
        self, functions: Sequence[Part], laplacian: MattingLaplacian, data_weight: Tensor, tiles: Tiles
    ) -> None:
        """functions: those of :func:`clipped_functions`; data_weight: D, ``(N, H, W)``."""
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
        energies += sp.diags(RIDGE * energies.diagonal())
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


def clipped_functions(image: Tensor, data_weight: Tensor) -> list[Part]:
    """For each image, channel and end of its range with regions: pixels, the region of each, counted from 0, and
    values. Of images with few such pixels none."""
    pixels_of_image = image[0, 0].numel()
    ends = torch.stack([image.amin((2, 3)), image.amax((2, 3))], 2)  # (N, D, 2)
    counts = torch.stack([(image == end[..., None, None]).sum((2, 3)) for end in ends.unbind(2)], 2)
    # With all pixels a channel is constant.
    chosen = (counts >= CLIPPED * pixels_of_image) & (counts < pixels_of_image)
    parts = []
    for n, of_image in enumerate(chosen.cpu()):
        found = [
            (n * pixels_of_image + pixels, regions, values)
            for c, end in of_image.nonzero().tolist()
            for pixels, regions, values in _functions(image[n, c] - ends[n, c, end], data_weight[n])
        ]
        if found and len(np.unique(np.concatenate([pixels for pixels, _, _ in found]))) >= COVERED * pixels_of_image:
            parts += found
    return parts


def _functions(values: Tensor, data_weight: Tensor) -> Iterator[Part]:
    """Those of a channel, if it has any: pixels, regions and values."""
    maps = values.double().cpu().numpy()
    regions = _regions(maps != 0, (data_weight >= MAX_DATA_WEIGHT).cpu().numpy())
    pixels = np.flatnonzero(regions >= 0)
    if len(pixels):
        yield pixels, regions.ravel()[pixels], maps.ravel()[pixels]


def _regions(inside: npt.NDArray[np.bool_], held: npt.NDArray[np.bool_]) -> IntArray:
    """The region of each pixel, -1 for none: sets of pixels such that no window holds pixels of two. Regions with a
    held pixel are left out."""
    # Pixels of one window are at most 2 apart. As squares of 2 x 2 pixels they touch.
    squares = np.zeros((inside.shape[0] + 1, inside.shape[1] + 1), bool)
    for dy in (0, 1):
        for dx in (0, 1):
            squares[dy : dy + inside.shape[0], dx : dx + inside.shape[1]] |= inside
    labels, count = ndimage.label(squares, np.ones((3, 3)))
    labels = np.where(inside, labels[:-1, :-1], 0)
    free = np.ones(count + 1, bool)
    free[0] = False
    free[labels[held]] = False
    numbers = np.where(free, np.cumsum(free) - 1, -1)
    found: IntArray = numbers[labels].astype(np.int64)
    return found


def _matrix(functions: Sequence[Part]) -> tuple[IntArray, sp.csr_array]:
    """The pixels of all functions, and Z on them."""
    starts = np.cumsum([0, *(regions.max() + 1 for _, regions, _ in functions)])
    pixels, rows = np.unique(np.concatenate([part[0] for part in functions]), return_inverse=True)
    columns = np.concatenate([regions + start for (_, regions, _), start in zip(functions, starts, strict=False)])
    values = np.concatenate([part[2] for part in functions])
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
    image, y, x = pixels // (h * w), pixels % (h * w) // w, pixels % w
    for k, (dy, dx) in enumerate(TAPS):
        for sign in (1, -1):
            other_y, other_x = y + sign * dy, x + sign * dx
            inside = (other_y >= 0) & (other_y < h) & (other_x >= 0) & (other_x < w)
            at = np.flatnonzero(inside)
            other = place[(image[at] * h + other_y[at]) * w + other_x[at]]
            if sign == -1:  # pairs of two pixels of regions are done already
                at, other = at[other == len(pixels)], other[other == len(pixels)]
            first = (y, x) if sign == 1 else (other_y, other_x)
            entries = [torch.from_numpy(part[at]).to(planes.device) for part in (image, *first)]
            entry = planes[entries[0], k, entries[1], entries[2]].double().cpu().numpy()
            difference = padded[at] - padded[other]
            energies = energies - difference.T @ sp.diags(entry) @ difference
    return sp.csr_array(energies)
