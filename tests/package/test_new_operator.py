"""tools/new_operator.py makes an operator that builds and passes its tests, in a copy of the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

TOOL = ROOT / "tools" / "new_operator.py"
NAME = "pixel_double"
PARTS = ("closedform_wsss", "cmake", "csrc", "tests", "CMakeLists.txt", "pyproject.toml")
pytestmark = pytest.mark.skipif(
    not all((ROOT / part).exists() for part in PARTS) or not TOOL.is_file(), reason="the sources are not here"
)


def run(*command: str | Path, folder: Path, **variables: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy without what was built."""
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("*.so", "__pycache__", "files"))
        else:
            shutil.copy(ROOT / part, tmp_path)
    return tmp_path


def contents(tree: Path) -> dict[str, bytes]:
    return {file.relative_to(tree).as_posix(): file.read_bytes() for file in tree.rglob("*") if file.is_file()}


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("cmake") and shutil.which("ninja")), reason="cmake or ninja is not here")
def test_a_new_operator_builds_and_passes_its_tests(tree: Path) -> None:
    before = contents(tree).items()
    changed = run(sys.executable, TOOL, NAME, "--root", tree, folder=tree).split()
    assert sorted(changed) == sorted(name for name, _ in contents(tree).items() - before)

    options = ["-DCFW_CUDA=OFF", "-DCFW_SIMD=OFF", "-DCMAKE_BUILD_TYPE=Debug"]  # what takes least time
    python = f"-DPython_EXECUTABLE={sys.executable}"
    run("cmake", "-S", tree, "-B", tree / "build", "-G", "Ninja", *options, python, folder=tree)
    run("ninja", "-C", tree / "build", folder=tree)
    (module,) = (tree / "build").glob("_C.*")
    shutil.copy(module, tree / "closedform_wsss")

    where = run(sys.executable, "-c", "from closedform_wsss import _C; print(_C.__file__)", folder=tree, PYTHONPATH=".")
    assert str(tree) in where  # and not an installed one
    tests = [f"tests/ops/test_{NAME}.py", "tests/package/test_native_names.py"]
    tests += [f"tests/cuda/test_cuda_barriers.py::test_each_barrier_is_needed[{NAME}]"]
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, folder=tree, PYTHONPATH=str(tree))


@pytest.mark.parametrize("name", ["pixel", "Pixel_Norm", "pixel-norm", "pixel_", "asam_steps"])
def test_a_bad_name_changes_nothing(tree: Path, name: str) -> None:
    before = contents(tree)
    done = subprocess.run([sys.executable, TOOL, name, "--root", tree], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("new_operator: name must be")
    assert contents(tree) == before
