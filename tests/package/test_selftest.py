"""The self-test reaches every operator, and finds a kernel that is wrong."""

from __future__ import annotations

import pytest
import torch

from closedform_wsss import _reference, selftest
from closedform_wsss.cli import info, main


@pytest.mark.slow
def test_every_operator_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert selftest.main(["--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert out.count(" ok\n") == len(selftest._ops.__all__) and "22 of 22 operators are right on cpu" in out


def some(monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.rand(1, 3, 20, 24)
    monkeypatch.setattr(selftest, "_programs", lambda device: [lambda: selftest._superpixels(image, image)])


def test_a_wrong_kernel_is_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    some(monkeypatch)
    right = _reference.superpixel_unpool
    assert selftest.run()["superpixel_unpool"].status == "ok"
    monkeypatch.setattr(_reference, "superpixel_unpool", lambda *a: right(*a) * (1 + 1e-3))
    assert selftest.run()["superpixel_unpool"].status == "WRONG"
    monkeypatch.setattr(_reference, "superpixel_unpool", lambda *a: right(*a)[..., :-1])
    assert selftest.run()["superpixel_unpool"].status == "WRONG"
    monkeypatch.setattr(_reference, "superpixel_unpool", lambda *a: right(*a) * torch.nan)
    assert selftest.run()["superpixel_unpool"].status == "WRONG"
    assert selftest.main([]) == 1
    captured = capsys.readouterr()
    assert "superpixel_unpool" in captured.out and "WRONG" in captured.out and "never ran" in captured.out
    assert "report this with the output of `closedform-wsss info`" in captured.err


def test_results_that_are_written_in_place_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    right = _reference.tile_relax
    image, marks = torch.rand(1, 3, 20, 24), torch.full((1, 20, 24), 255)
    marks[0, 3], marks[0, -3] = 0, 1
    monkeypatch.setattr(selftest, "_programs", lambda device: [lambda: selftest.solve_matting(marks, image, tol=0.1)])
    assert selftest.run()["tile_relax"].status == "ok"

    def wrong(*arguments: object) -> None:
        right(*arguments)
        arguments[7].mul_(1.001)  # y

    monkeypatch.setattr(_reference, "tile_relax", wrong)
    assert selftest.run()["tile_relax"].status == "WRONG"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"simd": "baseline"}, "slow: the kernels use no AVX2"),
        ({"openmp": False}, "slow: built without OpenMP"),
        ({"threads": 1, "cores": 4}, "slow: 1 of 4 cores are used"),
        ({"threads": 8, "cores": 4}, "slow: 8 threads on 4 cores wait"),
        ({"cuda_device": "A100 (sm_80)"}, "slow on the GPU: CUDA kernels are"),
    ],
)
def test_info_says_what_is_slow(changes: dict, line: str) -> None:
    facts = {"simd": "avx2", "simd_available": ["baseline", "avx2"], "openmp": True, "threads": 4, "cores": 4}
    facts |= {"cuda_device": "none", "cuda_kernels": "not used: built without CUDA"}
    assert [text for text in info._advice(facts) if text.startswith("slow")] == []
    (found,) = [text for text in info._advice(facts | changes) if text.startswith("slow")]
    assert found.startswith(line)


def test_info_is_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 25 and lines[-1].startswith("check: python -m closedform_wsss.selftest")
    assert any(line.startswith("installed") for line in lines)


@pytest.mark.parametrize("device", ["nope", "cuda:99"])
def test_a_device_that_is_not_there(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as status:
        selftest.main(["--device", device])
    assert status.value.code == 2
    assert f"error: --device must be a device of this machine, got {device} (" in capsys.readouterr().err
