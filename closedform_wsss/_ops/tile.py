"""The operators of the solver on maps in tiles (csrc/common/tile_layout.h).

They write into memory of the caller: a solve calls them some hundred times on the same few maps, and allocating new
memory takes as long as the kernels. None has a gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from closedform_wsss import _reference
from closedform_wsss._ops._define import define, launch

# --- tile_product: y = (L + diagonal) x; the stencil may be float32 and all else float64 ------------------------------


def _tile_product(
    stencil: Tensor, tiles: Tensor, neighbours: Tensor, diagonal: Tensor | None, x: Tensor, y: Tensor, h: int, w: int
) -> None:
    name = "tile_product" if stencil.dtype == x.dtype else "tile_product_mixed"
    launch(name, x, stencil, tiles, neighbours, diagonal, x, y, *x.shape[:2], h, w)


tile_product = define(
    "tile_product",
    "(Tensor stencil, Tensor tiles, Tensor neighbours, Tensor? diagonal, Tensor x, Tensor(a!) y, int h, int w) -> ()",
    _tile_product,
    _reference.tile_product,
    lambda *_: None,
)


# --- tile_relax: y = x + weight (b - (L + diagonal) x) ----------------------------------------------------------------


def _tile_relax(
    stencil: Tensor,
    tiles: Tensor,
    neighbours: Tensor,
    diagonal: Tensor | None,
    x: Tensor,
    b: Tensor,
    weight: Tensor,
    y: Tensor,
    h: int,
    w: int,
) -> None:
    launch("tile_relax", x, stencil, tiles, neighbours, diagonal, x, b, weight, y, *x.shape[:2], h, w)


tile_relax = define(
    "tile_relax",
    "(Tensor stencil, Tensor tiles, Tensor neighbours, Tensor? diagonal, Tensor x, Tensor b, Tensor weight,"
    " Tensor(a!) y, int h, int w) -> ()",
    _tile_relax,
    _reference.tile_relax,
    lambda *_: None,
)


# --- tile_restrict and tile_prolong: z = P^T x and y = x + P z, P with the columns `basis` ----------------------------


def _tile_restrict(basis: Tensor, starts: Tensor, x: Tensor, z: Tensor) -> None:
    launch("tile_restrict", x, basis, starts, x, z, *x.shape[:2])


tile_restrict = define(
    "tile_restrict",
    "(Tensor basis, Tensor starts, Tensor x, Tensor(a!) z) -> ()",
    _tile_restrict,
    _reference.tile_restrict,
    lambda *_: None,
)


def _tile_prolong(basis: Tensor, starts: Tensor, z: Tensor, x: Tensor, y: Tensor) -> None:
    launch("tile_prolong", x, basis, starts, z, x, y, *x.shape[:2])


tile_prolong = define(
    "tile_prolong",
    "(Tensor basis, Tensor starts, Tensor z, Tensor x, Tensor(a!) y) -> ()",
    _tile_prolong,
    _reference.tile_prolong,
    lambda *_: None,
)


# --- tile_energy: x^T L x of basis functions in cells of 4 x 4 pixels, in a tile and across its interfaces ------------


def _tile_energy(
    image: Tensor,
    basis: Tensor,
    anchor_tiles: Tensor,
    corner_tiles: Tensor,
    eps: float,
    learning_based: bool,
    interfaces: bool,
) -> tuple[Tensor, ...]:
    if image.is_cuda:  # once a solve: the few large products of the reference are fast enough
        return _reference.tile_energy(image, basis, anchor_tiles, corner_tiles, eps, learning_based, interfaces)
    _, d, h, w = image.shape
    image, basis, anchor_tiles, corner_tiles = (
        part.contiguous() for part in (image, basis, anchor_tiles, corner_tiles)
    )
    energies = _tile_energy_fake(image, basis, anchor_tiles, corner_tiles, eps, learning_based, interfaces)
    for energy in energies:
        energy.zero_()
    wanted: tuple[Any, ...] = (None, *energies) if interfaces else (energies[0], None, None, None)
    arguments = (image, basis, anchor_tiles, corner_tiles, *wanted, len(anchor_tiles), d, h, w, eps, learning_based)
    launch("tile_energy", image, *arguments)
    return energies


def _tile_energy_fake(
    image: Tensor,
    basis: Tensor,
    anchor_tiles: Tensor,
    corner_tiles: Tensor,
    eps: float,
    learning_based: bool,
    interfaces: bool,
) -> tuple[Tensor, ...]:
    m, k = anchor_tiles.shape[0], image.shape[1] + 1
    sizes = (8 * k, 8 * k, 4 * k) if interfaces else (16 * k,)
    return tuple(image.new_empty(m, size, size, dtype=torch.float64) for size in sizes)


tile_energy = define(
    "tile_energy",
    "(Tensor image, Tensor basis, Tensor anchor_tiles, Tensor corner_tiles, float eps, bool learning_based,"
    " bool interfaces) -> Tensor[]",
    lambda *arguments: list(_tile_energy(*arguments)),
    lambda *arguments: list(_reference.tile_energy(*arguments)),
    lambda *arguments: list(_tile_energy_fake(*arguments)),
)
