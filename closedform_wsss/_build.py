"""The compiled extension: load it, and say what it is."""

from __future__ import annotations

import multiprocessing
import os

from closedform_wsss import _C, _cuda


# libgomp cannot start threads in a forked child of a process that already used them: it waits for threads that were not
# forked along. In a child the kernels run on one thread, which never enters the OpenMP runtime.
def _was_forked() -> bool:
    """Whether this process is a fork by ``multiprocessing``: one made before the import of this module."""
    if multiprocessing.parent_process() is None:
        return False
    of_process = getattr(multiprocessing.current_process(), "_start_method", None)
    return (of_process or multiprocessing.get_start_method(allow_none=True)) == "fork"


_forked = _was_forked()


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def num_threads() -> int:
    """Threads that a kernel uses now: torch's setting, or one in a forked child (a ``DataLoader`` worker)."""
    import torch

    return 1 if _forked else torch.get_num_threads()


def cuda_in_use() -> bool:
    """Whether CUDA tensors go to the CUDA kernels: these were built, and torch's devices are CUDA's (not ROCm's)."""
    return _cuda.why_not_registered() is None


def build_info() -> dict[str, str | int | bool | list[str]]:
    """What was built and what runs on this machine.

    Returns:
        A flat dictionary: ``version``, ``compiler``, ``openmp``, ``simd`` (the instruction-set level in use),
        ``simd_available`` (those this machine can run), ``cuda`` (whether CUDA kernels were built), ``cuda_toolkit``
        (the release that they were built with, or ``"none"``), ``cuda_architectures`` (for which, named as
        ``torch.cuda.get_arch_list()`` does), ``cuda_driver`` (the CUDA release that the driver knows, or ``"none"``),
        ``cuda_kernels`` (``"used"``, or why not) and ``threads``. Where torch sees a GPU, the call starts CUDA in this
        process: fork workers before it.

    Example:
        >>> import closedform_wsss
        >>> info = closedform_wsss.build_info()
        >>> info["simd"] in info["simd_available"]
        True
    """
    why_not = _cuda.why_not()
    return {
        "version": _C.version,
        "compiler": _C.compiler,
        "openmp": _C.openmp,
        "simd": _C.level(),
        "simd_available": _C.levels(),
        "cuda": _C.cuda,
        "cuda_toolkit": _C.cuda_version or "none",
        "cuda_architectures": _C.cuda_architectures,
        "cuda_driver": _cuda.release(driver) if (driver := _C.cuda_driver_version()) else "none",
        "cuda_kernels": "used" if why_not is None else f"not used: {why_not}",
        "threads": num_threads(),
    }
