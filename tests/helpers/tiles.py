"""Maps in tiles to test with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from closedform_wsss import _reference

SIDE = 16
# Images below a tile in one direction or both, of whole tiles, with a rest of one pixel and more.
SIZES = [(3, 3), (5, 40), (40, 3), (16, 16), (17, 33), (32, 48), (35, 29)]


def tile_list(n: int, height: int, width: int, fraction: float = 0.7) -> tuple[Tensor, Tensor]:
    """A fraction of the tiles of n images, in any order, and their neighbours."""
    kept = torch.rand(n, -(-height // SIDE), -(-width // SIDE)) < fraction
    kept[-1, 0, 0] = True
    tiles = kept.nonzero()
    tiles = tiles[torch.randperm(len(tiles))]
    places = torch.full(kept.shape, -1)
    places[tiles.unbind(1)] = torch.arange(len(tiles))
    places = torch.nn.functional.pad(places, (1, 1, 1, 1), value=-1)
    image, row, column = tiles.unbind(1)
    neighbours = [places[image, row + dy, column + dx] for dy in range(3) for dx in range(3)]
    return tiles.int(), torch.stack(neighbours, 1).int()


def to_tiles(x: Tensor, tiles: Tensor) -> Tensor:
    """Maps (N, C, H, W) to (M, C, 16, 16), zero beyond the border."""
    height, width = x.shape[2:]
    x = torch.nn.functional.pad(x, (0, -width % SIDE, 0, -height % SIDE))
    image, row, column = tiles.long().unbind(1)
    return x.unflatten(3, (-1, SIDE)).unflatten(2, (-1, SIDE))[image, :, row, :, column].contiguous()


def to_maps(values: Tensor, tiles: Tensor, n: int, height: int, width: int) -> Tensor:
    """The way back, zero where there is no tile."""
    down, across = -(-height // SIDE), -(-width // SIDE)
    x = values.new_zeros(n, values.shape[1], down, SIDE, across, SIDE)
    image, row, column = tiles.long().unbind(1)
    x[image, :, row, :, column] = values
    return x.flatten(4).flatten(2, 3)[:, :, :height, :width]


def stencil_problem(
    size: tuple[int, int], classes: int = 3, dtype: torch.dtype = torch.float32, n: int = 2, fraction: float = 0.7
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Stencil, tiles, neighbours, diagonal, x, b, weight; the last four are zero beyond the image."""
    stencil, _ = _reference.matting_stencil(torch.rand(n, 3, *size, dtype=dtype), 1e-4, False)
    tiles, neighbours = tile_list(n, *size, fraction)
    marks = torch.where(torch.rand(n, 1, *size) < 0.1, 100.0, 0.0).to(dtype)
    diagonal, weight = (to_tiles(v, tiles)[:, 0].contiguous() for v in (marks, torch.rand_like(marks)))
    x, b = (to_tiles(torch.randn(n, classes, *size, dtype=dtype), tiles) for _ in range(2))
    return stencil, tiles, neighbours, diagonal, x, b, weight


def function_problem(
    tiles: int = 11, classes: int = 3, dtype: torch.dtype = torch.float32, largest: int = 5
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Basis and starts of up to ``largest`` basis functions a tile, z of them and x of the tiles."""
    counts = torch.randint(0, largest + 1, (tiles,))
    counts[0] = 0
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).int()
    basis = torch.randn(int(starts[-1]), SIDE, SIDE, dtype=dtype)
    return (
        basis,
        starts,
        torch.randn(len(basis), classes, dtype=dtype),
        torch.randn(tiles, classes, 16, 16, dtype=dtype),
    )


# Operators that read what they write over.
IN_PLACE = ("closedform_wsss::block_relax",)


def outcome(run: Callable[..., Any], op: Any, arguments: tuple[Any, ...]) -> Any:
    """What ``run``, the operator or its reference, returns for these arguments or writes into one of them.

    It is given a copy of that one, which starts as NaN unless the operator reads it.
    """
    schema = op.default._schema
    written = [i for i, a in enumerate(schema.arguments) if a.alias_info and a.alias_info.is_write]
    copy = torch.clone if schema.name in IN_PLACE else lambda a: torch.full_like(a, torch.nan)
    arguments = tuple(copy(a) if i in written else a for i, a in enumerate(arguments))
    result = run(*arguments)
    if written:
        return arguments[written[0]]
    return tuple(result) if isinstance(result, list) else result
