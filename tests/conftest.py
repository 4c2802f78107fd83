from __future__ import annotations

from collections.abc import Iterator

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


@pytest.fixture(params=_C.levels())
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test once with the kernels of every instruction-set level that this machine has."""
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
