"""One idea has one name in every folder: sources, build, bindings, compiled module, stub, operators and tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import ModuleType

import cuda_runner
import pytest
import torch
from helpers import ROOT

import closedform_wsss
from closedform_wsss import _C, _ops, _reference

PACKAGE = Path(closedform_wsss.__file__).parent
CSRC = ROOT / "csrc"
pytestmark = pytest.mark.skipif(not CSRC.is_dir(), reason="the sources are not here")

KERNELS = {file.stem for file in CSRC.glob("cpu/*.cpp")} - {"dispatch"}
CUDA_KERNELS = {file.stem for file in CSRC.glob("cuda/*.cu")} - {"versions"}
WITHOUT_CUDA = {"lattice_build", "tile_energy"}  # parts of the set-up: on a GPU plain PyTorch does them
HALF_ANYWHERE = {"matting_loss"}  # these read half precision too
HALF = {"matting_loss", "matting_product", "superpixel_dot", "superpixel_pool"}  # on a GPU
# Beside <kernel>_f32 and <kernel>_f64: a stencil in float32, all else in float64.
MIXED = {"tile_product_mixed_f64"}


def cuda_names() -> set[str]:
    names = {f"{k}_cuda_{t}" for k in CUDA_KERNELS for t in ("f32", "f64", *(("f16", "bf16") if k in HALF else ()))}
    return names | {name.replace("_f64", "_cuda_f64") for name in MIXED}


def signature(module: ModuleType, name: str) -> tuple[list[str], str]:
    """Types of the parameters and of the result of a function, which its docstring begins with."""
    text = getattr(module, name).__doc__.splitlines()[0]
    match = re.fullmatch(rf"{name}\((.*)\) -> (.*)", text)
    assert match is not None, text
    return re.findall(r"\w+(?:\[.*?\])?", match[1]), match[2]


def public(module: ModuleType) -> set[str]:
    return {name for name in vars(module) if not name.startswith("__")}


def is_kernel(name: str) -> bool:
    return name.endswith(("_f32", "_f64", "_f16", "_bf16"))


def declared(header: str) -> set[str]:
    return set(re.findall(r"\bvoid (\w+)\(", (CSRC / header).read_text(encoding="utf-8")))


def bound(header: str, macro: str) -> set[str]:
    return set(re.findall(rf"^ +{macro}\((\w+)\);", (CSRC / header).read_text(encoding="utf-8"), re.M))


@pytest.mark.skipif(not (ROOT / "CMakeLists.txt").is_file(), reason="CMakeLists.txt is not here")
def test_every_source_is_compiled_once() -> None:
    named = re.findall(r"\bcsrc/[\w/]+\.(?:cpp|cu)\b", re.sub("#.*", "", (ROOT / "CMakeLists.txt").read_text("utf-8")))
    there = [file.relative_to(ROOT).as_posix() for ending in ("*.cpp", "*.cu") for file in CSRC.rglob(ending)]
    assert sorted(named) == sorted(there)


def test_every_kernel_is_declared_and_bound() -> None:
    assert declared("cpu/kernels.h") == KERNELS | {"tile_product_mixed"}
    assert bound("cpu/bindings.h", "CFW_BIND") == KERNELS
    assert bound("cpu/bindings.h", "CFW_BIND_HALF") == HALF_ANYWHERE
    assert declared("cuda/kernels.h") == bound("cuda/bindings.h", "CFW_BIND_CUDA") == CUDA_KERNELS
    assert bound("cuda/bindings.h", "CFW_BIND_CUDA_HALF") == HALF
    assert KERNELS - CUDA_KERNELS == WITHOUT_CUDA and CUDA_KERNELS < KERNELS


def test_the_module_has_the_kernels_of_the_sources() -> None:
    expected = {f"{kernel}_{dtype}" for kernel in KERNELS for dtype in ("f32", "f64")} | MIXED
    expected |= {f"{kernel}_{dtype}" for kernel in HALF_ANYWHERE for dtype in ("f16", "bf16")}
    if _C.cuda:
        expected |= cuda_names()
    assert {name for name in public(_C) if is_kernel(name)} == expected


@pytest.mark.skipif(cuda_runner.why_not() is not None, reason=str(cuda_runner.why_not()))
def test_cuda_kernels_take_what_the_cpu_kernels_take() -> None:
    """A queue, (device, stream), in place of the number of threads."""
    runner = cuda_runner.load(cuda_runner.build())
    assert {name for name in public(runner) if is_kernel(name)} == cuda_names()
    for name in cuda_names():
        kernel, _, dtype = name.rpartition("_cuda_")
        parameters, result = signature(_C, f"{kernel}_{'f64' if dtype == 'f64' else 'f32'}")
        assert parameters[-1] == "int"
        assert signature(runner, name) == ([*parameters[:-1], "tuple[int, int]"], result), name
        if _C.cuda:
            assert signature(_C, name) == signature(runner, name)


@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_every_kernel_is_an_operator_with_a_reference_and_tests(kernel: str) -> None:
    assert (PACKAGE / "_reference" / f"{kernel}.py").is_file()
    assert kernel in _reference.__all__ and kernel in _ops.__all__
    assert hasattr(torch.ops.closedform_wsss, kernel)
    # In a file of tests of its own, or in that of its family: asam_steps in test_asam.py.
    family = kernel.split("_")[0]
    tests = [file for file in Path(__file__).parents[1].rglob(f"test_{family}*.py")]
    assert [file for file in tests if re.search(rf"\b{kernel}\b", file.read_text(encoding="utf-8"))]


def test_every_operator_has_a_kernel() -> None:
    assert set(_ops.__all__) == KERNELS


def test_the_stub_is_what_the_module_has() -> None:
    """All but the kernels, which Python calls through names that it makes."""
    stub = ast.parse((PACKAGE / "_C.pyi").read_text(encoding="utf-8")).body
    seen = set()
    for node in stub:
        if isinstance(node, ast.AnnAssign):
            name, annotation = ast.unparse(node.target), ast.unparse(node.annotation)
            value = getattr(_C, name)
            assert type(value).__name__ == annotation.partition("[")[0], name
            assert annotation != "list[str]" or all(isinstance(entry, str) for entry in value)
        else:
            assert isinstance(node, ast.FunctionDef), ast.unparse(node)
            name, arguments = node.name, node.args
            assert not (arguments.args or arguments.vararg or arguments.kwonlyargs), f"{name}: `/` must come last"
            types = [ast.unparse(argument.annotation) for argument in arguments.posonlyargs if argument.annotation]
            assert node.returns is not None
            assert (types, ast.unparse(node.returns)) == signature(_C, name), name
        seen.add(name)
    assert seen == {name for name in public(_C) if not is_kernel(name)}
