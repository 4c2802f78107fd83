"""The compiled extension: load it, and say what it is."""

from __future__ import annotations

import os

from closedform_wsss import _C

# libgomp cannot start threads in a forked child of a process that already used them: it waits for threads that were not
# forked along. In a child the kernels run on one thread, which never enters the OpenMP runtime.
_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def num_threads() -> int:
    """Threads that a kernel uses now: torch's setting, or one in a forked child (a ``DataLoader`` worker)."""
    import torch

    return 1 if _forked else torch.get_num_threads()


def build_info() -> dict[str, str | int | bool | list[str]]:
    """What was built and what runs on this machine.

    Returns:
        A flat dictionary: ``version``, ``compiler``, ``openmp``, ``simd`` (the instruction-set level in use),
        ``simd_available`` (those this machine can run), ``cuda`` (whether CUDA kernels were built; on a CUDA tensor
        the plain-PyTorch path runs otherwise) and ``threads``.

    Example:
        >>> import closedform_wsss
        >>> info = closedform_wsss.build_info()
        >>> info["simd"] in info["simd_available"]
        True
    """
    return {
        "version": _C.version,
        "compiler": _C.compiler,
        "openmp": _C.openmp,
        "simd": _C.level(),
        "simd_available": _C.levels(),
        "cuda": False,
        "threads": num_threads(),
    }
