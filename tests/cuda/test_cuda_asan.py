"""The CUDA kernels, compiled for the CPU, under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import cuda_runner
import pytest

from closedform_wsss import _ops
from closedform_wsss._common.stencil_layout import stencil_shape

# Those of CFW_SANITIZE in CMakeLists.txt.
FLAGS = (
    "-fsanitize=address,undefined",
    "-fno-sanitize=null,object-size,pointer-overflow",
    "-fno-sanitize-recover=undefined",
)
EVERY_KERNEL = cuda_runner.HERE / "every_kernel.py"
KERNELS = {path.stem for path in (cuda_runner.ROOT / "csrc" / "cuda").glob("*.cu")} - {"versions"}


def libasan() -> str | None:
    """The sanitizer's library: loaded first, because python itself is not compiled with it."""
    if cuda_runner.why_not() is not None:
        return None
    command = ["g++", "-print-file-name=libasan.so"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return str(Path(found).resolve()) if Path(found).is_absolute() else None  # the bare name: there is none


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        libasan() is None, reason=cuda_runner.why_not() or "g++ has no address sanitizer on this machine"
    ),
]


@pytest.fixture(scope="module")
def module() -> Path:
    return cuda_runner.build(*FLAGS)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "LD_PRELOAD": libasan() or "",
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "OMP_NUM_THREADS": "1",
        # With the sanitizer's own malloc nothing is poisoned twice.
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": os.pathsep.join([str(cuda_runner.HERE.parent), *sys.path]),
    }
    command = (sys.executable, *command)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_no_kernel_reaches_beyond_its_memory(module: Path, tmp_path: Path) -> None:
    done = run(tmp_path, str(EVERY_KERNEL), "--runner", str(module))
    assert done.returncode == 0, done.stdout + done.stderr[-8000:]
    assert {line.split()[1].rstrip(":") for line in done.stdout.splitlines() if line.startswith("ok")} == KERNELS
    assert set(_ops.__all__) >= KERNELS


@pytest.mark.parametrize(
    "spoil, size, message",
    [
        ("", "(40, 50)", None),
        ("runner.shorten_shared(64)", "(40, 50)", "heap-buffer-overflow"),  # shared memory
        ("", "(50, 50)", "heap-buffer-overflow"),  # a tensor: the kernel is told of more rows than there are
    ],
)
def test_the_sanitizer_would_notice(module: Path, tmp_path: Path, spoil: str, size: str, message: str | None) -> None:
    # Without torch, which takes seconds under the sanitizer.
    values = 2 * 40 * 50, math.prod(stencil_shape(1, 40, 50))
    code = (
        "import ctypes, importlib.util\n"
        f"spec = importlib.util.spec_from_file_location({cuda_runner.NAME!r}, {str(module)!r})\n"
        "runner = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(runner)\n"
        f"x, y, stencil = [(ctypes.c_float * n)() for n in ({values[0]}, {values[0]}, {values[1]})]\n"
        f"{spoil}\n"
        "x_at, y_at, stencil_at = map(ctypes.addressof, (x, y, stencil))\n"
        f"runner.matting_product_cuda_f32(stencil_at, x_at, 0, y_at, 1, 2, *{size}, (0, 0))\n"
        "print('done')\n"
    )
    done = run(tmp_path, "-c", code)
    if message is None:
        assert done.returncode == 0 and done.stdout == "done\n", done.stderr
    else:
        assert done.returncode != 0 and f"AddressSanitizer: {message}" in done.stderr, done.stderr
