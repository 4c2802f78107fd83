"""Coarse systems in blocks (csrc/common/block_layout.h) to test with: a dense matrix, cut up."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from helpers.tiles import SIDE, tile_list

MAX_FUNCTIONS = 32  # functions of a block
LINK_PLACES = (5, 6, 7, 8)
SPARE = 3  # values at the end, which the kernels may read but must not use


class Blocks(NamedTuple):
    """Tensors as the operators take them, and what they stand for."""

    matrix: Tensor
    offsets: Tensor
    starts: Tensor
    neighbours: Tensor
    order: Tensor
    ends: Tensor
    tiles: np.ndarray  # (M, 3): image, row, column
    block_of_value: Tensor  # of each value of the matrix, the block; -1 of the spare ones
    A: np.ndarray  # (F, F), float64
    r: Tensor  # (F, C)

    @property
    def layout(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.matrix, self.offsets, self.starts, self.neighbours

    @property
    def sweep(self) -> tuple[Tensor, ...]:
        """What ``block_relax`` takes before r."""
        return *self.layout, self.order, self.ends

    @property
    def colors(self) -> np.ndarray:
        return colors_of(self.tiles)

    def functions(self, t: int) -> slice:
        return slice(int(self.starts[t]), int(self.starts[t + 1]))

    def around(self, t: int) -> list[int]:
        """The blocks that t is coupled to, itself among them."""
        return [s for s in self.neighbours[t].tolist() if s >= 0]

    def mask(self, which: list[int], c: int | None = None) -> Tensor:
        """(F, C): true for the functions of these blocks, of one class or of all."""
        result = torch.zeros_like(self.r, dtype=torch.bool)
        for t in which:
            result[self.functions(t), slice(None) if c is None else c] = True
        return result


def colors_of(tiles: np.ndarray) -> np.ndarray:
    return 2 * (tiles[:, 1] % 2) + tiles[:, 2] % 2


def dense_matrix(block: np.ndarray, coupled: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """A random matrix with values of ``dtype``, symmetric and diagonally dominant, so positive definite."""
    upper = np.triu(torch.randn(len(block), len(block), dtype=dtype).numpy(force=True).astype(np.float64), 1)
    A = (upper + upper.T) * coupled[block][:, block]
    np.fill_diagonal(A, 1 + np.ceil(np.abs(A).sum(1)))
    return A


def block_problem(
    grid: tuple[int, int] = (4, 5),
    classes: int = 3,
    dtype: torch.dtype = torch.float32,
    largest: int = MAX_FUNCTIONS,
    n: int = 2,
    fraction: float = 0.7,
) -> Blocks:
    """A fraction of the blocks of n images, up to ``largest`` basis functions each; blocks and parts in any order."""
    tiles, near = (t.numpy(force=True) for t in tile_list(n, SIDE * grid[0], SIDE * grid[1], fraction))
    sizes = torch.randint(0, largest + 1, (len(tiles),)).numpy(force=True)
    special = np.minimum([largest, 1, 0, 4, 5], largest)[: len(sizes)]
    sizes[: len(special)] = special
    starts = np.concatenate([[0], sizes.cumsum()])
    block = np.arange(len(sizes)).repeat(sizes)
    coupled = np.zeros((len(sizes), len(sizes)), bool)
    for t, others in enumerate(near):
        coupled[t, others[others >= 0]] = True
    A = dense_matrix(block, coupled, dtype)

    def part(t: int, which: int) -> np.ndarray:
        own = slice(starts[t], starts[t + 1])
        if which < 2:
            return A[own, own] if which else np.linalg.inv(A[own, own])
        other = near[t, LINK_PLACES[which - 2]]
        return A[own, starts[other] : starts[other + 1]] if other >= 0 else np.zeros(0)

    offsets, values, block_of_value, begin = np.zeros((len(sizes), 6), np.int64), [], [], 0
    for place in torch.randperm(offsets.size).tolist():
        offsets.flat[place] = begin
        values.append(part(*divmod(place, 6)).ravel())
        block_of_value.append(np.full(values[-1].size, place // 6))
        begin += values[-1].size
    block_of_value.append(np.full(SPARE, -1))
    colors = colors_of(tiles)
    return Blocks(
        torch.tensor(np.concatenate([*values, np.full(SPARE, np.nan)]), dtype=dtype),
        torch.tensor(offsets),
        torch.tensor(starts, dtype=torch.int32),
        torch.tensor(near),
        torch.tensor(np.argsort(colors, kind="stable"), dtype=torch.int32),
        torch.tensor([int((colors <= i).sum()) for i in range(4)], dtype=torch.int32, device="cpu"),
        tiles,
        torch.tensor(np.concatenate(block_of_value)),
        A,
        torch.randn(len(A), classes, dtype=dtype),
    )


def nothing(blocks: Blocks) -> list[Blocks]:
    """Blocks without functions; no blocks."""
    empty = blocks._replace(
        matrix=blocks.matrix[-SPARE:],
        offsets=blocks.offsets * 0,
        starts=blocks.starts * 0,
        A=np.zeros((0, 0)),
        r=blocks.r[:0],
    )
    none = empty._replace(
        offsets=empty.offsets[:0],
        starts=empty.starts[:1],
        neighbours=empty.neighbours[:0],
        order=empty.order[:0],
        ends=empty.ends * 0,
        tiles=empty.tiles[:0],
    )
    return [empty, none]
