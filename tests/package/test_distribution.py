"""What the installed distribution says of itself and needs, as a user who has no checkout meets it."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import ROOT

import closedform_wsss

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def run(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def distribution() -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution("closedform-wsss")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is on the path and not installed")


def test_metadata(distribution):
    metadata = distribution.metadata
    assert metadata["Version"] == closedform_wsss.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["Description-Content-Type"] == "text/markdown"
    wanted = {re.split(r"[>=\[ ;]", r)[0] for r in distribution.requires or [] if "extra ==" not in r}
    assert wanted == {"torch", "numpy", "scipy", "scikit-image", "pillow", "tqdm"}


def test_files(distribution):
    """Types are declared, the licence is there, and nothing of tests or sources comes along."""
    names = {str(file).replace("\\", "/") for file in distribution.files or []}
    if not any(name.startswith("closedform_wsss/_C.") for name in names):
        pytest.skip("an editable install")
    assert "closedform_wsss/py.typed" in names
    assert any(name.endswith("/LICENSE") for name in names)
    others = {n for n in names if not re.match(r"closedform_wsss(/|-[\d.]+\.dist-info/)|\.\./.*bin/", n)}
    assert not others and not [n for n in names if n.endswith((".cpp", ".cu", ".h"))]


def test_torch_is_imported_before_the_extension(tmp_path):
    """Its wheel brings libgomp, which not every machine has otherwise."""
    code = (
        "import sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'closedform_wsss._C': print('torch' in sys.modules)\n"
        "sys.meta_path.insert(0, Watch())\n"
        "import closedform_wsss\n"
    )
    assert run(code, tmp_path) == "True"


def torch_brings_libgomp() -> bool:
    """Under its own name beside torch's libraries, or under one with a hash."""
    folder = Path(torch.__file__).parent
    return any([*folder.glob("lib/libgomp*"), *folder.parent.glob("torch.libs/libgomp*")])


@LINUX
@pytest.mark.skipif(not torch_brings_libgomp(), reason="this torch brings no libgomp")
def test_one_libgomp_in_the_process(tmp_path):
    code = "import closedform_wsss, re; print(*set(re.findall(r'/\\S*libgomp\\S*', open('/proc/self/maps').read())))"
    assert len(run(code, tmp_path).split()) == 1


@LINUX
def test_the_extension_names_no_openmp_library():
    """Under another name than torch's it would be a second one, or missing."""
    if "GNU" not in closedform_wsss.build_info()["compiler"] or not shutil.which("readelf"):
        pytest.skip("not built by GCC, or readelf is not here")
    needed = subprocess.run(["readelf", "-d", closedform_wsss._C.__file__], capture_output=True, text=True, check=True)
    assert "NEEDED" in needed.stdout and "gomp" not in needed.stdout


@LINUX
def test_without_any_openmp_library_the_import_says_so(tmp_path):
    """A torch without OpenMP on a machine without libgomp: nothing is found, neither in the process nor by its name."""
    code = (
        "import ctypes, sys, torch\n"
        "def refuse(*_, **__): raise OSError('libgomp.so.1: cannot open shared object file')\n"
        "class Undefined:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'closedform_wsss._C': raise ImportError('undefined symbol: GOMP_parallel')\n"
        "ctypes.CDLL = refuse\n"
        "sys.meta_path.insert(0, Undefined())\n"
        "try: import closedform_wsss\n"
        "except ImportError as error: print(error)\n"
    )
    assert "libgomp.so.1, GCC's OpenMP, is missing" in run(code, tmp_path)


def test_wheels_are_built_by_the_cuda_release_that_most_drivers_run():
    """Its packages and its folder agree. A runtime of CUDA 13 would leave out drivers below R580."""
    tomllib = pytest.importorskip("tomllib")
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("the sources are not here")
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    (wheel,) = [part for part in tools["cibuildwheel"]["overrides"] if part["select"] == "*-manylinux_x86_64"]
    environment, commands = wheel["environment"], " ".join(wheel["before-all"])
    assert environment["CFW_CUDA"] == "ON" and environment["CUDAARCHS"] == "wheel"
    release = environment["CUDA_HOME"].removeprefix("/usr/local/cuda-")
    assert set(re.findall(r"cuda-[a-z-]+-(\d+-\d+)", commands)) == {release.replace(".", "-")}
    assert {"cuda-nvcc", "cuda-cudart-devel"} <= set(re.findall(r"(cuda-[a-z-]+)-\d+-\d+", commands))
    assert release.split(".")[0] == "12"
    # The folder of NVIDIA's packages is that of the image's system.
    system = {"manylinux_2_28": "rhel8"}[tools["cibuildwheel"]["linux"]["manylinux-x86_64-image"]]
    assert f"/repos/{system}/x86_64/cuda-{system}.repo" in commands
