"""Records calls of the CPU kernels here, and replays them on systems that have no Python and no torch.

The calls are those of ``python -m closedform_wsss.selftest``, which compares each with its reference. ``replay.cpp``
links the kernels alone, so any C++ compiler builds it for any system::

    python tests/replay calls.bin
    python tests/replay --sources    (what to compile beside replay.cpp)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, BinaryIO
from unittest import mock

import torch
from torch import Tensor

from closedform_wsss import _C, _ops, selftest
from closedform_wsss._ops import _define

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EACH = 4  # calls of one kernel that are kept: the first with new numbers
NAMES = {torch.float32: "f32", torch.float64: "f64"}
SCRATCH = {"parts", "partial_sums", "pairs", "scratch", "pixels"}  # parameters whose contents are nobody's result
READ_BEYOND = 256  # bytes behind an array that a kernel may read, where the memory goes on


def kernels() -> set[str]:
    """The names of all CPU kernels of the module."""
    return {name for name in dir(_C) if re.search(r"_(f32|f64|f16|bf16)$", name) and "_cuda_" not in name}


def parameters() -> dict[str, list[str]]:
    """The names of the parameters of each kernel, from its declaration."""
    text = re.sub(r"/\*.*?\*/|\\\n", "", (ROOT / "csrc" / "cpu" / "kernels.h").read_text("utf-8"), flags=re.S)
    found = re.findall(r"\bvoid (\w+)\((.*?)\);", text, re.S)
    return {name: [one.split()[-1].lstrip("*") for one in listed.split(",")] for name, listed in found}


def sources() -> list[Path]:
    """What a program with all kernels of one level consists of."""
    return [*sorted((ROOT / "csrc" / "cpu").glob("*.cpp")), HERE / "replay.cpp"]


def options(level: str = "baseline") -> list[str]:
    """Options of the compiler for one level of instructions: the other levels are left out."""
    return ["-std=c++17", f"-DCFW_LEVEL={level}", "-DCFW_X86_LEVELS=0", f"-I{ROOT / 'csrc'}"]


def record(file: Path) -> set[str]:
    """Run the self-test and write its calls of kernels, with all arrays before and after; return the kernels' names.

    On the baseline level, whose vectors every system has: scratch memory is laid out by their width.
    """
    level, kept, named = _C.level(), {}, parameters()
    _C.set_level("baseline")
    try:
        with file.open("wb") as out:

            def launch(name: str, like: Tensor, *arguments: Any) -> None:
                kernel = f"{name}_{_define.SUFFIX[like.dtype]}"
                numbers = tuple(a for a in arguments if not isinstance(a, Tensor))
                seen = kept.setdefault(kernel, set())
                if numbers in seen or len(seen) == EACH:
                    return _define.launch(name, like, *arguments)
                seen.add(numbers)
                before = [_bytes(a) if isinstance(a, Tensor) else None for a in arguments]
                _define.launch(name, like, *arguments)
                tolerance = selftest.TOLERANCE[like.dtype]
                out.write(f"{kernel} {tolerance} {len(arguments) + 1}\n".encode())
                addresses = [a.data_ptr() if isinstance(a, Tensor) else None for a in arguments]
                for n, (argument, contents) in enumerate(zip(arguments, before, strict=True)):
                    if contents is not None and (first := addresses.index(addresses[n])) < n:
                        out.write(f"same {first}\n".encode())
                    else:
                        _write(out, argument, contents, named[name][n] in SCRATCH)
                _write(out, 2)  # threads

            modules = [m for n, m in sys.modules.items() if n.startswith(f"{_ops.__name__}.") and hasattr(m, "launch")]
            patches = [mock.patch.object(m, "launch", launch) for m in modules if m is not _define]
            for patch in patches:
                patch.start()
            try:
                outcomes = selftest.run("cpu")
            finally:
                mock.patch.stopall()
    finally:
        _C.set_level(level)
    wrong = [name for name, outcome in outcomes.items() if outcome.status != "ok"]
    if wrong or set(kept) != kernels():
        raise RuntimeError(f"not worth a replay: wrong {wrong}, never called {sorted(kernels() - set(kept))}")
    return set(kept)


def _bytes(array: Tensor) -> bytes:
    behind = array.untyped_storage().nbytes() - (array.storage_offset() + array.numel()) * array.element_size()
    size = array.numel() * array.element_size() + min(behind, READ_BEYOND)
    start = array.storage_offset() * array.element_size()
    flat = torch.empty(0, dtype=torch.uint8).set_(array.untyped_storage(), start, (size,))
    return flat.numpy().tobytes()


def _write(out: BinaryIO, argument: Any, before: bytes | None = None, scratch: bool = False) -> None:
    if before is not None:
        dtype = "scratch" if scratch else NAMES.get(argument.dtype, "exact")
        out.write(f"array {dtype} {len(before)}\n".encode())
        out.write(before + _bytes(argument) + b"\n")
    elif argument is None:
        out.write(b"null\n")
    elif isinstance(argument, float):
        out.write(f"real {argument.hex()}\n".encode())
    else:
        out.write(f"integer {int(argument)}\n".encode())
