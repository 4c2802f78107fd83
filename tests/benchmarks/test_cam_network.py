"""The benchmark that trains networks from CAMs: its table, and what is not done again."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
from helpers import ROOT


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from cams import network

    return network


def put(work: Path, run: str, mean_iou: float) -> None:
    (work / run).mkdir(parents=True)
    (work / run / "scores.json").write_text(json.dumps({"mean_iou": mean_iou}))


def test_table_is_of_all_runs_that_are_done(network, tmp_path):
    runs = {"raw-10": 0.3, "raw-2": 0.4, "refined-2": 0.45, "superpixel-3": 0.6, "masks-2": 0.5, "masks-3": 0.6}
    runs["raw-old"] = 0.1  # somebody's, of no seed
    for run, value in runs.items():
        put(tmp_path, run, value)
    (tmp_path / "rounds-0").mkdir()
    found = network.results(tmp_path)
    assert found == {"raw": {2: 0.4, 10: 0.3}, "refined": {2: 0.45}, "superpixel": {3: 0.6}, "masks": {2: 0.5, 3: 0.6}}
    lines = [line for line in network.markdown(found).splitlines() if line.startswith("| ")]
    assert lines[1:] == [
        "| labels of raw CAMs (lower bound) | 0.350 +- 0.071 |  | 2 |",
        "| labels of refined CAMs | 0.450 | 50 % | 1 |",  # of seed 2, which all three have
        "| the same, and superpixel consistency loss | 0.600 |  | 1 |",
        "| full masks (upper bound) | 0.550 +- 0.071 |  | 2 |",
    ]


def test_a_run_that_is_done_is_not_done_again(network, tmp_path, monkeypatch):
    put(tmp_path, "raw-0", 0.3)
    (tmp_path / "voc_scribbles" / "train" / "images").mkdir(parents=True)
    commands = []
    monkeypatch.setattr(network.subprocess, "run", lambda command, **_: commands.append(command))
    network.train("raw", 0, tmp_path, tmp_path)
    assert not commands
    network.train("raw", 1, tmp_path, tmp_path)
    assert len(commands) == 2


def test_commands(network, tmp_path, monkeypatch):
    (tmp_path / "voc_scribbles" / "train" / "images").mkdir(parents=True)
    commands = []
    monkeypatch.setattr(network.subprocess, "run", lambda command, **_: commands.append(command))
    network.train("rounds", 2, tmp_path, tmp_path / "work")
    refine, train = commands
    assert "--margin" in refine and refine[refine.index("--threshold") + 1] == "0.4"
    assert train[train.index("--targets") + 1] == "marks" and train[train.index("--seed") + 1] == "2"
    assert (tmp_path / "work" / "set-methodfullmargin01" / "images").exists()


def test_labels_with_saliency(network, tmp_path, monkeypatch):
    (tmp_path / "voc_scribbles" / "train" / "images").mkdir(parents=True)
    commands = []
    monkeypatch.setattr(network.subprocess, "run", lambda command, **_: commands.append(command))
    network.train("saliency", 0, tmp_path, tmp_path / "work", tmp_path / "maps")
    network.train("refined", 0, tmp_path, tmp_path / "work", tmp_path / "maps")
    with_saliency, _, without, _ = commands
    folder = with_saliency[with_saliency.index("--saliency") + 1]
    assert folder == str(tmp_path / "maps" / "voc_scribbles" / "train" / "saliency") and "--saliency" not in without
    assert with_saliency[with_saliency.index("-o") + 1] != without[without.index("-o") + 1]


def test_a_set_of_other_images(network, tmp_path, monkeypatch):
    for data in ("one", "other"):
        (tmp_path / data / "voc_scribbles" / "train" / "images").mkdir(parents=True)
    monkeypatch.setattr(network.subprocess, "run", lambda *_, **__: None)
    network.train("raw", 0, tmp_path / "one", tmp_path / "work")
    with pytest.raises(SystemExit, match=r"set-methodnone is of the images in .*one.*: choose another --work"):
        network.train("raw", 1, tmp_path / "other", tmp_path / "work")
