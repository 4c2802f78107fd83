"""Many threads, many processes, many calls: the same bits, and no memory left behind.

CFW_STRESS=20 in the environment makes 20 times as many calls in the search for leaks: 10 000 of each, 400 of
the two solvers.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from helpers.stress import CALLS, Images, inputs


@pytest.mark.parametrize("name", CALLS)
def test_many_python_threads_on_shared_inputs(name: str) -> None:
    """The kernels let other threads run: eight at once, on the same tensors."""
    shared = inputs()
    expected = CALLS[name](*shared)
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(lambda _: CALLS[name](*shared), range(64)):
            assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


# torch's softmax is not the same for every number of threads, and the solvers contain sums by torch.
EXACT = ("product", "soft_slic", "superpixel_pool", "asam")


@pytest.mark.parametrize("name", CALLS)
def test_no_dependence_on_the_number_of_threads(name: str, threads: None) -> None:
    results = []
    for number in (1, 2, 3, 8):
        torch.set_num_threads(number)
        results.append(CALLS[name](*inputs()))
    for got in results[1:]:
        for a, b in zip(got, results[0], strict=True):
            assert torch.equal(a, b) if name in EXACT else torch.allclose(a, b, atol=1e-5)


def test_spawned_workers() -> None:
    loader = torch.utils.data.DataLoader(Images(), num_workers=2, timeout=120, multiprocessing_context="spawn")
    expected = Images()[0]
    rows = [row for batch in loader for row in batch]
    assert len(rows) == 8 and all(torch.equal(row, expected) for row in rows)


# Room for the memory that torch allocates, and hardly any for that of the kernel's threads.
TOO_LITTLE = """
import resource, torch
from closedform_wsss import _ops
torch.set_num_threads(2)
x = torch.zeros(1, 8, 1500, 500)
stencil, _ = _ops.matting_stencil(x[:, :1], 1e-3, False)  # the threads are there from here on
in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + 7 * x.nbytes,) * 2)
try:
    _ops.matting_cg(stencil, torch.ones(1, 1500, 500), x, x, 1e-3, 2, 5, 8, 0.5, 0.9)
except RuntimeError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_thread_without_memory_is_an_error(tmp_path: Path) -> None:
    """An exception in a thread must not end the process."""
    done = subprocess.run(
        [sys.executable, "-c", TOO_LITTLE], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0 and "bad_alloc" in done.stdout, done.stderr


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", CALLS)
def test_no_leak(name: str) -> None:
    shared = [x[:1, ..., :16, :16].contiguous() for x in inputs()]
    calls = (20 if name in ("solve_matting", "matting_filter") else 500) * int(os.environ.get("CFW_STRESS", "1"))
    for _ in range(calls // 5):
        CALLS[name](*shared)
    gc.collect()
    before = resident()
    for _ in range(calls):
        CALLS[name](*shared)
    gc.collect()
    assert resident() - before < 400 * calls + (2 << 20)  # a map has 1 kB; 2 MiB are torch's own to and fro
