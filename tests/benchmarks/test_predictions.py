"""The benchmark that refines predictions: which runs it takes, and which settings it reports."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from helpers import ROOT


@pytest.fixture
def predictions(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from predictions import predictions

    return predictions


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for name in ("voc-masks-0", "camvid-points-ce-0", "camvid-points-ce-1", "set-0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.pt").touch()
    (tmp_path / "acdc-masks-0").mkdir()  # without a network yet
    return tmp_path


def test_runs_with_seed_0(predictions: ModuleType, work: Path) -> None:
    assert [run.name for run in predictions.networks(work, None)] == ["camvid-points-ce-0", "voc-masks-0"]
    named = ["camvid-points-ce-1", "voc-masks-0"]
    assert [run.name for run in predictions.networks(work, named)] == named


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["voc-masks-0", "acdc-masks-0"], "acdc-masks-0 must be a run of benchmarks training, with its model.pt"),
        (["voc-masks-0", "set-0"], "set-0 must be a run of"),
        (["voc-masks-0"], "two data sets at least, got voc-masks-0"),
    ],
)
def test_runs_that_cannot_be_compared(predictions: ModuleType, work: Path, names: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        predictions.networks(work, names)


def test_no_runs(predictions: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="got none"):
        predictions.networks(tmp_path, None)


def test_the_setting_is_the_safest_on_the_other_sets(predictions: ModuleType) -> None:
    def run(weak: float, strong: float) -> dict:
        return {"before": {"": (0.5, 1.0)}, "a": {"": (0.5, 1.0)}, "b": {"weak": (weak, 1.0), "strong": (strong, 1.0)}}

    found = {"voc-masks-0": run(0.51, 0.6), "voc-masks-1": run(0.51, 0.4), "acdc-masks-0": run(0.5, 0.7)}
    assert predictions.chosen(found, "b", "acdc") == "weak" and predictions.chosen(found, "b", "voc") == "strong"
    text = predictions.markdown(found)
    assert "| voc-masks-0 | 0.500 | +0.0 | +10.0 |" in text and "| voc-masks-1 | 0.500 | +0.0 | -10.0 |" in text
    assert "| acdc-masks-0 | 0.500 | +0.0 | +0.0 |" in text
