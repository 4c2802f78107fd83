"""The training benchmark's own arithmetic: the baselines' losses against naive loops, and its table."""

from __future__ import annotations

import argparse
import importlib
import json
import math
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from helpers import ROOT
from torch import Tensor

from closedform_wsss.functional import refine_prediction
from closedform_wsss.superpixels.lab import rgb_to_lab

BENCHMARKS = ROOT / "benchmarks"
GENERATOR = torch.Generator().manual_seed(0)
P = torch.randn(2, 3, 9, 11, generator=GENERATOR).double().softmax(1)
IMAGE = torch.rand(2, 3, 9, 11, generator=GENERATOR).double()


@pytest.fixture
def baselines(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from training import baselines

    return baselines


def pairs(h: int, w: int, reach: int):
    """All ordered pairs of different pixels within a square window."""
    for y in range(h):
        for x in range(w):
            for v in range(max(0, y - reach), min(h, y + reach + 1)):
                for u in range(max(0, x - reach), min(w, x + reach + 1)):
                    if (y, x) != (v, u):
                        yield y, x, v, u


@pytest.mark.parametrize("cell", [1, 2])
def test_gated_crf(baselines, cell):
    big = (x.repeat_interleave(cell, 2).repeat_interleave(cell, 3) for x in (P, IMAGE))
    total = 0.0
    for n in range(2):
        for y, x, v, u in pairs(9, 11, 2):
            colour = (IMAGE[n, :, y, x] - IMAGE[n, :, v, u]).square().sum().item()
            kernel = math.exp(-(cell**2) * ((y - v) ** 2 + (x - u) ** 2) / 72 - colour / 0.02)
            total += kernel * (P[n, :, y, x] * (1 - P[n, :, v, u])).sum().item()
    loss = baselines.gated_crf(*big, radius=2, cell=cell)
    assert loss.item() == pytest.approx(total / (2 * 9 * 11))


def kernel(n: int, p: Tensor, image: Tensor, sigma_xy: float, sigma_rgb: float) -> Tensor:
    h, w = p.shape[2:]
    rows = []
    for y in range(h):
        for x in range(w):
            place = [((y - v) ** 2 + (x - u) ** 2) / (2 * sigma_xy**2) for v in range(h) for u in range(w)]
            colour = (image[n] - image[n, :, y, x, None, None]).square().sum(0).flatten() / (2 * sigma_rgb**2)
            rows.append(torch.exp(-colour - torch.tensor(place, dtype=p.dtype)))
    return torch.stack(rows)


@pytest.mark.parametrize("name", ["dense_crf", "normalized_cut"])
def test_dense(baselines, name):
    big = (P.repeat_interleave(4, 2).repeat_interleave(4, 3), IMAGE.repeat_interleave(4, 2).repeat_interleave(4, 3))
    loss = getattr(baselines, name)(*big, sigma_xy=150.0, sigma_rgb=0.2)
    expected = 0.0
    for n in range(2):
        matrix = kernel(n, P, IMAGE, 150 * 11 / 500, 0.2)
        flat = P[n].flatten(1)
        cuts = [(s @ matrix @ (1 - s)).item() for s in flat]
        if name == "dense_crf":
            expected += sum(cuts) / matrix.sum().item() / 2
        else:
            expected += sum(cut / (matrix.sum(1) @ s).item() for cut, s in zip(cuts, flat, strict=True)) / 2
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["dense_crf", "normalized_cut"])
def test_gradient_of_dense(baselines, name):
    """The cut takes its gradient from the symmetry of W; differences of the loss show whether it is right."""
    image = IMAGE.repeat_interleave(4, 2).repeat_interleave(4, 3)
    p = P.repeat_interleave(4, 2).repeat_interleave(4, 3).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p: getattr(baselines, name)(p, image, sigma_xy=150.0, sigma_rgb=0.2), p, fast_mode=True
    )


def test_pairwise_affinity(baselines):
    # Colours near enough to one another that some pairs are alike.
    image = 0.5 + 0.01 * IMAGE
    lab, total, count = rgb_to_lab(image), 0.0, 0
    for n in range(2):
        for y, x, v, u in pairs(9, 11, 2):
            if abs(y - v) in (0, 2) and abs(x - u) in (0, 2):
                distance = (lab[n, :, y, x] - lab[n, :, v, u]).norm().item()
                if math.exp(-distance / 2) >= 0.6:
                    count += 1
                    total -= math.log((P[n, :, y, x] * P[n, :, v, u]).sum().item())
    assert 0 < count < 2 * 99 * 8
    loss = baselines.pairwise_affinity(P, image, threshold=0.6)
    assert loss.item() == pytest.approx(total / count)


def test_all_have_gradients(baselines):
    p, image = (x.repeat_interleave(2, 2).repeat_interleave(2, 3) for x in (P, 0.5 + 0.01 * IMAGE))
    p.requires_grad_()
    for name in baselines.BASELINES:
        (gradient,) = torch.autograd.grad(getattr(baselines, name)(p, image), p)
        assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0, name


def run_of(data: str, marks: str | None, row: str, score: float, seed: int = 0) -> dict:
    return {"set": data, "marks": marks, "row": row, "seed": seed, "mean_iou": score}


def test_table(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from training.table import gap_closed, markdown

    assert gap_closed(0.58, 0.5, 0.6) == pytest.approx(80)
    runs = [
        run_of("camvid", None, "masks", 0.62),
        run_of("camvid", "points", "ce", 0.5),
        run_of("camvid", "points", "rounds", 0.59),
        run_of("camvid", "points", "rounds", 0.61, 1),
    ]
    text = markdown({"runs": runs})  # the gap is that of seed 0, which the bounds have too
    row = next(line for line in text.splitlines() if "PseudoLabeler" in line)
    assert [v.strip() for v in row.strip("|").split("|")] == [
        *("**PseudoLabeler**", "", "0.600 ± 0.014, 75 %", "", "", "", "", "2")
    ]
    # Of each seed, and of the seeds after the first only where all of them are there.
    assert "75 / - / -" in text and "of seeds 1 and 2" not in text
    more = [run_of(data, None, "masks", 0.62, k) for data in ("camvid", "voc", "acdc") for k in (1, 2)]
    for data, kinds in (("camvid", ("scribbles", "points", "scribbles_sparse")), ("voc", ("scribbles", "points"))):
        more += [run_of(data, marks, "ce", 0.5, k) for marks in kinds for k in (1, 2)]
        more += [run_of(data, marks, "rounds", 0.53 + 0.03 * k, k) for marks in kinds for k in (1, 2)]
    more += [
        run_of("acdc", "scribbles", row, score, k) for k in (1, 2) for row, score in (("ce", 0.5), ("rounds", 0.56))
    ]
    lines = markdown({"runs": [run for run in runs if run["seed"] == 0] + more}).splitlines()
    at = next(k for k, line in enumerate(lines) if "75 / 50 / 75" in line)
    assert "- / 50 / 75" in lines[at] and lines[at + 1].count("63 %") == 5 and "50 %" in lines[at + 1]
    assert "Dice" not in text
    dice = markdown({"runs": [*runs, run_of("acdc", "scribbles", "rounds", 0.7) | {"dice": 0.87}]})
    assert "| **PseudoLabeler** | 0.870 | 1 |" in dice


def test_versions_of_the_runs(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from training.table import markdown

    runs = [run_of("acdc", "scribbles", "ce", 0.5, seed) for seed in (0, 1, 2)]
    runs[0] |= {"commit": "abc"}
    runs += [run_of("acdc", None, "masks", 0.6) | {"commit": "def"}]
    lines = markdown({"runs": runs}).splitlines()
    assert lines[-2:] == [
        "| full masks (upper bound) | def (1) |",
        "| cross-entropy on the marks (lower bound) | not recorded (2), abc (1) |",
    ]


def test_settings_are_chosen_on_the_other_sets(monkeypatch):
    """On CamVid weight 1 is best, on the other two weight 3: each set is reported with the choice of the others."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from training.rows import ROWS
    from training.sets import SETS
    from training.table import chosen_elsewhere, gap_of, left_out, scores_of

    runs = []
    for data, one, three in (("camvid", 0.58, 0.52), ("voc", 0.53, 0.56), ("acdc", 0.54, 0.55)):
        for marks, row, score in ((None, "masks", 0.6), ("scribbles", "ce", 0.5)):
            runs.append(run_of(data, marks, row, score))
        runs += [run_of(data, "scribbles", "dense_crf-1", one), run_of(data, "scribbles", "dense_crf-3", three)]
    scores = scores_of({"runs": runs}, "mean_iou")
    rows = [row for row in ROWS if row.name.startswith("dense_crf-")]
    assert [chosen_elsewhere(scores, rows, data).name for data in SETS] == ["dense_crf-3", "dense_crf-1", "dense_crf-1"]
    assert gap_of(scores, (SETS[0], "scribbles"), "dense_crf-1") == pytest.approx(80)
    line = next(line for line in left_out(scores).splitlines() if "dense CRF" in line)
    assert [v.strip() for v in line.strip("|").split("|")] == [
        *("+ dense CRF loss", "20 % (weight 3)", "", "", "30 % (weight 1)", "", "40 % (weight 1)")
    ]


def test_settings_are_compared_where_all_ran(monkeypatch):
    """Weight 1 has one more case, where every method is good, and one more seed, in which all did well."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from training.rows import ROWS
    from training.sets import SETS
    from training.table import chosen_elsewhere, percent, scores_of

    runs = [run_of(name, None, "masks", 0.6, seed) for name in ("camvid", "voc", "acdc") for seed in (0, 1)]
    for name in ("camvid", "voc", "acdc"):
        runs += [run_of(name, "scribbles", "ce", 0.5, seed) for seed in (0, 1)]
    runs += [run_of("voc", "scribbles", "dense_crf-1", 0.52), run_of("voc", "scribbles", "dense_crf-1", 0.60, 1)]
    runs += [run_of("voc", "scribbles", "dense_crf-3", 0.55), run_of("acdc", "scribbles", "dense_crf-1", 0.59)]
    scores = scores_of({"runs": runs}, "mean_iou")
    rows = [row for row in ROWS if row.name.startswith("dense_crf-")]
    assert chosen_elsewhere(scores, rows, SETS[0]).name == "dense_crf-3"
    assert chosen_elsewhere(scores, rows, SETS[1]).name == "dense_crf-1"  # the only one that ran elsewhere
    assert chosen_elsewhere(scores_of({"runs": []}, "mean_iou"), rows, SETS[0]) is None
    assert [percent(gap) for gap in (-0.3, -1.2, 79.6)] == ["0", "-1", "80"]


def test_entropy(baselines):
    uniform = torch.full((1, 4, 2, 2), 0.25)
    assert baselines.entropy(uniform, IMAGE).item() == pytest.approx(1)
    assert baselines.entropy(torch.eye(4)[:1, :, None, None], IMAGE).item() == 0


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


def work_of(tmp_path: Path, **scores: object) -> Path:
    """The folder of a run that is done."""
    folder = tmp_path / "work" / "acdc-scribbles-ce-1"
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


def test_the_curve_of_several_seeds(monkeypatch):
    """A run that was scored at other epochs, too."""
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from training.chart import mean_curve

    epochs, means = mean_curve([[(4, 0.1), (8, 0.3)], [(2, 0.0), (4, 0.3), (8, 0.5), (12, 0.9)]])
    assert epochs == [4, 8] and means == pytest.approx([0.2, 0.4])


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
