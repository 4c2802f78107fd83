from __future__ import annotations

from collections.abc import Iterator

import cuda_runner
import pytest
import torch

from closedform_wsss import _C

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
