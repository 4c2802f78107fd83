"""What holds for the whole package: doctests, build information, forks, export."""

import doctest
import importlib
import multiprocessing
import os
import pkgutil
import subprocess
import sys

import pytest
import torch

import closedform_wsss

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(closedform_wsss.__path__, "closedform_wsss.")
    if not module.name.endswith("._C")
)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_every_public_name_has_a_docstring_with_an_example():
    for module in (closedform_wsss, closedform_wsss.functional, closedform_wsss.nn):
        for name in module.__all__:
            thing = getattr(module, name)
            assert thing.__doc__, name
            if callable(thing) and not (isinstance(thing, type) and issubclass(thing, Warning)):
                assert ">>>" in thing.__doc__ or name == "SolveInfo", name


def test_build_info():
    info = closedform_wsss.build_info()
    assert info["version"] == closedform_wsss.__version__
    assert info["simd"] == info["simd_available"][-1]
    assert info["threads"] == torch.get_num_threads()


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


def test_import_warns_of_nothing_and_needs_no_optional_package(tmp_path):
    code = "import sys, closedform_wsss; assert not {'matplotlib', 'pymatting'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
