"""Run every operator that has a CUDA kernel on a few odd sizes and compare with its reference implementation.

    python tests/cuda_runner/every_kernel.py                 the kernels compiled for the CPU
    python tests/cuda_runner/every_kernel.py --device cuda   real launches, for compute-sanitizer

A program of its own, because sanitizers watch a whole process. Exit status 1 if a result is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from closedform_wsss import _C, _ops, _reference
from closedform_wsss._common.activation import NUMBER
from closedform_wsss._common.stencil_layout import stencil_planes
from closedform_wsss._common.superpixel_grid import grid_size

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers import blocks, tiles

EPS, CELL = 1e-4, 5
# Below a tile or a cell in one direction, a pixel more than one, several and a rest.
SIZES = ((3, 3), (17, 33), (3, 70), (41, 5), (34, 65))
# Relative to the largest value.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}
Arguments = tuple[Any, ...]


def _q(n: int, size: tuple[int, int], **options: Any) -> Tensor:
    return torch.rand(n, 9, *size, **options).softmax(1)


def _grid(size: tuple[int, int]) -> tuple[int, int]:
    return grid_size(*size, CELL)


def cases(name: str, n: int, classes: int, size: tuple[int, int], **options: Any) -> Iterator[Arguments]:
    """Arguments of the operator of that name; inputs come from plain PyTorch."""
    x = torch.randn(n, classes, *size, **options)
    cells = torch.randn(n, classes, *_grid(size), **options)
    if name == "matting_stencil":
        for channels in (1, 3):
            for learning_based in (False, True):
                yield torch.rand(n, channels, *size, **options), EPS, learning_based
    elif name == "matting_product":
        stencil, _ = _reference.matting_stencil(torch.rand(n, 3, *size, **options), EPS, False)
        yield stencil, x, None
        yield stencil, x, torch.rand(n, *size, **options)
        if x.dtype == torch.float32:  # read as it is
            yield stencil, x.half(), None
            yield stencil, x.bfloat16(), None
    elif name == "matting_cg":
        stencil, _ = _reference.matting_stencil(torch.rand(n, 3, *size, **options), EPS, False)
        diagonal = torch.rand(n, *size, **options) + 0.5
        for tol, max_iter in ((0.0, 4), (0.3, 10)):
            yield stencil, diagonal, x, torch.rand_like(x), tol, max_iter, 3, 8, 0.5, 0.9
    elif name == "matting_chebyshev":
        stencil, _ = _reference.matting_stencil(torch.rand(n, 3, *size, **options), EPS, False)
        diagonal = torch.rand(n, *size, **options) + 0.5
        for num_iters in (1, 2, 7):
            yield stencil, diagonal, 1 / (9 + diagonal), x, torch.rand_like(x), 0.05, 1.0, num_iters
    elif name == "matting_loss":
        stencil, row_sums = _reference.matting_stencil(torch.rand(n, 3, *size, **options), EPS, True)
        target = torch.randint(0, classes, (n, *size), device=x.device)
        target[torch.rand(n, *size, device=x.device) < 0.9] = 255
        weight = torch.rand(n, classes, **options)
        weight[:, 1::4] = 0
        for residual in (False, True):
            for activation in NUMBER:
                for with_gradient in (False, True):
                    options_of_loss = (100.0, 255, residual, activation, with_gradient)
                    yield stencil, None, x, target, weight, *options_of_loss
                    yield stencil, row_sums, x, target, weight, *options_of_loss
            if x.dtype == torch.float32:  # read as it is
                yield stencil, None, x.half(), target, weight, 100.0, 255, residual, "softmax", True
                yield stencil, None, x.bfloat16(), target, weight, 100.0, 255, residual, "softmax", True
    elif name in ("tile_product", "tile_relax"):
        with torch.device(x.device):
            stencil, *which, diagonal, x, b, weight = tiles.stencil_problem(size, classes, x.dtype, n)
        for d in (None, diagonal):
            yield stencil, *which, d, x, *((b, weight) if name == "tile_relax" else ()), x, *size
            if name == "tile_product" and x.dtype == torch.float64:
                yield stencil.float(), *which, d, x, x, *size
    elif name in ("tile_restrict", "tile_prolong"):
        with torch.device(x.device):
            basis, starts, z, x = tiles.function_problem(n * classes, classes, x.dtype)
        yield (basis, starts, x, z) if name == "tile_restrict" else (basis, starts, z, x, x)
    elif name in ("block_product", "block_relax"):
        with torch.device(x.device):
            problem = blocks.block_problem((2 + size[0] // 16, 2 + size[1] // 16), classes, x.dtype, n=n)
        if name == "block_product":
            yield *problem.layout, problem.r, problem.r
        else:
            for backward in (False, True):
                yield *problem.sweep, problem.r, problem.r, backward
    elif name == "superpixel_pool":
        yield x, _q(n, size, **options), CELL
    elif name == "superpixel_unpool":
        yield cells, _q(n, size, **options), CELL
    elif name in ("superpixel_dot", "superpixel_assign", "superpixel_update"):
        yield x, cells, CELL
    elif name == "asam_affinity":
        yield _q(n, size, **options), CELL
    elif name == "asam_steps":
        affinity = torch.rand(n, 25, *_grid(size), **options) / 25
        for transposed in (False, True):
            for num_steps, keep in ((1, False), (2, False), (3, False), (3, True)):
                yield affinity, cells, num_steps, 0.9, 0.1, transposed, keep
    elif name in ("lattice_filter", "lattice_mean_field"):
        lattice = _reference.lattice_build(torch.rand(n, 3, *size, **options), 4.0, 0.3)[:3]
        for option in (True, False) if name == "lattice_filter" else (0, 2):
            values = x.flatten(2)
            yield values.transpose(1, 2) if name == "lattice_filter" else values, *lattice, option
    else:
        raise ValueError(f"cases: name must be an operator, got {name}")


def error(name: str, arguments: Arguments) -> float:
    """Largest difference between kernel and reference, relative to the largest value."""
    op = getattr(_ops, name)
    ours, references = (tiles.outcome(run, op, arguments) for run in (op, getattr(_reference, name)))
    pairs = zip(ours, references, strict=True) if isinstance(ours, tuple) else [(ours, references)]
    worst = 0.0
    for own, reference in pairs:
        if name == "matting_stencil" and own.ndim == 4:  # the columns that pad a row hold anything
            width = arguments[0].shape[-1]
            own, reference = stencil_planes(own, width), stencil_planes(reference, width)
        if reference.numel():
            # The sums of a row of L are what is left of numbers of about 1.
            scale = 1.0 if name == "matting_stencil" else float(reference.abs().max()) or 1.0
            difference = float((own - reference).abs().max() / scale)
            worst = max(worst, difference if difference == difference else float("inf"))
    return worst


def check(name: str, device: str) -> bool:
    """All sizes and dtypes of one operator."""
    worst = dict.fromkeys(TOLERANCE, 0.0)
    for dtype in TOLERANCE:
        for n, classes, size in ((1, 1, SIZES[0]), *((2, 3, size) for size in SIZES), (1, 21, SIZES[1])):
            for arguments in cases(name, n, classes, size, dtype=dtype, device=device):
                worst[dtype] = max(worst[dtype], error(name, arguments))
    good = all(worst[dtype] < TOLERANCE[dtype] for dtype in TOLERANCE)
    texts = ", ".join(f"{str(dtype)[6:]} {value:.0e}" for dtype, value in worst.items())
    print(f"{'ok' if good else 'WRONG'} {name}: {texts}", flush=True)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--runner", type=Path, metavar="FILE", help="a build of the kernels for the CPU")
    parser.add_argument("--only", nargs="+", choices=_ops.__all__, default=_ops.__all__, help="some operators only")
    args = parser.parse_args()
    torch.manual_seed(0)
    with contextlib.ExitStack() as stack:
        if args.device == "cpu":
            import cuda_runner

            kernels: Any = cuda_runner.load(args.runner or cuda_runner.build())
            stack.enter_context(cuda_runner.in_place_of_cpu_kernels(kernels))
        else:
            kernels = _C
        names = [name for name in args.only if hasattr(kernels, f"{name}_cuda_f32")]
        for name in sorted(set(args.only) - set(names)):
            print(f"absent {name}")
        results = [check(name, args.device) for name in names]
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
