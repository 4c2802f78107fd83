from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import cuda_runner
import pytest
import torch

from closedform_wsss import _C
from closedform_wsss.solver import tile_solver
from closedform_wsss.solver.multigrid import w_cycle

# pymatting compiles all of its functions when it is imported first, 40 s and more. Tests give it tiny images.
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
    ),
]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


CUDA_RUNNER = pytest.param(
    "cuda_runner", marks=pytest.mark.skipif(cuda_runner.why_not() is not None, reason=str(cuda_runner.why_not()))
)


@pytest.fixture(params=[*_C.levels(), CUDA_RUNNER, DEVICES[1]])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test once with the kernels of every instruction-set level that this machine has, with the CUDA kernels on
    the CPU, and on a GPU."""
    if request.param == "cuda":
        if "device" in request.fixturenames:
            pytest.skip("the parameter `device` runs this on the GPU")
        torch.set_default_device("cuda")
        yield request.param
        torch.set_default_device(None)
        return
    if request.param == "cuda_runner":
        with cuda_runner.in_place_of_cpu_kernels():
            yield request.param
        return
    before = _C.level()
    _C.set_level(request.param)
    yield request.param
    _C.set_level(before)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def threads() -> Iterator[None]:
    """Put torch's number of threads back afterwards."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small_levels(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[w_cycle.WCycle]]:
    """Let images of a dozen tiles have several coarse levels, as large ones do. The coarse levels that a test makes."""
    monkeypatch.setattr(w_cycle, "MAX_COARSEST", 60)
    monkeypatch.setattr(w_cycle, "MAX_COARSEST_DENSE", 60)
    made = []

    def make(*arguments: Any) -> w_cycle.WCycle:
        made.append(w_cycle.WCycle(*arguments))
        return made[-1]

    monkeypatch.setattr(tile_solver, "WCycle", make)
    yield made
    assert all(coarse.levels for coarse in made), "the images are too small"


@pytest.fixture(params=["one level", "small levels"])
def any_levels(request: pytest.FixtureRequest) -> None:
    """Run a test once as it is, where the first coarse level is solved directly, and once with :func:`small_levels`."""
    if request.param == "small levels":
        request.getfixturevalue("small_levels")


@pytest.fixture
def products() -> Iterator[None]:
    """Put torch's precision of float32 products back afterwards."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)
