"""Each barrier of the CUDA kernels is needed: without it, results are wrong in one of the orders of the threads."""

from collections.abc import Callable, Iterator
from types import ModuleType

import cuda_runner
import pytest
import torch
from helpers.blocks import block_problem
from helpers.superpixels import association, cells
from helpers.tiles import function_problem, outcome, stencil_problem
from torch import Tensor

from closedform_wsss import _ops, _reference

pytestmark = pytest.mark.skipif(cuda_runner.why_not() is not None, reason=str(cuda_runner.why_not()))

ORDERS = (0, 1, 2)


def _matting_product() -> tuple[Tensor, ...]:
    stencil, _ = _ops.matting_stencil(torch.rand(1, 3, 20, 40, dtype=torch.float64), 1e-4, False)
    return stencil, torch.randn(1, 4, 20, 40, dtype=torch.float64), torch.rand(1, 20, 40, dtype=torch.float64)


def _matting_loss(residual: bool) -> tuple[Tensor | float | int | bool | str, ...]:
    stencil, x, row_sums = _matting_product()
    target = torch.where(torch.rand(1, 20, 40) < 0.3, torch.randint(4, (1, 20, 40)), 255)
    weight = torch.rand(1, 4, dtype=torch.float64) + 0.5
    return stencil, row_sums, x, target, weight, 10.0, 255, residual, "softmax", True


def _matting_cg() -> tuple[Tensor | float | int, ...]:
    """More pixels than a block has threads."""
    stencil, _ = _ops.matting_stencil(torch.rand(1, 3, 20, 40, dtype=torch.float64), 1e-3, False)
    diagonal, b = torch.rand(1, 20, 40, dtype=torch.float64) + 0.1, torch.randn(1, 2, 20, 40, dtype=torch.float64)
    return stencil, diagonal, b, torch.zeros_like(b), 0.0, 7, 5, 8, 0.5, 0.98


def _matting_chebyshev() -> tuple[Tensor | float | int, ...]:
    stencil, diagonal, b, start, *_ = _matting_cg()
    return stencil, diagonal, 1 / (9 + diagonal), b, start, 0.01, 1.0, 4


def _tile_product() -> tuple[Tensor | int, ...]:
    *arguments, x, _, _ = stencil_problem((20, 40), 4, torch.float64, n=1)
    return *arguments, x, x, 20, 40


def _tile_relax() -> tuple[Tensor | int, ...]:
    arguments = stencil_problem((20, 40), 4, torch.float64, n=1)
    return *arguments, arguments[4], 20, 40


def _tile_restrict() -> tuple[Tensor, ...]:
    basis, starts, z, x = function_problem(5)
    return basis, starts, x, z


def _tile_prolong() -> tuple[Tensor, ...]:
    basis, starts, z, x = function_problem(5)
    return basis, starts, z, x, x


def _block_product() -> tuple[Tensor, ...]:
    blocks = block_problem((2, 3), 5, torch.float64, largest=9)
    return *blocks.layout, blocks.r, blocks.r


def _block_relax() -> tuple[Tensor | bool, ...]:
    blocks = block_problem((2, 3), 5, torch.float64, largest=9)
    return *blocks.sweep, blocks.r, blocks.r, False


def _lattice() -> tuple[Tensor, ...]:
    """Values of pixels, and a lattice."""
    lattice = _reference.lattice_build(torch.rand(1, 3, 9, 14, dtype=torch.float64), 4.0, 0.3)[:3]
    return torch.randn(1, 9 * 14, 5, dtype=torch.float64), *lattice


# Four cells, of more pixels than a block takes at a time; more classes than find room in shared memory.
H, W, S, CHANNELS = 21, 24, 20, 70


def _x() -> Tensor:
    return torch.randn(1, CHANNELS, H, W, dtype=torch.float64)


def _s() -> Tensor:
    return torch.randn(1, CHANNELS, *cells(H, W, S), dtype=torch.float64)


def _near(channels: int = CHANNELS) -> tuple[Tensor, Tensor, int]:
    """Features and centres with no weight near 0 or 1."""
    return 0.1 * _x()[:, :channels].contiguous(), 0.1 * _s()[:, :channels].contiguous(), S


# Operator: its arguments, from before the runner takes over.
PROBLEMS: dict[str, Callable[[], tuple[Tensor | float | int | bool | str, ...]]] = {
    "matting_stencil": lambda: (torch.rand(1, 3, 9, 20, dtype=torch.float64), 1e-3, False),
    "matting_stencil learning-based": lambda: (torch.rand(1, 3, 9, 20, dtype=torch.float64), 1e-3, True),
    "matting_product": _matting_product,
    "matting_cg": _matting_cg,
    "matting_chebyshev": _matting_chebyshev,
    "matting_loss": lambda: _matting_loss(residual=False),
    "matting_loss residual": lambda: _matting_loss(residual=True),
    "tile_product": _tile_product,
    "tile_relax": _tile_relax,
    "superpixel_pool": lambda: (_x(), association(1, H, W, S), S),
    "superpixel_unpool": lambda: (_s(), association(1, H, W, S), S),
    "superpixel_dot": lambda: (_x(), _s(), S),
    "superpixel_assign": _near,
    "superpixel_update": _near,
    "asam_affinity": lambda: (association(1, H, W, S), S),
}
WITHOUT_BARRIERS: dict[str, Callable[[], tuple[Tensor | float | int | bool | str, ...]]] = {
    "lattice_filter": lambda: (*_lattice(), False),
    "lattice_mean_field": lambda: (_lattice()[0].transpose(1, 2), *_lattice()[1:], 2),
    "tile_restrict": _tile_restrict,
    "tile_prolong": _tile_prolong,
    "block_product": _block_product,
    "block_relax": _block_relax,
    "asam_steps": lambda: (torch.randn(1, 25, 3, 5), torch.randn(1, 5, 3, 5), 3, 0.9, 0.1, True, True),
}


@pytest.fixture
def runner() -> Iterator[ModuleType]:
    module = cuda_runner.load(cuda_runner.build())
    yield module
    module.drop_barrier("")
    module.set_order(0)


def _right(runner: ModuleType, name: str, arguments: tuple[Tensor | float | int | bool | str, ...], order: int) -> bool:
    runner.set_order(order)
    name = name.split()[0]
    op = getattr(_ops, name)
    with cuda_runner.in_place_of_cpu_kernels(runner):
        try:
            got = outcome(op, op, arguments)
        except RuntimeError as error:  # threads wait at different barriers
            assert "cuda_runner" in str(error)
            return False
    expected = outcome(getattr(_reference, name), op, arguments)
    results = zip(got, expected, strict=True) if isinstance(got, tuple) else [(got, expected)]
    return all(torch.allclose(a, b, rtol=1e-5, atol=1e-5) for a, b in results)


@pytest.mark.parametrize("name", [*PROBLEMS, *WITHOUT_BARRIERS])
def test_each_barrier_is_needed(runner, name):
    arguments = (PROBLEMS | WITHOUT_BARRIERS)[name]()
    runner.forget_barriers()
    assert all(_right(runner, name, arguments, order) for order in ORDERS)
    barriers = runner.barriers()
    assert bool(barriers) == (name in PROBLEMS)
    for barrier in barriers:
        runner.drop_barrier(barrier)
        assert not all(_right(runner, name, arguments, order) for order in ORDERS), f"{barrier} is not needed"


def test_warps_that_add_nothing(runner):
    """Of three features one warp adds up what all warps have assigned."""
    arguments = _near(3)
    runner.forget_barriers()
    assert all(_right(runner, "superpixel_update", arguments, order) for order in ORDERS)
    barriers = [barrier for barrier in runner.barriers() if "superpixel_update.cu" in barrier]
    assert len(barriers) == 2
    for barrier in barriers:
        runner.drop_barrier(barrier)
        assert not all(_right(runner, "superpixel_update", arguments, order) for order in ORDERS), barrier
