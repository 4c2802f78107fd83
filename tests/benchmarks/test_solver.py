"""The solver benchmark at tiny sizes: it runs, goes on where it stopped, and writes tables that hold together."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import skimage.data
from helpers import ROOT
from PIL import Image

_BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def solver_cases(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that decides what is measured."""
    monkeypatch.syspath_prepend(str(_BENCHMARKS))
    from solver import cases

    return cases


@pytest.fixture
def solver_table(solver_cases: ModuleType) -> ModuleType:
    """The module that writes what was measured."""
    from solver import table

    return table


def make_lemur(folder: Path) -> None:
    """An image with a trimap, as pymatting's example has."""
    folder.mkdir(parents=True)
    Image.fromarray(np.ascontiguousarray(skimage.data.coffee()[100:120, 200:224])).save(folder / "image.png")
    trimap = np.repeat(np.array([0, 102, 255], dtype=np.uint8), 8)
    Image.fromarray(np.tile(trimap, (20, 1))).save(folder / "trimap.png")


def whole_tables(text: str) -> list[list[list[str]]]:
    """The cells of every table, each with as many in every line and its first two columns filled."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        elif found[-1]:
            found.append([])
    found = [table for table in found if table]
    for table in found:
        assert all(len(row) == len(table[0]) for row in table)
        assert all(cell for row in table[2:] for cell in row[:2])
    return found


@pytest.mark.slow
def test_quick_measures_every_solver_and_writes_whole_tables(tmp_path: Path) -> None:
    make_lemur(tmp_path / "data" / "lemur")
    options = [str(tmp_path / "data"), "--quick", "--threads", "2", "--output", str(tmp_path)]
    # Without the solvers that run only where their packages are: the rows are the same everywhere.
    (tmp_path / "absent").mkdir()
    absent = f"import sys\nsys.modules.update(dict.fromkeys({['pyamg', 'cholespy']}))\n"
    (tmp_path / "absent" / "sitecustomize.py").write_text(absent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "absent"), *sys.path])}
    done = subprocess.run(
        [sys.executable, str(_BENCHMARKS), "solver", *options],
        capture_output=True, text=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    payload = json.loads((tmp_path / "solver_quick.json").read_text())
    assert payload["threads"] == 2 and payload["large"]["status"] == 0
    # 8 solvers, 2 of them with 1 thread too, on a photograph and on the lemur; 3 with more classes.
    assert len(payload["rows"]) == 10 + 10 + 4
    apart = payload["agreement"]
    assert apart.pop("case") == "coffee, 32 x 24"
    assert len(apart) == 3 and max(apart.values()) < 1e-5  # fixed marks are mark_weight 1e6 to one of the two
    for row in payload["rows"]:
        assert row["status"] == "ok" and len(row["samples_s"]) == 2 and min(row["samples_s"]) > 0
        assert row["peak_bytes"] >= 0 and row["mean_error"] <= row["max_error"]
        # Tight solutions tell which system each solves: nobody's could be so near another's.
        assert row["mean_error"] < 2e-3, row
        if row["solver"] == "SciPy direct":
            assert row["max_error"] < 1e-3

    text = (tmp_path / "solver_quick.md").read_text()
    assert str(tmp_path) not in text
    assert "closedform_wsss" in text and "megapixels by the command line" in text
    assert [len(table) for table in whole_tables(text)] == [2 + 10, 2 + 4, 2 + 10]


def test_photographs_of_a_size_share_a_line_and_sizes_give_the_growth(solver_table: ModuleType) -> None:
    row = {
        "section": "scribbles",
        "classes": 2,
        "solver": "closedform_wsss",
        "threads": 1,
        "status": "ok",
        "detail": "",
    }
    row |= {"limit_s": 9.0, "iterations": 5, "converged": True, "ichol_shifts": 0, "peak_bytes": 2**20}
    row |= {"max_error": 0.02, "mean_error": 0.01}

    def measured(photo: str, side: int, seconds: list[float], **other: object) -> dict[str, object]:
        size = {"photo": photo, "case": f"{photo} {side}", "height": side, "width": side, "pixels": side * side}
        return row | size | {"samples_s": seconds} | other

    baseline = "SciPy direct"
    rows = [
        measured("a", 100, [1.0, 2.0]),
        measured("a", 200, [12.0], converged=False, max_error=None, mean_error=None),
        measured("b", 100, [4.0, 4.0]),
        measured("a", 100, [4.0, 8.0], solver=baseline),
        measured("b", 100, [], solver=baseline, status="limit"),
        measured("a", 200, [], solver=baseline, status="limit"),
    ]
    text = solver_table.markdown({"rows": rows, "threads": 1, "large": None}, "a")
    (table,) = whole_tables(text)
    # Medians 1.5 and 4; a baseline's ratios are those of its rounds.
    assert table[2:] == [
        ["100 x 100, 2 photographs, closedform_wsss", "2.45", "1", "1", "2.0e-02", "1.0e-02", "5", ""],
        [
            "100 x 100, 2 photographs, SciPy direct",
            "6.00",
            "4.00",
            "1",
            "2.0e-02",
            "1.0e-02",
            "5",
            "limit reached on 1 of 2",
        ],
        ["200 x 200, closedform_wsss", "12.0", "1", "1", "", "", "5", "not converged; no tight solution"],
        ["200 x 200, SciPy direct", "> 9", "", "", "", "", "", ""],
    ]
    # 8 times as long for 4 times the pixels.
    assert "closedform_wsss: 1.50 (0.01 to 0.04 megapixels)." in text and "SciPy direct: " not in text


def test_rows_of_two_runs_share_no_rounds(solver_table: ModuleType) -> None:
    """A run that goes on with one more solver: ratios of medians, and the table says so."""
    row = {"case": "a", "classes": 2, "threads": 1, "status": "ok", "converged": True, "ichol_shifts": 0}
    ours = row | {"solver": "closedform_wsss", "samples_s": [1.0, 4.0, 2.0], "run": "today", "max_error": 0.0}
    other = ours | {"solver": "SciPy direct", "samples_s": [4.0, 4.0, 8.0]}
    assert solver_table.ratio(other, ours) == 4 and solver_table._notes([other], [ours, other], 1) == ""
    later = other | {"run": "tomorrow"}
    assert solver_table.ratio(later, ours) == 2
    assert solver_table._notes([later], [ours, later], 1) == "not in one run with ours"


def test_a_second_start_measures_what_is_missing_or_failed(solver_cases: ModuleType, tmp_path: Path) -> None:
    args = argparse.Namespace(quick=True, output=tmp_path, fresh=False, limit=10.0)
    first = solver_cases.Measurements(args, 2)
    row = {"solver": "a", "classes": 2, "status": "ok", "limit_s": 10.0}
    first.add(row, row | {"solver": "b", "status": "failed"}, row | {"solver": "c", "status": "limit"})

    def known(args: argparse.Namespace, threads: int) -> list[str]:
        rows = solver_cases.Measurements(args, threads).payload["rows"]
        return [row["solver"] for row in rows]

    assert known(args, 2) == ["a", "c"]
    assert known(argparse.Namespace(**vars(args) | {"limit": 11.0}), 2) == ["a"]
    assert known(argparse.Namespace(**vars(args) | {"fresh": True}), 2) == []
    assert known(args, 1) == []


def test_who_reached_the_limit_is_not_run_at_larger_sizes(solver_cases: ModuleType, tmp_path: Path) -> None:
    done = solver_cases.Measurements(argparse.Namespace(quick=True, output=tmp_path, fresh=False, limit=10.0), 2)
    row = {"section": "scribbles", "classes": 2, "solver": "a", "threads": 2, "pixels": 100, "status": "limit"}
    done.add(row, row | {"solver": "b", "status": "ok"})
    assert done.beaten(row | {"pixels": 101})
    assert not done.beaten(row)
    assert not done.beaten(row | {"pixels": 101, "classes": 3})
    assert not done.beaten(row | {"pixels": 101, "solver": "b"})


def test_a_folder_without_the_lemur(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from solver.inputs import lemur

    with pytest.raises(
        SystemExit, match=r"lemur must hold image.png and trimap.png: pass the folder that contains lemur/"
    ):
        lemur(tmp_path / "lemur")
