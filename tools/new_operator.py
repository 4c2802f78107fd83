#!/usr/bin/env python3
"""Make a new operator: a working one, y = 2 x, under its name in every place that an operator has.

    python tools/new_operator.py pixel_norm

Build, and its tests pass. Then put the real formula in place of y = 2 x, first in the reference and the test. What is
made or changed is printed; tests/package/test_native_names.py fails while one of the places lacks it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

CPU_KERNEL = """\
// y = 2 x.
#include <algorithm>

#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace cfw {
namespace CFW_LEVEL {
namespace {

constexpr int64_t kChunk = 1 << 14;  // values of one item of the parallel loop

}  // namespace

template <class T>
void NAME(const T* x, T* y, int64_t size, int threads) {
  parallel_for((size + kChunk - 1) / kChunk, threads, [&](int64_t item) {
    const int64_t begin = item * kChunk, end = std::min(size, begin + kChunk);
    for (int64_t i = begin; i < end; ++i) y[i] = 2 * x[i];
  });
}

CFW_INSTANTIATE(NAME)

}  // namespace CFW_LEVEL
}  // namespace cfw
"""

CUDA_KERNEL = """\
// y = 2 x, a thread for each value.
#include "cuda/kernels.h"
#include "cuda/runtime.h"

namespace cfw {
namespace cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads) twice(const T* x, T* y, int64_t size) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i < size) y[i] = 2 * x[i];
}

}  // namespace

template <class T>
void NAME(const T* x, T* y, int64_t size, Queue queue) {
  launch(twice<T>, (size + kThreads - 1) / kThreads, kThreads, 0, queue, x, y, size);
}

#define CFW_INSTANTIATE(T) template void NAME(const T*, T*, int64_t, Queue);
CFW_INSTANTIATE(float)
CFW_INSTANTIATE(double)

}  // namespace cuda
}  // namespace cfw
"""

REFERENCE = '''\
"""y = 2 x; the reference implementation of ``csrc/cpu/NAME.cpp``."""

from __future__ import annotations

from torch import Tensor


def NAME(x: Tensor) -> Tensor:
    """2 x, of the same shape."""
    return 2 * x
'''

OPERATOR = '''\
"""The operator NAME."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from closedform_wsss import _reference
from closedform_wsss._ops._define import define, define_gradient, launch

# --- NAME: y = 2 x


def _run(x: Tensor) -> Tensor:
    x = x.contiguous()
    y = _fake(x)
    launch("NAME", x, x, y, x.numel())
    return y


def _fake(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


NAME = define("NAME", "(Tensor x) -> Tensor", _run, _reference.NAME, _fake)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    pass


def _backward(ctx: Any, grad: Tensor) -> Tensor:
    return NAME(grad)


define_gradient("NAME", _backward, _setup)
'''

TEST = '''\
"""NAME: its kernels against a naive loop, and the gradient."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

from closedform_wsss import _ops, _reference


@pytest.mark.parametrize("size", [0, 1, 31, 20_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_a_naive_loop(level, size, dtype):
    x = torch.randn(size, dtype=dtype)
    expected = torch.tensor([2 * value for value in x.tolist()], dtype=dtype)
    torch.testing.assert_close(_ops.NAME(x), expected, rtol=0, atol=0)
    torch.testing.assert_close(_reference.NAME(x), expected, rtol=0, atol=0)


def test_any_layout(level):
    x = torch.randn(4, 6, dtype=torch.float64)
    torch.testing.assert_close(_ops.NAME(x.T[::2]), _ops.NAME(x).T[::2], rtol=0, atol=0)


def test_gradient():
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(_ops.NAME, x) and gradgradcheck(_ops.NAME, x)


def test_opcheck():
    opcheck(torch.ops.closedform_wsss.NAME, (torch.randn(2, 3, requires_grad=True),))
'''

FILES = {
    "csrc/cpu/NAME.cpp": CPU_KERNEL,
    "csrc/cuda/NAME.cu": CUDA_KERNEL,
    "closedform_wsss/_reference/NAME.py": REFERENCE,
    "closedform_wsss/_ops/NAME.py": OPERATOR,
    "tests/ops/test_NAME.py": TEST,
}

Edit = Callable[[str, str], str]


def after_last(pattern: str, addition: str) -> Edit:
    """Add after the last match of a pattern."""

    def edit(text: str, name: str) -> str:
        *_, last = re.finditer(pattern, text, re.M)
        return text[: last.end()] + addition.replace("NAME", name) + text[last.end() :]

    return edit


def before(pattern: str, addition: str) -> Edit:
    """Add before the only match of a pattern."""

    def edit(text: str, name: str) -> str:
        (match,) = re.finditer(pattern, text, re.M)
        return text[: match.start()] + addition.replace("NAME", name) + text[match.start() :]

    return edit


def declared_for_levels(text: str, name: str) -> str:
    """At the end of the macro that declares the CPU kernels, whose lines end with a backslash in one column."""
    macro, rest = text.split("\n\n// tile_product of a stencil in float")
    column = macro.splitlines()[-2].index("\\")
    macro, last = macro.rsplit("\n", 1)
    lines = [f"{line:{column}}\\" for line in (last, "  /* y = 2 x. */", "  template <class T>")]
    lines.append(f"  void {name}(const T* x, T* y, int64_t size, int threads);")
    return "\n".join([macro, *lines]) + "\n\n// tile_product of a stencil in float" + rest


def exported(package: str) -> Edit:
    """Import the function of that name, and list it in ``__all__``, both sorted."""

    def edit(text: str, name: str) -> str:
        before_all, listed = text.split("__all__ = [\n")
        found = re.search(rf"^from {package}\.(?!_)", before_all, re.M)
        assert found is not None
        statements = re.split(rf"^(?=from {package}\.)", before_all[found.start() :].rstrip() + "\n", flags=re.M)
        statements = sorted([*filter(None, statements), f"from {package}.{name} import {name}\n"])
        names = [*listed.split("]")[0].splitlines(), f'    "{name}",']
        constants_first = sorted(names, key=lambda line: (not line.strip(' ",').isupper(), line))
        return (
            before_all[: found.start()] + "".join(statements) + "\n__all__ = [\n" + "\n".join(constants_first) + "\n]\n"
        )

    return edit


EDITS: dict[str, list[Edit]] = {
    "CMakeLists.txt": [
        after_last(r"^  csrc/cpu/\w+\.cpp(?=\)$)", "\n  csrc/cpu/NAME.cpp"),
        after_last(r"^    csrc/cuda/\w+\.cu(?=\)$)", "\n    csrc/cuda/NAME.cu"),
    ],
    "csrc/cpu/kernels.h": [declared_for_levels],
    "csrc/cpu/bindings.h": [after_last(r"^  CFW_BIND\(\w+\);$", "\n  CFW_BIND(NAME);")],
    "csrc/cuda/kernels.h": [
        before(
            r"^}  // namespace cuda$", "template <class T>\nvoid NAME(const T* x, T* y, int64_t size, Queue queue);\n\n"
        )
    ],
    "csrc/cuda/bindings.h": [after_last(r"^  CFW_BIND_CUDA\(\w+\);$", "\n  CFW_BIND_CUDA(NAME);")],
    "closedform_wsss/_reference/__init__.py": [exported("closedform_wsss._reference")],
    "closedform_wsss/_ops/__init__.py": [exported("closedform_wsss._ops")],
    # Arguments for the tests that run every CUDA kernel: on the CPU under sanitizers, and on a GPU.
    "tests/cuda_runner/every_kernel.py": [
        before(r'^    else:\n        raise ValueError\(f"cases: name', '    elif name == "NAME":\n        yield (x,)\n')
    ],
    "tests/cuda/test_cuda.py": [after_last(r'^        \("\w+", \(.*\)\),$', '\n        ("NAME", (x,)),')],
    "tests/cuda/test_cuda_barriers.py": [
        after_last(r"^WITHOUT_BARRIERS: .* = \{$", '\n    "NAME": lambda: (torch.randn(2, 300),),')
    ],
}


def new_operator(name: str, root: Path) -> list[str]:
    """Make its files and name it in the others; return what was made and changed.

    Raises:
        ValueError: The name is not one that C++ and Python take, or is taken.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", name):
        raise ValueError(f"new_operator: name must be two or more words such as pixel_norm, got {name!r}")
    files = {file.replace("NAME", name): text.replace("NAME", name) for file, text in FILES.items()}
    for file in files:
        if (root / file).exists():
            raise ValueError(f"new_operator: name must be new, got {name!r}: {file} is there")
    # All of it is worked out before anything is written.
    for file, edits in EDITS.items():
        text = (root / file).read_text(encoding="utf-8")
        for edit in edits:
            try:
                text = edit(text, name)
            except ValueError as error:
                raise ValueError(
                    f"new_operator: found no place for {name} in {file}: mend tools/new_operator.py"
                ) from error
        files[file] = text
    for file, text in files.items():
        (root / file).write_text(text, encoding="utf-8")
    return list(files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="words joined by underscores; the first is the family, as in superpixel_pool")
    root = Path(__file__).resolve().parents[1]
    parser.add_argument("--root", type=Path, default=root, help="the tree to change (default: this one)")
    arguments = parser.parse_args()
    try:
        changed = new_operator(arguments.name, arguments.root)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    print("\n".join(changed))


if __name__ == "__main__":
    main()
