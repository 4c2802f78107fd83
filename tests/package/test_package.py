"""What holds for the whole package: doctests, build information, forks, export."""

import doctest
import importlib
import multiprocessing
import os
import pkgutil
import re
import subprocess
import sys
import warnings

import pytest
import torch

import closedform_wsss
from closedform_wsss import _cuda

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(closedform_wsss.__path__, "closedform_wsss.")
    if not module.name.endswith("._C")
)


# Packages that the examples of a module need beyond ours.
NEEDED = {
    "closedform_wsss.io._volumes.label_volume": "nibabel",
    "closedform_wsss.io._volumes.volume": "nibabel",
    "closedform_wsss.io._volumes.write_volume": "nibabel",
    "closedform_wsss.training.lightning": "lightning",
    "closedform_wsss.training.transformers": "transformers",
}


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    if name in NEEDED:
        pytest.importorskip(NEEDED[name])
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_every_public_name_has_a_docstring_with_an_example():
    for module in (closedform_wsss, closedform_wsss.functional, closedform_wsss.nn, closedform_wsss.training):
        for name in module.__all__:
            thing = getattr(module, name)
            assert thing.__doc__, name
            if callable(thing) and not (isinstance(thing, type) and issubclass(thing, Warning)):
                assert ">>>" in thing.__doc__ or name in ("Solution", "SuggestedSettings"), name


def test_build_info():
    info = closedform_wsss.build_info()
    assert info["version"] == closedform_wsss.__version__
    assert info["simd"] == info["simd_available"][-1]
    assert info["threads"] == torch.get_num_threads()


class Built:
    """The parts of a compiled extension that the CUDA reasons look at."""

    def __init__(self, architectures, driver, runtime):
        self.cuda, self.cuda_architectures = bool(architectures), architectures
        self.cuda_why_not = "" if architectures else "nvcc not found"
        self.cuda_driver_version, self.cuda_runtime_version = (lambda: driver), (lambda: runtime)


@pytest.fixture
def machine(monkeypatch):
    """A machine with GPU, driver and torch, as far as the package can tell: ``machine(codes, capability)``."""

    def pretend(architectures, capability=None, cuda="13.0", hip=None, driver=13000, runtime=13000):
        _cuda.supports.cache_clear()
        monkeypatch.setattr(_cuda, "_C", Built(architectures, driver, runtime))
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.version, "hip", hip, raising=False)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index=None: capability)

    yield pretend
    _cuda.supports.cache_clear()


def test_why_cuda_kernels_are_not_used(machine):
    codes = ["sm_75", "sm_80", "compute_80"]
    machine([], (8, 0))
    assert _cuda.why_not() == "not built: nvcc not found"
    machine(codes, None, cuda=None)
    assert _cuda.why_not() == f"torch {torch.__version__} has no CUDA"
    machine(codes, (9, 4), cuda=None, hip="6.4")
    assert _cuda.why_not() == f"torch {torch.__version__} is for ROCm"
    machine(codes, None)
    assert _cuda.why_not() == "torch.cuda.is_available() is False"
    assert closedform_wsss.build_info()["cuda_kernels"] == "not used: torch.cuda.is_available() is False"
    machine(codes, (7, 0))
    assert _cuda.why_not() == "built for sm_75 sm_80 compute_80, not for the device's sm_70"
    machine(codes, (9, 0))
    assert _cuda.why_not() is None
    assert closedform_wsss.build_info()["cuda_kernels"] == "used"


@pytest.mark.parametrize(
    ("driver", "runtime", "codes", "reason"),
    [
        (
            12040,
            13000,
            ["sm_90"],
            r"with CUDA 13.0, .* knows CUDA 12.4. Update the driver, or build with CUDA 12",
        ),
        (0, 13000, ["sm_90"], "it knows CUDA 0.0"),
        (11080, 12080, ["sm_90"], "built with CUDA 12.8"),
        (12000, 12080, ["sm_90"], None),  # within a major release code for the device runs
        (13010, 12080, ["sm_90"], None),
        (12000, 12080, ["compute_80"], r"not for the device's sm_90"),  # but PTX of a later release does not
        (12080, 12080, ["compute_80"], None),
        (13000, 12080, ["compute_80"], None),
    ],
)
def test_which_drivers_run_the_kernels(machine, driver, runtime, codes, reason):
    machine(codes, (9, 0), driver=driver, runtime=runtime)
    found = _cuda.why_not()
    assert found is None if reason is None else re.search(reason, found), found
    if reason is None:
        assert _cuda.supports(0)
        return
    with pytest.warns(RuntimeWarning, match="the CUDA kernels are not used on device 0: .*CUDA tensors run in plain"):
        assert not _cuda.supports(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not _cuda.supports(0)  # warned once


@pytest.mark.parametrize(
    "codes, runs, runs_not",
    [
        (["sm_80"], [(8, 0), (8, 6), (8, 9)], [(7, 5), (9, 0)]),
        (["sm_86"], [(8, 6), (8, 9)], [(8, 0), (12, 0)]),
        (["compute_80"], [(8, 0), (8, 6), (9, 0), (12, 1)], [(7, 5)]),
        (["sm_90a"], [(9, 0)], [(9, 1), (10, 0)]),
        (["compute_90a"], [(9, 0)], [(10, 0)]),
        (["sm_100f"], [(10, 0), (10, 3)], [(12, 0), (9, 0)]),
        (["sm_75", "sm_120"], [(7, 5), (12, 0)], [(8, 0), (10, 0)]),
        ([], [], [(9, 0)]),
    ],
)
def test_which_devices_run_which_code(codes, runs, runs_not):
    assert all(_cuda.runs_on(capability, codes) for capability in runs)
    assert not any(_cuda.runs_on(capability, codes) for capability in runs_not)


def test_import_asks_no_device(tmp_path):
    """A process that touched CUDA cannot fork workers that use it."""
    code = (
        "import torch\n"
        "def touched(*args): raise AssertionError\n"
        "torch.cuda.is_available = torch.cuda.get_device_capability = torch.cuda._lazy_init = touched\n"
        "import closedform_wsss, closedform_wsss.cli\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_level_is_an_error():
    with pytest.raises(ValueError, match="cannot run level 'sse9'"):
        closedform_wsss._build._C.set_level("sse9")


class Images(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, n):
        return (closedform_wsss.MattingLaplacian(torch.full((1, 3, 80, 80), 0.5)) @ torch.ones(1, 2, 80, 80))[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_forked_workers_do_not_hang():
    """After OpenMP ran in the parent, in plain forks and in DataLoader workers."""
    x = torch.ones(1, 2, 300, 300)
    closedform_wsss.MattingLaplacian(torch.rand(1, 3, 300, 300)) @ x
    context = multiprocessing.get_context("fork")
    process = context.Process(target=Images().__getitem__, args=(0,))
    process.start()
    process.join(60)
    alive = process.is_alive()
    process.kill()
    assert not alive and process.exitcode == 0
    loader = torch.utils.data.DataLoader(Images(), num_workers=2, timeout=60, multiprocessing_context="fork")
    assert len(list(loader)) == 4


# The parent starts torch's threads and never imports the package.
IMPORT_IN_A_CHILD = """
import multiprocessing, torch
torch.set_num_threads(2)
torch.ones(1000, 1000).exp().sum()
def run():
    import closedform_wsss
    print(closedform_wsss.build_info()["threads"], flush=True)
    closedform_wsss.MattingLaplacian(torch.full((1, 3, 80, 80), 0.5)) @ torch.ones(1, 2, 80, 80)
if __name__ == "__main__":
    child = multiprocessing.get_context({method!r}).Process(target=run)
    child.start()
    child.join(60)
    alive = child.is_alive()
    child.kill()
    assert not alive and child.exitcode == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.parametrize(("method", "threads"), [("fork", 1), ("spawn", 2)])
def test_a_child_that_imports_the_package_itself(method, threads, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(IMPORT_IN_A_CHILD.format(method=method))
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == f"{threads}\n", done.stderr


def test_import_warns_of_nothing_and_needs_no_optional_package(tmp_path):
    code = "import sys, closedform_wsss; assert not {'matplotlib', 'pymatting'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
