"""The benchmark of thresholds of CAMs: the oracle against a naive loop, the table and the chart."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from helpers import ROOT


@pytest.fixture
def curves(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from cams import curves

    return curves


def picture(curves: ModuleType, seed: int):
    """Two classes, each with a CAM that is high on it, and a strip of void."""
    draw = torch.Generator().manual_seed(seed)
    truth = np.zeros((24, 30), np.uint8)
    truth[4:20, 3:12], truth[8:22, 16:28], truth[:2] = 1, 2, 255
    cam = torch.stack([torch.from_numpy((truth == c) * 0.5) for c in (1, 2)])[None].float()
    cam = (cam + 0.45 * torch.rand(cam.shape, generator=draw)).clamp(0, 1)
    image = (255 * torch.rand(1, 3, 24, 30, generator=draw)).byte()
    return curves.Picture(f"{seed}", image, np.array([1, 2]), cam, truth)


def test_the_oracle_against_a_naive_loop(curves: ModuleType) -> None:
    for seed in range(4):
        one = picture(curves, seed)
        moved = curves.at_best_threshold(one.cam, one)
        counted = one.truth != 255
        for c, label in enumerate((1, 2)):
            own = (one.truth == label) & counted

            def iou(inside: np.ndarray, own: np.ndarray = own, counted: np.ndarray = counted) -> float:
                inside = inside & counted
                return (inside & own).sum() / (inside | own).sum()

            best = max(iou(one.cam[0, c].numpy() > t) for t in np.arange(0.02, 0.981, 0.02))
            assert iou(moved[0, c].numpy() > 0.5) == pytest.approx(best, abs=0.01)


def test_curves_table_and_chart(curves: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [picture(curves, seed) for seed in range(3)]
    found = curves.curves_of(pictures, 3, None)
    assert list(found) == ["raw", "raw, oracle", "asam+matting", "asam+matting, oracle", "full"]
    assert found["raw, oracle"]["mean_iou"] >= max(value for _, value in found["raw"]["curve"]) - 0.01
    assert [row[0] for row in curves.rows_of(found)] == ["raw", "asam+matting", "full"]
    pytest.importorskip("matplotlib")
    from cams import chart

    (tmp_path / "cam_curves.json").write_text(json.dumps({"sets": {"ecssd": found}}))
    monkeypatch.setattr(chart, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["cams.chart", str(tmp_path / "chart.svg")])
    chart.main()
    assert (tmp_path / "chart.svg").read_text().count("oracle") == 0
    assert "full" in (tmp_path / "chart.svg").read_text()
