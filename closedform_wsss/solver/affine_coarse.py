"""A two-level preconditioner whose coarse space holds what makes a matting system slow.

x^T L x is (nearly) zero for every x that is locally an affine function of the colours; conjugate gradients need
thousands of iterations to sort these out. So the image is cut into square cells, and the coarse space is spanned by the
functions that are affine in colour inside a cell, [1, I_1, ..., I_D]: aggregation with this near-null space. The coarse
system is small enough for a direct solver.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss.solver.multigrid.direct import MAX_UNKNOWNS, MAX_UNKNOWNS_DENSE, direct_solver

MIN_CELL = 6
DAMPING = 1.5  # below 2, see two_level
RIDGE = 1e-9  # relative, against rounding

Product = Callable[[Tensor], Tensor]


def cell_side(pixels: int, channels: int, reach: int, most: int = MAX_UNKNOWNS) -> int:
    """Pixels of a cell's side: even, and so large that the operator couples cells by their neighbouring halves only."""
    side = max(MIN_CELL, 2 * reach, (pixels * (channels + 1) / most) ** 0.5)
    return 2 * int(np.ceil(side / 2))


class AffineCoarseSpace:
    """The correction P (P^T A P)^-1 P^T for the operators A of a batch of images.

    Args:
        image: ``(N, D, H, W)``.
        product: A in float64, ``(N, C, H, W)`` -> the same; couples pixels at most ``reach`` rows and columns apart.
        reach: See there.
        held: ``(N, 1, H, W)`` bool, pixels that the diagonal of A holds by itself; a cell full of them is left out.
        dense: Solve by dense matrices. Default: on other devices than the CPU, where the host then has no part in
            :meth:`correct`.
    """

    def __init__(self, image: Tensor, product: Product, reach: int, held: Tensor, *, dense: bool | None = None) -> None:
        _, d, h, w = image.shape
        dense = image.device.type != "cpu" if dense is None else dense
        most = MAX_UNKNOWNS_DENSE if dense else MAX_UNKNOWNS
        self.side = cell_side(int((~held).sum((1, 2, 3)).max()), d, reach, most)
        self.cells = (-(-h // self.side), -(-w // self.side))
        self.size, self.dtype = (h, w), image.dtype
        ones = torch.ones_like(image[:, :1], dtype=torch.float64)
        # Centred in its cell a colour is independent of 1, and where it does not vary it drops out as zero.
        count = self._sum(ones, self.side)
        colours = image.double()
        colours = colours - self._repeat(self._sum(colours, self.side) / count)
        basis = torch.cat([ones, colours], 1)
        loose = self._sum((~held).to(basis), self.side).repeat(1, d + 1, 1, 1) > 0
        # Unknowns that take part, image by image, as numbers (cell, function).
        self.active = [mask.permute(1, 2, 0).flatten().nonzero().flatten() for mask in loose]
        self.solvers = []
        for matrix, active in zip(self._matrices(basis, product), self.active, strict=True):
            chosen = active.cpu().numpy()
            part = _regular(matrix[chosen][:, chosen])
            self.solvers.append(direct_solver(part, image.device, dense))
        self.basis = basis.to(image.dtype)

    def _sum(self, maps: Tensor, side: int) -> Tensor:
        """Sums over squares: ``(N, K, H, W)`` -> ``(N, K, cells of that side)``; what lies outside counts as 0."""
        rows, columns = self.cells[0] * self.side, self.cells[1] * self.side
        maps = F.pad(maps, (0, columns - maps.shape[-1], 0, rows - maps.shape[-2]))
        return maps.unflatten(2, (-1, side)).sum(3).unflatten(3, (-1, side)).sum(4)

    def _repeat(self, cells: Tensor) -> Tensor:
        """The value of its cell for every pixel."""
        h, w = self.size
        return cells.repeat_interleave(self.side, 2)[:, :, :h].repeat_interleave(self.side, 3)[..., :w]

    def _matrices(self, basis: Tensor, product: Product) -> list[sp.csc_array]:
        """P^T A P of every image, by products with A alone.

        Cells of equal parity in rows and columns are so far apart that what A makes of their functions does not
        overlap: four products with all functions of a parity give all columns. In another cell, the half where a result
        lies tells which neighbour it came from.
        """
        n, k = basis.shape[:2]
        rows, columns = self.cells
        row, column = torch.arange(rows, device="cpu")[:, None], torch.arange(columns, device="cpu")
        number = (row * columns + column).numpy()
        entries: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [[] for _ in range(n)]
        for parity in ((0, 0), (0, 1), (1, 0), (1, 1)):
            chosen = ((row % 2 == parity[0]) & (column % 2 == parity[1])).to(basis)[None, None]
            images = product(basis * self._repeat(chosen))
            # halves (N, K of the result, K of the function, rows, 2, columns, 2)
            halves = (
                torch.stack([self._sum(images * basis[:, b : b + 1], self.side // 2) for b in range(k)], 1)
                .unflatten(4, (columns, 2))
                .unflatten(3, (rows, 2))
            )
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    part = halves.sum(4) if dy == 0 else halves[..., (1 + dy) // 2, :, :]
                    part = part.sum(-1) if dx == 0 else part[..., (1 + dx) // 2]
                    source_row, source_column = row + dy, column + dx
                    exists = (source_row >= 0) & (source_row < rows) & (source_column >= 0) & (source_column < columns)
                    exists = exists & (source_row % 2 == parity[0]) & (source_column % 2 == parity[1])
                    to = number[exists.numpy()]
                    of = to + dy * columns + dx
                    # values (N, K, K, pairs of cells)
                    values = part[..., exists.to(part.device)].cpu().numpy()
                    b, a = np.arange(k)[:, None, None], np.arange(k)[None, :, None]
                    shape = (k, k, len(to))
                    i = np.broadcast_to(to * k + b, shape).ravel()
                    j = np.broadcast_to(of * k + a, shape).ravel()
                    for image in range(n):
                        entries[image].append((i, j, values[image].ravel()))
        unknowns = rows * columns * k
        return [_assemble(parts, unknowns) for parts in entries]

    def correct(self, r: Tensor) -> Tensor:
        """P (P^T A P)^-1 P^T r for r ``(N, C, H, W)``."""
        n, c = r.shape[:2]
        k = self.basis.shape[1]
        coarse = torch.stack([self._sum(r * self.basis[:, b : b + 1], self.side) for b in range(k)], -1)
        right = coarse.flatten(2).double()  # (N, C, cells K)
        solved = torch.zeros_like(right)
        for image, (active, solver) in enumerate(zip(self.active, self.solvers, strict=True)):
            if len(active):
                solved[image, :, active] = solver(right[image, :, active])
        solution = solved.to(r).view(n, c, *self.cells, k)
        x = torch.zeros_like(r)
        for b in range(k):
            x.addcmul_(self._repeat(solution[..., b]), self.basis[:, b : b + 1])
        return x


def _assemble(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]], unknowns: int) -> sp.csc_array:
    i, j, v = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    matrix = sp.coo_array((v, (i, j)), shape=(unknowns, unknowns)).tocsc()
    return ((matrix + matrix.T) / 2).tocsc()


def _regular(matrix: sp.csc_array) -> sp.csc_array:
    """Functions that vanish (colours that do not vary in a cell) get a 1; the rest a ridge against rounding."""
    diagonal = matrix.diagonal()
    floor = 1e-12 * max(diagonal.max(initial=0.0), 1e-300)
    return (matrix + sp.diags_array(np.where(diagonal <= floor, 1.0, RIDGE * diagonal))).tocsc()


def two_level(coarse: AffineCoarseSpace, product: Product, bound: Tensor) -> Product:
    """The preconditioner r -> x: damped Jacobi, coarse correction, damped Jacobi (symmetric, as CG wants it).

    Args:
        coarse: The coarse space.
        product: The operator A.
        bound: ``(N, 1, H, W)``, a diagonal matrix B with A <= B. Below twice B^-1 the smoother is sure to be positive
            definite, where the diagonal of A would need its largest eigenvalue: an estimate of that fails when
            one odd pixel has it.
    """
    smooth = DAMPING / bound

    def precondition(r: Tensor) -> Tensor:
        x = smooth * r
        x = x + coarse.correct(r - product(x))
        return x + smooth * (r - product(x))

    return precondition
