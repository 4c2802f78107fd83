"""What nvcc made of the CUDA kernels, read back from the compiled extension; no GPU is needed."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from closedform_wsss import _C

MODULE = Path(_C.__file__)
BUILT = pytest.mark.skipif(not _C.cuda, reason=f"CUDA kernels were not built: {_C.cuda_why_not}")
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into an ELF file")
# CUDA 13 compresses the code. Without that, an architecture is 4 to 6 MB. For the eight of a wheel by CUDA 12.8 this is
# an estimate: no workflow has built it yet.
MAX_BYTES = 10e6 if _C.cuda and int(_C.cuda_version.split(".")[0]) >= 13 else 50e6


def find_cuobjdump() -> str | None:
    """Of a CUDA toolkit, or of the package nvidia-cuda-cuobjdump."""
    roots = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    nvcc = shutil.which("nvcc")
    roots += [Path("/usr/local/cuda"), *([Path(nvcc).resolve().parents[1]] if nvcc else [])]
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        roots += sorted(Path(folder).glob("cu*"))
    found = (shutil.which("cuobjdump", path=str(root / "bin")) for root in roots)
    return shutil.which("cuobjdump") or next(filter(None, found), None)


def cuobjdump(option: str) -> str:
    program = find_cuobjdump()
    if program is None:
        pytest.skip("cuobjdump is not here: pip install nvidia-cuda-cuobjdump")
    return subprocess.run([program, option, MODULE], capture_output=True, text=True, check=True).stdout


def tool(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not here")
    return subprocess.run([*command, MODULE], capture_output=True, text=True, check=True).stdout


@BUILT
@LINUX
def test_no_kernel_spills() -> None:
    """On no architecture does a kernel keep anything in local memory, which lies in the device's memory."""
    seen: dict[str, set[str]] = {}
    wrong, code = [], ""
    for line in cuobjdump("--dump-resource-usage").splitlines():
        if match := re.match(r"\s*arch = (\w+)", line):
            code = match[1]
        elif match := re.match(r"\s*Function (\S+):", line):
            # The anonymous namespace has another name in every compilation.
            name = re.sub(r"_GLOBAL__N__\w+?_cu_\w{8}_\d+", "", match[1])
        elif match := re.search(r"REG:(\d+) STACK:(\d+) .*LOCAL:(\d+)", line):
            seen.setdefault(code, set()).add(name)
            if int(match[1]) > 255 or int(match[2]) > 0 or int(match[3]) > 0:
                wrong.append(f"{code} {name}: {match[0]}")
    assert not wrong, "\n".join(wrong)
    assert set(seen) == {code for code in _C.cuda_architectures if code.startswith("sm_")}
    # The same kernels for all: float and double at least.
    assert all(names == seen[code] for names in seen.values()) and len(seen[code]) >= 2


@BUILT
@LINUX
def test_code_for_every_architecture() -> None:
    """That _C says what is in it."""
    codes = {f"sm_{number}" for number in re.findall(r"\.sm_(\w+)\.cubin", cuobjdump("--list-elf"))}
    codes |= {f"compute_{number}" for number in re.findall(r"\.sm_(\w+)\.ptx", cuobjdump("--list-ptx"))}
    assert codes == set(_C.cuda_architectures)


@BUILT
@LINUX
def test_the_module_keeps_the_cuda_runtime_to_itself() -> None:
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", tool("readelf", "-dW"))
    assert needed and not [name for name in needed if "cuda" in name]
    assert MODULE.stat().st_size < MAX_BYTES


@LINUX
def test_the_module_exports_nothing_else() -> None:
    assert [line.split()[-1] for line in tool("nm", "-D", "--defined-only").splitlines()] == ["PyInit__C"]


def test_what_the_module_says_of_cuda() -> None:
    assert bool(_C.cuda) == bool(_C.cuda_version) == bool(_C.cuda_architectures) == (not _C.cuda_why_not)


@BUILT
@pytest.mark.skipif(
    torch.cuda.is_available() or Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists(),
    reason="a GPU is here: the kernel would run on null pointers",
)
def test_a_kernel_without_a_gpu_is_an_error(tmp_path: Path) -> None:
    """Not a crash; and nothing before the launch needs a driver."""
    code = (
        "from closedform_wsss import _C\n"
        "try:\n"
        "    _C.matting_product_cuda_f32(0, 0, 0, 0, 2, 3, 33, 47, (0, 0))\n"
        "except RuntimeError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match("closedform_wsss: CUDA error: .*(driver|device)", done.stdout)


# A libcuda of an old driver, as far as the runtime asks before it starts: it only says its version.
OLD_DRIVER = r"""
#include <stddef.h>
#include <string.h>
int cuDriverGetVersion(int* version) { *version = 12040; return 0; }
int cuInit(unsigned flags) { return 0; }
static int not_supported() { return 801; }
int cuGetProcAddress_v2(const char* name, void** function, int version, unsigned long long flags, int* status) {
  if (status) *status = 0;
  if (!strcmp(name, "cuDriverGetVersion")) *function = (void*)cuDriverGetVersion;
  else if (!strcmp(name, "cuInit")) *function = (void*)cuInit;
  else if (!strcmp(name, "cuGetProcAddress")) *function = (void*)cuGetProcAddress_v2;
  else *function = (void*)not_supported;
  return 0;
}
int cuGetProcAddress(const char* name, void** function, int version, unsigned long long flags) {
  return cuGetProcAddress_v2(name, function, version, flags, NULL);
}
int cuGetExportTable(const void** table, const void* id) { return 1; }
"""


@BUILT
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc not found")
def test_an_old_driver_is_noticed_before_any_kernel_runs(tmp_path: Path) -> None:
    source, library = tmp_path / "driver.c", tmp_path / "libcuda.so.1"
    source.write_text(OLD_DRIVER, encoding="utf-8")
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", str(source), "-o", str(library)], check=True)
    code = (
        "import torch\n"
        "torch.cuda.get_device_capability = lambda index=None: (9, 0)\n"
        "from closedform_wsss import _C, _cuda\n"
        "print(_C.cuda_driver_version(), _C.cuda_runtime_version() // 1000, _cuda.why_not_on(0))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    driver, runtime, reason = done.stdout.strip().split(" ", 2)
    assert driver == "12040"
    assert (reason == "None") == (int(runtime) <= 12)
    if int(runtime) > 12:
        assert "too old for: it knows CUDA 12.4" in reason
