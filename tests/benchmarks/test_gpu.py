"""The GPU benchmark, on the CPU: its cases agree with plain PyTorch, and it writes what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

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
    assert sum(value is not None for value in differences) == 16
    assert all(value is None or value < 1e-5 for value in differences)
    for result in found["results"]:
        assert result["median_s"] > 0 and len(result["samples_s"]) == result["rounds"]
    text = (tmp_path / "gpu_quick.md").read_text()
    assert "this only tests the script" in text and "The closed-form loss adds" in text
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 1 + 17 + 1 + 2


@pytest.mark.slow
def test_a_failure_does_not_stop_the_rest(gpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*args: object) -> list[object]:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(gpu, "superpixels", broken)
    assert gpu.main(["--quick", "--device", "cpu", "--output", str(tmp_path)]) == 1
    assert json.loads((tmp_path / "gpu_quick.json").read_text())["failed"] == ["broken, 1 x 2 x 24 x 24"]
    text = (tmp_path / "gpu_quick.md").read_text()
    assert "**Failed: broken, 1 x 2 x 24 x 24**" in text and "solve_matting" in text


def test_what_had_no_time_is_listed(gpu, tmp_path: Path) -> None:
    assert gpu.main(["--quick", "--device", "cpu", "--seconds", "0", "--output", str(tmp_path)]) == 1
    found = json.loads((tmp_path / "gpu_quick.json").read_text())
    assert found["results"] == []
    parts = ["matting, 1 x 2 x 24 x 24", "superpixels, 1 x 2 x 24 x 24", "solver, 1 x 2 x 24 x 32", "training step"]
    assert found["failed"] == [f"{part}: no time was left" for part in parts]
    assert "**Failed: training step: no time was left**" in (tmp_path / "gpu_quick.md").read_text()


def test_a_wrong_kernel_is_not_timed(gpu) -> None:
    right = torch.ones(3)
    case = sys.modules["gpu.cases"].Case("wrong", lambda: 1.1 * right, lambda: right)
    with pytest.raises(AssertionError, match=r"wrong: plain PyTorch and ours differ by 1\.0e-01"):
        gpu.agree(case)


class Device:
    """Stands in for torch.cuda: its time moves only where a test says so, and it notes the order of the calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.time = 0.0
        for name in ("get_device_properties", "synchronize", "_sleep", "Event"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))

    def get_device_properties(self, device: torch.device) -> object:
        return object()

    def synchronize(self, device: torch.device | None = None) -> None:
        self.calls.append("synchronize")

    def _sleep(self, cycles: int) -> None:
        self.calls.append("sleep")

    def Event(self, enable_timing: bool) -> Event:
        return Event(self)


class Event:
    def __init__(self, device: Device) -> None:
        self.device = device

    def record(self) -> None:
        self.device.calls.append("record")
        self.at = self.device.time

    def synchronize(self) -> None:
        self.device.calls.append("wait")

    def elapsed_time(self, end: Event) -> float:
        return 1e3 * (end.at - self.at)


def test_a_delay_on_the_device_hides_the_host_from_the_events(gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sequence of a call, without a GPU: flush, delay, event, call, event; the host's time is measured apart."""
    module = sys.modules["gpu.clock"]
    device = Device(monkeypatch)
    clock = module.Clock(torch.device("cpu"))
    clock.device = torch.device("cuda")
    clock.flush = SimpleNamespace(zero_=lambda: device.calls.append("flush"))

    def run() -> None:
        device.calls.append("run")
        device.time += 3

    assert clock(module.Method("ours", run), 2) == 3
    once = ["flush", "sleep", "record", "run", "record", "wait"]
    assert device.calls == ["synchronize", "run", "synchronize", *once, *once]
    assert len(clock.host_s["ours"]) == 1 and 0 < clock.host_median("ours") < 1
    assert clock.host_median("plain") is None


def test_a_cpu_has_no_host_beside_it(gpu) -> None:
    module = sys.modules["gpu.clock"]
    clock = module.Clock(torch.device("cpu"))
    assert clock(module.Method("ours", lambda: None), 3) > 0
    assert clock.host_median("ours") is None


def test_the_copy_moves_random_bytes(gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[torch.Tensor] = []

    def race(*args: object, **kwargs: object) -> list[object]:
        methods = args[3]
        copied.append(methods[1].run())
        return []

    monkeypatch.setattr(gpu, "race", race)
    case = sys.modules["gpu.cases"].Case("case", lambda: torch.ones(3), None, 2 * 4096)
    gpu.measure(case, "4 KB", torch.device("cpu"), sys.modules["gpu.clock"].Clock(torch.device("cpu")), 3)
    assert copied[0].shape == (4096,) and len(copied[0].unique()) > 200


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_says_so(gpu, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        gpu.main([])
    assert stop.value.code == 2
    assert str(closedform_wsss.build_info()["cuda_kernels"]) in capsys.readouterr().err
