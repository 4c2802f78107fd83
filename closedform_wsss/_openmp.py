"""The OpenMP runtime of this process: torch's. Two of them would each keep threads of their own.

torch brings GCC's runtime in its wheels for Linux, but not under one name: ``libgomp.so.1`` on x86-64, a name with a
hash on aarch64. So the extension is not linked with it. Its functions come from the runtime that is already there; to
import this module makes them visible.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path

import torch  # noqa: F401  (which loads its runtime)


def _share_with_torch() -> None:
    """Let libraries that are loaded from now on see the functions of the libgomp that torch has loaded, or, if it has
    none, of the system's."""
    if sys.platform != "linux":
        return
    with suppress(OSError):  # no /proc; no libgomp: the import of the extension says so
        ctypes.CDLL(_loaded() or "libgomp.so.1", mode=ctypes.RTLD_GLOBAL)


def _loaded() -> str | None:
    """The file of the libgomp in this process; torch's, if another package has brought one too."""
    maps = Path("/proc/self/maps").read_text(errors="surrogateescape")  # as ctypes encodes a path again
    files = {line.split(maxsplit=5)[-1] for line in maps.splitlines()}
    found = sorted(file for file in files if Path(file).name.startswith("libgomp"))
    of_torch = [file for file in found if {"torch", "torch.libs"} & set(Path(file).parts)]
    return next(iter(of_torch + found), None)


_share_with_torch()
