"""The GPU benchmark, on the CPU: its cases agree with plain PyTorch, and it writes what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from helpers import ROOT

import closedform_wsss

_BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with tinier sizes and shorter samples."""
    monkeypatch.syspath_prepend(str(_BENCHMARKS))
    from common import harness
    from gpu import gpu

    monkeypatch.setattr(harness, "SHORTEST_SAMPLE", 1e-9)
    monkeypatch.setattr(gpu, "QUICK", {"maps": [(1, 2, 24)], "solve": (2, 24, 32), "step": (2, 2, 24)})
    return gpu


@pytest.mark.slow
def test_every_case_runs_and_agrees_with_plain_pytorch(gpu, tmp_path: Path) -> None:
    assert gpu.main(["--quick", "--device", "cpu", "--output", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "gpu_quick.json").read_text())
    assert found["failed"] == []
    differences = [r["extra"].get("difference") for r in found["results"] if r["name"] == gpu.OURS]
    assert sum(value is not None for value in differences) == 15
    assert all(value is None or value < 1e-5 for value in differences)
    for result in found["results"]:
        assert result["median_s"] > 0 and len(result["samples_s"]) == result["rounds"]
    text = (tmp_path / "gpu_quick.md").read_text()
    assert "this only tests the script" in text and "The closed-form loss adds" in text
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 1 + 16 + 1 + 2


@pytest.mark.slow
def test_a_failure_does_not_stop_the_rest(gpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*args: object) -> list[object]:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(gpu, "superpixels", broken)
    assert gpu.main(["--quick", "--device", "cpu", "--output", str(tmp_path)]) == 1
    assert json.loads((tmp_path / "gpu_quick.json").read_text())["failed"] == ["broken, 1 x 2 x 24 x 24"]
    text = (tmp_path / "gpu_quick.md").read_text()
    assert "**Failed: broken, 1 x 2 x 24 x 24**" in text and "solve_matting" in text


def test_a_wrong_kernel_is_not_timed(gpu) -> None:
    right = torch.ones(3)
    case = sys.modules["gpu.cases"].Case("wrong", lambda: 1.1 * right, lambda: right)
    with pytest.raises(AssertionError, match=r"wrong: plain PyTorch and ours differ by 1\.0e-01"):
        gpu.agree(case)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_says_so(gpu, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        gpu.main([])
    assert stop.value.code == 2
    assert str(closedform_wsss.build_info()["cuda_kernels"]) in capsys.readouterr().err
