"""The tables and charts of the training benchmark."""

from __future__ import annotations

import pytest
from helpers import ROOT

BENCHMARKS = ROOT / "benchmarks"


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


def test_the_curve_of_several_seeds(monkeypatch):
    """A run that was scored at other epochs, too."""
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from training.chart import mean_curve

    epochs, means = mean_curve([[(4, 0.1), (8, 0.3)], [(2, 0.0), (4, 0.3), (8, 0.5), (12, 0.9)]])
    assert epochs == [4, 8] and means == pytest.approx([0.2, 0.4])
