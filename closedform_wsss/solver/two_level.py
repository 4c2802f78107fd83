"""A two-level preconditioner, by aggregation with the near-null space of L.

x^T L x is (nearly) zero for every x that is locally an affine function of the colours; without help, conjugate
gradients need thousands of iterations for these x. So the image is cut into square cells, and the coarse basis is
[1, I_1, ..., I_D] inside each cell. The coarse system is small enough for a direct solver.

For what :class:`TileSolver` does not take, mostly windows of radius 2 and more. There the diagonal alone needs
many more iterations.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss.solver.cg import Operator
from closedform_wsss.solver.direct_solver import MAX_UNKNOWNS, MAX_UNKNOWNS_DENSE, direct_solver

MIN_CELL = 6
DAMPING = 1.5  # below 2, see TwoLevel
COARSE_RIDGE = 1e-9  # relative, against rounding

Product = Callable[[Tensor], Tensor]


def cell_side(pixels: int, channels: int, reach: int, unknowns: int = MAX_UNKNOWNS) -> int:
    """The side of a cell in pixels: even, large enough that only the neighbouring halves of cells are coupled, and that
    there are at most ``unknowns``."""
    side = max(MIN_CELL, 2 * reach, (pixels * (channels + 1) / unknowns) ** 0.5)
    return 2 * int(np.ceil(side / 2))


class AffineCoarseSpace:
    """The correction P (P^T A P)^-1 P^T for the operators A of a batch of images.

    Args:
        image: ``(N, D, H, W)``.
        product: A in float64, ``(N, C, H, W)`` -> the same.
        reach: A couples pixels at most so many rows and columns apart.
        excluded: ``(N, 1, H, W)`` bool, pixels with so large a diagonal that Jacobi is enough; cells full of them are
            left out.
        dense: Solve by dense matrices. Default: on devices other than the CPU, so that :meth:`correct` does not need
            the host.
    """

    def __init__(
        self, image: Tensor, product: Product, reach: int, excluded: Tensor, *, dense: bool | None = None
    ) -> None:
        _, d, h, w = image.shape
        dense = image.device.type != "cpu" if dense is None else dense
        unknowns = MAX_UNKNOWNS_DENSE if dense else MAX_UNKNOWNS
        self.side = cell_side(int((~excluded).sum((1, 2, 3)).max()), d, reach, unknowns)
        self.cells = (-(-h // self.side), -(-w // self.side))
        self.size, self.dtype = (h, w), image.dtype
        ones = torch.ones_like(image[:, :1], dtype=torch.float64)
        # Centred in its cell, a colour is independent of 1; where it does not vary it is zero and drops out.
        count = self._sum(ones, self.side)
        colours = image.double()
        colours = colours - self._repeat(self._sum(colours, self.side) / count)
        basis = torch.cat([ones, colours], 1)
        included = self._sum((~excluded).to(basis), self.side).repeat(1, d + 1, 1, 1) > 0
        # The unknowns of each image, as indices into (cell, basis function).
        self.active = [mask.permute(1, 2, 0).flatten().nonzero().flatten() for mask in included]
        self.solvers = []
        for matrix, active in zip(self._matrices(basis, product), self.active, strict=True):
            chosen = active.cpu().numpy()
            part = _regular(matrix[chosen][:, chosen])
            self.solvers.append(direct_solver(part, image.device, dense))
        self.basis = basis.to(image.dtype)

    def _sum(self, maps: Tensor, side: int) -> Tensor:
        """Sums over squares: ``(N, K, H, W)`` -> ``(N, K, squares of that side)``; zero outside of the image."""
        rows, columns = self.cells[0] * self.side, self.cells[1] * self.side
        maps = F.pad(maps, (0, columns - maps.shape[-1], 0, rows - maps.shape[-2]))
        return maps.unflatten(2, (-1, side)).sum(3).unflatten(3, (-1, side)).sum(4)

    def _repeat(self, cells: Tensor) -> Tensor:
        """Cells -> pixels: each pixel gets the value of its cell."""
        h, w = self.size
        return cells.repeat_interleave(self.side, 2)[:, :, :h].repeat_interleave(self.side, 3)[..., :w]

    def _matrices(self, basis: Tensor, product: Product) -> list[sp.csc_array]:
        """P^T A P of every image, by products with A alone.

        Cells whose rows and columns have the same parity are so far apart that the products of A with their basis
        functions do not overlap. So four products, one for each parity, give all columns. In another cell, the half
        in which a result lies tells the neighbour that it comes from.
        """
        n, k = basis.shape[:2]
        rows, columns = self.cells
        row, column = torch.arange(rows, device="cpu")[:, None], torch.arange(columns, device="cpu")
        number = (row * columns + column).numpy()
        entries: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [[] for _ in range(n)]
        for parity in ((0, 0), (0, 1), (1, 0), (1, 1)):
            chosen = ((row % 2 == parity[0]) & (column % 2 == parity[1])).to(basis)[None, None]
            images = product(basis * self._repeat(chosen))
            # halves (N, K of the result, K of the basis function, rows, 2, columns, 2)
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
    """Add a ridge against rounding, and 1 for basis functions that vanish (colours that do not vary in a cell)."""
    diagonal = matrix.diagonal()
    floor = 1e-12 * max(diagonal.max(initial=0.0), 1e-300)
    return (matrix + sp.diags(np.where(diagonal <= floor, 1.0, COARSE_RIDGE * diagonal))).tocsc()


class TwoLevel:
    """The preconditioner: damped Jacobi, coarse correction, damped Jacobi (symmetric, as CG needs it)."""

    def __init__(self, coarse: AffineCoarseSpace, operator: Operator, bound: Tensor) -> None:
        """bound: ``(N, 1, H, W)``, a diagonal matrix B with A <= B. Damped by less than 2 B^-1 the smoother is positive
        definite for certain. With the diagonal of A it would need its largest eigenvalue, and an estimate of that
        fails when a single odd pixel has it."""
        self.coarse, self.operator = coarse, operator
        self.smooth = DAMPING / bound

    def __call__(self, r: Tensor, z: Tensor, scratch: Tensor) -> tuple[Tensor, Tensor]:
        torch.mul(self.smooth, r, out=z)
        z += self.coarse.correct(r - self.operator.product(z, scratch))
        z.addcmul_(self.smooth, r - self.operator.product(z, scratch))
        return z, scratch
