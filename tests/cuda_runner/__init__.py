"""The CUDA kernels on the CPU: built by the C++ compiler, used by operators in place of the CPU's."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from closedform_wsss._ops import _define

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NAME = "cfw_cuda_runner"


@functools.cache
def why_not() -> str | None:
    """Why the runner cannot be built here, if it cannot."""
    if not sys.platform.startswith("linux"):
        return "the runner of CUDA kernels needs Linux (ucontext)"
    if not (ROOT / "csrc" / "cuda").is_dir():
        return "the sources of the CUDA kernels are not here"
    if shutil.which("g++") is None:
        return "the runner of CUDA kernels needs g++"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "the runner of CUDA kernels needs Python.h"
    return None


def build(*flags: str) -> Path:
    """Compile the module, once for each state of its sources; return its file."""
    # versions.cu asks the driver; all others hold kernels.
    kernels = [file for file in sorted((ROOT / "csrc" / "cuda").glob("*.cu")) if file.stem != "versions"]
    sources = [*kernels, *sorted((ROOT / "csrc").rglob("*.h")), *HERE.glob("*.h"), *HERE.glob("*.cpp")]
    state = hashlib.sha256("\0".join(flags).encode() + sys.version.encode())
    for source in sources:
        state.update(source.read_bytes())
    folder = Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}" / state.hexdigest()[:16]
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    module = folder / f"{NAME}{suffix}"
    if module.exists():
        return module
    folder.mkdir(parents=True, exist_ok=True)
    include = [HERE, ROOT / "csrc", sysconfig.get_path("include")]
    # -O1: the fibers' switches are what takes the time. Unknown pragmas: `unroll`.
    common = [
        "g++",
        "-std=c++17",
        "-O1",
        "-g1",
        "-fPIC",
        "-Wall",
        "-Wextra",
        "-Wno-unknown-pragmas",
        "-Wno-clobbered",  # getcontext counts as setjmp
        "-DCFW_CUDA_RUNNER",
    ]
    common += [*flags, *(f"-I{path}" for path in include)]
    objects, jobs = [], []
    for source in [*kernels, HERE / "module.cpp"]:
        objects.append(folder / f"{source.stem}.{os.getpid()}.o")
        jobs.append(subprocess.Popen([*common, "-x", "c++", "-c", source, "-o", objects[-1]]))
    if any(job.wait() for job in jobs):
        raise RuntimeError("the runner of CUDA kernels does not compile")
    partial = folder / f"{os.getpid()}.so"
    subprocess.run(["g++", "-shared", *flags, *objects, "-o", partial], check=True)
    for file in objects:
        file.unlink()
    partial.replace(module)  # another process may be building it too
    return module


@functools.cache
def load(module: Path) -> ModuleType:
    import importlib.util

    spec = importlib.util.spec_from_file_location(NAME, module)
    assert spec is not None and spec.loader is not None
    runner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    return runner


class Kernels:
    """Takes the place of the compiled extension: CPU tensors go to the CUDA kernels, if there are any, those of a GPU
    there as ever."""

    def __init__(self, runner: ModuleType, extension: ModuleType) -> None:
        self.runner, self.extension = runner, extension
        self.called: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        kernel, _, suffix = name.rpartition("_")
        if kernel.endswith("_cuda") or not hasattr(self.runner, f"{kernel}_cuda_{suffix}"):
            return getattr(self.extension, name)

        def call(*arguments: Any) -> None:
            self.called.add(kernel)
            getattr(self.runner, f"{kernel}_cuda_{suffix}")(*arguments[:-1], (0, 0))  # a queue in place of the threads

        return call


@contextlib.contextmanager
def in_place_of_cpu_kernels(runner: ModuleType | None = None) -> Iterator[Kernels]:
    """Operators on CPU tensors run the CUDA kernels."""
    kernels = Kernels(runner or load(build()), _define._C)
    before = _define._C, _define.READ_HALF, _define.GATHER
    _define._C, _define.READ_HALF, _define.GATHER = kernels, ("cuda", "cpu"), ("cuda", "cpu")
    try:
        yield kernels
    finally:
        _define._C, _define.READ_HALF, _define.GATHER = before
