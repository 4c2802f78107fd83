"""The operators of the permutohedral lattice; ``csrc/common/lattice.h`` says what its arrays hold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from closedform_wsss import _reference
from closedform_wsss._build import num_threads
from closedform_wsss._ops import _define
from closedform_wsss._ops._define import define, define_gradient, launch

LATTICE = "Tensor indices, Tensor weights, Tensor neighbours"
EIGHT = 8  # channels that the kernels work on together


# --- lattice_build: image (N, D, H, W) -> the arrays of its lattice, and how many rows each image uses ----------------
# Rows beyond those hold anything: the other operators must not see them (lattice/lattice.py).


def _build(image: Tensor, position_sigma: float, color_sigma: float) -> list[Tensor]:
    if image.is_cuda:  # sorts and searches of torch
        return _reference.lattice_build(image, position_sigma, color_sigma)
    image = image.contiguous()
    arrays = _build_fake(image, position_sigma, color_sigma)
    launch("lattice_build", image, image, position_sigma, color_sigma, *arrays, *image.shape)
    return arrays


def _build_fake(image: Tensor, position_sigma: float, color_sigma: float) -> list[Tensor]:
    n, d, h, w = image.shape
    p, k = h * w, d + 3

    def integers(*shape: int) -> Tensor:
        return image.new_empty(shape, dtype=torch.int32)

    return [integers(n, p, k), image.new_empty(n, p, k), integers(n, k, p * k + 1, 2), integers(n)]


lattice_build = define(
    "lattice_build",
    "(Tensor image, float position_sigma, float color_sigma) -> Tensor[]",
    _build,
    _reference.lattice_build,
    _build_fake,
)


# --- lattice_filter: y = W x or W^T x, x (N, P, C) --------------------------------------------------------------------


def _arguments(
    like: Tensor, n: int, indices: Tensor, weights: Tensor, neighbours: Tensor
) -> tuple[list[Any], int, tuple[int, ...]]:
    """What both kernels take: the arrays of the lattice; for how many images at a time there must be memory; sizes."""
    arrays = [indices.contiguous(), weights.contiguous(), neighbours.contiguous()]
    threads = num_threads()
    slots = 1 if like.is_cuda or n < 2 * threads else threads
    return [*arrays, *_lists(indices, neighbours.shape[2])], slots, (indices.shape[2], neighbours.shape[1], slots)


def _lists(indices: Tensor, rows: int) -> tuple[Tensor | None, Tensor | None]:
    """Where rows gather from pixels: the start of each row's list, ``(N, R + 1)``, and the lists, ``(N, P K)``."""
    if indices.device.type not in _define.GATHER:
        return None, None
    ordered, entries = indices.flatten(1).sort(dim=1, stable=True)
    every = torch.arange(rows + 1, dtype=indices.dtype, device=indices.device).expand(len(indices), -1).contiguous()
    return torch.searchsorted(ordered, every, out_int32=True), entries.to(torch.int32)


def _filter(x: Tensor, indices: Tensor, weights: Tensor, neighbours: Tensor, transposed: bool) -> Tensor:
    rest = -x.shape[2] % EIGHT
    padded = torch.nn.functional.pad(x, (0, rest)) if rest else x.contiguous()
    y = torch.empty_like(padded, memory_format=torch.contiguous_format)
    n, p, c = padded.shape
    arrays, slots, sizes = _arguments(padded, n, indices, weights, neighbours)
    rows = neighbours.shape[2]
    scratch = padded.new_empty(slots, 2, rows, c)
    launch("lattice_filter", padded, padded, *arrays, scratch, y, transposed, n, p, rows, c, *sizes)
    return y[:, :, : x.shape[2]].contiguous()


def _filter_fake(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


lattice_filter = define(
    "lattice_filter",
    f"(Tensor x, {LATTICE}, bool transposed) -> Tensor",
    _filter,
    _reference.lattice_filter,
    _filter_fake,
)


def _filter_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, *arrays, ctx.transposed = inputs
    ctx.save_for_backward(*arrays)


def _filter_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """The transpose, which blurs along the axes in the other order. The lattice is a constant."""
    return lattice_filter(grad, *ctx.saved_tensors, not ctx.transposed), *([None] * 4)


define_gradient("lattice_filter", _filter_backward, _filter_setup)


# --- lattice_mean_field: q = softmax(unary + W q), repeated, all (N, C, P) --------------------------------------------


def _mean_field(unary: Tensor, indices: Tensor, weights: Tensor, neighbours: Tensor, iterations: int) -> Tensor:
    unary = unary.contiguous()
    q = torch.empty_like(unary, memory_format=torch.contiguous_format)
    n, classes, p = unary.shape
    arrays, slots, sizes = _arguments(unary, n, indices, weights, neighbours)
    rows, channels = neighbours.shape[2], -(-classes // EIGHT) * EIGHT
    pixels, scratch = unary.new_empty(slots, 2, p, channels), unary.new_empty(slots, 3, rows, channels)
    launch("lattice_mean_field", unary, unary, *arrays, pixels, scratch, q, iterations, n, p, rows, classes, *sizes)
    return q


lattice_mean_field = define(
    "lattice_mean_field",
    f"(Tensor unary, {LATTICE}, int iterations) -> Tensor",
    _mean_field,
    _reference.lattice_mean_field,
    _filter_fake,
)
