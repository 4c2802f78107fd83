"""The runs of the training benchmark: what they are given, which are done, Dice and filters."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import ROOT
from torch import Tensor

from closedform_wsss.functional import refine_prediction

BENCHMARKS = ROOT / "benchmarks"


def test_dice_of_patients(monkeypatch, tmp_path):
    """A network that calls the bright pixels class 1, on two patients with two slices each."""
    import numpy as np
    from PIL import Image

    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from segmentation import model
    from training.dice import dice_of_patients

    class Bright(torch.nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            bright = image[:, :1]
            return torch.cat([0.5 - bright, bright - 0.5, torch.full_like(bright, -1)], 1)

    monkeypatch.setattr(model, "build_model", lambda *_: Bright())
    torch.save({}, tmp_path / "model.pt")
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    # The prediction is the left half; labels are the left quarter of patient 1, nothing and the left half of patient 2.
    image = np.zeros((8, 16), np.uint8)
    image[:, :8] = 255
    for name, width in (("patient001_a", 4), ("patient001_b", 4), ("patient002_a", 0), ("patient002_b", 8)):
        label = np.zeros((8, 16), np.uint8)
        label[:, :width] = 1
        Image.fromarray(image).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(label).save(tmp_path / "labels" / f"{name}.png")
    args = argparse.Namespace(output=tmp_path, val=tmp_path, size=(8, 16), classes=3, model="")
    assert dice_of_patients(args) == pytest.approx((2 * 4 / 12 + 2 * 8 / 24) / 2)


@pytest.mark.parametrize("name", ["none", "pamr", "mean_field"])
def test_filters(monkeypatch, name):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from training import filters

    # A square on a ground, of which the probabilities know little and the marks something.
    image = torch.zeros(2, 3, 24, 32)
    image[:, :, 6:18, 8:24] = 1
    target = torch.full((2, 48, 64), 255)
    target[:, 20, 20:40], target[:, 2, 4:60] = 1, 0
    p = torch.full((2, 2, 24, 32), 0.5)
    q = getattr(filters, name)(p, image, target=target, fidelity=0.03, eps=1e-7, tol=0.03)
    assert q.shape == p.shape
    torch.testing.assert_close(q.sum(1), torch.ones(2, 24, 32))
    assert (q[:, 1, 10, 10:20] > 0.5).all() and (q[:, 0, 1, 2:30] > 0.5).all()
    spread = q[:, 1, 7:9, 12:18] > 0.5
    assert spread.all() if name != "none" else not spread.any()
    # A row of the benchmark filters by it. Undone at the end of the test.
    module = importlib.import_module("closedform_wsss.functional.refine_prediction")
    monkeypatch.setattr(module, "filter_maps", module.filter_maps)
    filters.use(name)
    refined = refine_prediction(p, image, target)
    torch.testing.assert_close(refined, q / q.sum(1, keepdim=True))


def test_every_row_is_a_run_of_the_example(monkeypatch, tmp_path):
    """The arguments are those that the example takes; names are different, and those of folders."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import train_segmentation
    from segmentation import losses
    from training import baselines, training
    from training.rows import CONSTANTS, MASKS, ROWS
    from training.sets import SETS

    monkeypatch.setattr(losses, "LOSSES", losses.LOSSES | baselines.LOSSES)
    monkeypatch.setattr(train_segmentation, "LOSSES", losses.LOSSES)
    assert len({row.name for row in ROWS}) == len(ROWS)
    args = argparse.Namespace(data=tmp_path, work=tmp_path / "work", device=None)
    chosen = {SETS[0].name: {"prediction_scales": [1.0], "filter_scale": None, "REACH": 20}}
    (tmp_path / "label_settings.json").write_text(json.dumps({"left_out": chosen}))
    monkeypatch.setattr(training, "RESULTS", tmp_path)
    assert training.settings_of_others(SETS[0].name) == [
        *("--set", "prediction_scales=(1.0,)", "--set", "filter_scale=None", "--set", "REACH=20")
    ]
    for row in (MASKS, *ROWS):
        command = training.command((SETS[0], "points", row, 1), args)
        command = command[command.index("--child") + 1 :]
        while "--set" in command:
            at = command.index("--set")
            name, _ = command[at + 1].split("=")
            assert name == "filter" or name in CONSTANTS or hasattr(train_segmentation.RECIPE, name)
            del command[at : at + 2]
        parsed = train_segmentation.parse(command)
        assert parsed.targets == ("labels" if row is MASKS else "points") and parsed.seed == 1


def test_kept_runs(monkeypatch, tmp_path):
    """A run of the results is not done again; one of the work folder replaces it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from training import training

    def stored(row: str, seed: int, score: float) -> dict[str, object]:
        marks = None if row == "masks" else "scribbles"
        return {"set": "acdc", "marks": marks, "row": row, "seed": seed, "mean_iou": score, "iou": [score], "curve": []}

    held = [stored("masks", 0, 0.8), stored("ce", 0, 0.2), stored("ce", 1, 0.3)]
    (tmp_path / "training.json").write_text(json.dumps({"runs": held}))
    folder = tmp_path / "work" / "acdc-scribbles-ce-1"
    folder.mkdir(parents=True)
    (folder / "scores.json").write_text(json.dumps({"mean_iou": 0.4, "iou": [0.4]}))
    (folder / "log.csv").write_text("epoch,mean_iou\n1,\n2,0.4\n")
    ran, found = [], {}
    monkeypatch.setattr(training, "RESULTS", tmp_path)
    monkeypatch.setattr(training, "run", lambda job, args: ran.append(training.key(job)))
    monkeypatch.setattr(training, "write_json", lambda name, payload: found.update(payload))
    monkeypatch.setattr(training, "write_markdown", lambda *arguments: None)
    options = ["--sets", "acdc", "--rows", "masks", "ce", "--work", str(tmp_path / "work"), "--keep"]
    monkeypatch.setattr("sys.argv", ["training", "DATA", *options])
    training.main()
    assert ran == [("acdc", None, "masks", 1), ("acdc", None, "masks", 2), ("acdc", "scribbles", "ce", 2)]
    assert [(run["row"], run["seed"], run["mean_iou"]) for run in found["runs"]] == [
        *(("masks", 0, 0.8), ("ce", 0, 0.2), ("ce", 1, 0.4))
    ]


def work_of(tmp_path: Path, row: str = "ce", **scores: object) -> Path:
    """The folder of a run that is done."""
    folder = tmp_path / "work" / f"acdc-scribbles-{row}-1"
    folder.mkdir(parents=True)
    (folder / "scores.json").write_text(json.dumps({"mean_iou": 0.4, "iou": [0.4], **scores}))
    (folder / "log.csv").write_text("epoch,mean_iou\n1,\n2,0.4\n")
    return folder


@pytest.fixture
def started(monkeypatch, tmp_path):
    """``main`` with options, on ce of ACDC; what it runs, and what it writes."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from training import training

    ran, found = [], {}
    monkeypatch.setattr(training, "RESULTS", tmp_path)
    monkeypatch.setattr(training, "write_json", lambda name, payload: found.update(payload))
    monkeypatch.setattr(training, "write_markdown", lambda *arguments: None)

    def fail(command: list[str], **_: object) -> SimpleNamespace:
        ran.append(Path(command[command.index("-o") + 1]).name)
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(training.subprocess, "run", fail)
    monkeypatch.setattr(training, "describe_machine", dict)

    def start(*options: str) -> int:
        options = ("--sets", "acdc", "--rows", "ce", "--work", str(tmp_path / "work"), *options)
        monkeypatch.setattr("sys.argv", ["training", "DATA", *options])
        return training.main()

    return SimpleNamespace(main=start, ran=ran, found=found, training=training)


def test_settings_chosen_on_the_other_sets_that_are_the_default(started, tmp_path):
    """Their result is that of PseudoLabeler, which is not run twice."""
    chosen = {"camvid": {"KEPT_RECALL": 0.5}, "acdc": {}}
    (tmp_path / "label_settings.json").write_text(json.dumps({"left_out": chosen}))
    run = {"set": "acdc", "marks": "scribbles", "row": "rounds", "seed": 2, "mean_iou": 0.7, "iou": [0.7], "curve": []}
    (tmp_path / "training.json").write_text(json.dumps({"runs": [run]}))
    work_of(tmp_path, row="rounds")
    rows = ["--rows", "left-out", "rounds", "--marks", "scribbles", "--jobs", "1"]
    assert started.main(*rows, "--seeds", "0", "--sets", "acdc", "camvid") == 1
    wanted = ["camvid-scribbles-rounds-0", "camvid-scribbles-left-out-0", "acdc-scribbles-rounds-0"]
    assert started.ran == wanted
    assert started.main("--keep", "--report") == 0
    found = [(run["row"], run["seed"], run["mean_iou"]) for run in started.found["runs"]]
    # The kept run may be of a version that had other settings.
    assert found == [("rounds", 1, 0.4), ("left-out", 1, 0.4), ("rounds", 2, 0.7)]


def test_a_run_that_was_killed_after_its_scores_goes_on(started, tmp_path):
    """Its log lacks the last epoch then, and it has no weights; or its Dice is missing."""
    folder = work_of(tmp_path)
    (folder / "last.pt").touch()
    assert started.main("--seeds", "1") == 1
    assert started.ran == ["acdc-scribbles-ce-1"] and started.found["runs"] == []
    (folder / "scores.json").write_text(json.dumps({"mean_iou": 0.4, "commit": "abc"}))
    assert started.main("--seeds", "1") == 0
    assert len(started.ran) == 1 and started.found["runs"][0]["commit"] == "abc"


def test_a_run_of_other_arguments_does_not_count(started, tmp_path):
    folder = work_of(tmp_path, arguments=["--classes", "4", "--epochs", "16"])
    with pytest.raises(SystemExit, match=r"is a run with --classes 4 --epochs 16, not --classes 4 --size 128 128 "):
        started.main("--report")
    assert started.ran == [] and started.found == {}
    scores = json.loads((folder / "scores.json").read_text())
    training = started.training
    data = next(data for data in training.SETS if data.name == "acdc")
    row = next(row for row in training.ROWS if row.name == "ce")
    made = training.command(
        (data, "scribbles", row, 1), argparse.Namespace(data=Path("D"), work=tmp_path, device="cpu")
    )
    scores["arguments"] = training.kept_arguments(made[made.index("--child") + 1 :])
    (folder / "scores.json").write_text(json.dumps(scores))
    assert started.main("--report") == 0
    (run,) = started.found["runs"]
    assert run["mean_iou"] == 0.4 and {"--epochs", "--every", "--seed"} <= set(run["arguments"])
    assert not {"--val", "-o", "--device", "--val-every"} & set(run["arguments"])


def test_commits_of_a_run_that_was_cut(started, tmp_path):
    commits_of, folder = started.training.commits_of, tmp_path / "run"
    assert commits_of(folder, "abc") == "abc"
    assert commits_of(folder, "def") == "def"  # nothing was trained yet
    (folder / "last.pt").touch()
    assert commits_of(folder, "def") == "def"
    assert commits_of(folder, "012") == "def, then 012"


@pytest.mark.parametrize("wrong", [["--seeds", "3"], ["--marks", "scribble"]])
def test_choices_that_would_run_nothing(started, wrong, capsys):
    with pytest.raises(SystemExit):
        started.main(*wrong)
    assert "invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [([], "work holds no run of cross-entropy or online"), (["--runs", "acdc-a-0"], "no model.pt of acdc-a-0")],
)
def test_label_steps_without_networks(monkeypatch, tmp_path, options, message):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from training import label_steps

    (tmp_path / "work").mkdir()
    monkeypatch.setattr("sys.argv", ["label_steps", "DATA", "--work", str(tmp_path / "work"), *options])
    with pytest.raises(SystemExit, match=message):
        label_steps.main()
