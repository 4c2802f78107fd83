"""How benchmarks are started: by their names, each of which says what its options are."""

from __future__ import annotations

import importlib
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import ROOT

from closedform_wsss import _C

BENCHMARKS = ROOT / "benchmarks"
NAMES = runpy.run_path(str(BENCHMARKS / "__main__.py"))["names"]()


def start(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def test_names_are_listed(tmp_path: Path) -> None:
    done = start(folder=tmp_path)
    assert done.returncode == 0
    assert {"kernels", "solver", "solver.profile", "superpixels.speed", "training.step"} <= set(NAMES)
    for name, line in NAMES.items():
        assert re.search(rf"^ +{re.escape(name)} +{re.escape(line)}$", done.stdout, re.M) and len(line) > 20


@pytest.mark.parametrize("name", ["solvers", "solver/solver.py", "..solver", "results"])
def test_no_such_name(name: str, tmp_path: Path) -> None:
    done = start(name, folder=tmp_path)
    assert done.returncode == 2
    assert f"there is no benchmark {name}: choose from cams.calibration, cams, cams." in done.stderr


def test_pages_name_benchmarks_that_there_are() -> None:
    root = BENCHMARKS.parent
    pages = [*root.glob("*.md"), BENCHMARKS / "README.md", *(root / "docs").glob("*.rst"), root / "Makefile"]
    pages += BENCHMARKS.glob("*/*.py")
    named = {name for page in pages for name in re.findall(r"python benchmarks ([a-z_.]+)", page.read_text())}
    assert named == set(NAMES)


@pytest.mark.slow
def test_help(tmp_path: Path) -> None:
    """In one process, as each import of torch and numba takes seconds."""
    code = "import runpy, sys; sys.path.insert(0, sys.argv[1]); main = runpy.run_path(sys.argv[1])['main']\n"
    code += "for name in sys.argv[2:]:\n try: main([name, '--help'])\n except SystemExit as end: print(name, end.code)"
    try:
        importlib.import_module("matplotlib")
        names = list(NAMES)
    except ImportError:
        names = [name for name in NAMES if not name.endswith(".chart")]
    command = [sys.executable, "-c", code, str(BENCHMARKS), *names]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(\S+) 0$", done.stdout, re.M) == names
    assert re.findall(r"^usage: .*benchmarks (\S+) \[-h\]", done.stdout, re.M) == names
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif("avx512" not in _C.levels() or not shutil.which("objdump"), reason="needs AVX-512 and objdump")
def test_the_loop_of_the_product_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 differences, each with a multiply-add, for four vectors; of their neighbours 20 are shifted."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    loop = importlib.import_module("kernels.limit").inner_loop()
    assert loop["shift"] == 80 and 96 <= loop["subtraction"] <= 112 and 96 <= loop["multiply-add"] <= 112
    assert sum(loop.values()) - loop["all instructions"] < loop["all instructions"] < 600


def test_an_installed_package_of_other_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The commit of the checkout is not that of what was measured then."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    machine = importlib.import_module("common.machine")
    own, installed = tmp_path / "own", tmp_path / "installed"
    (own / "part").mkdir(parents=True)
    (own / "part" / "a.py").write_text("x = 1")
    shutil.copytree(own, installed)
    assert not machine.other_sources(installed, own) and not machine.other_sources(own, own)
    (own / "part" / "a.py").write_text("x = 2")
    assert machine.other_sources(installed, own)
    (installed / "part" / "a.py").write_text("x = 2")
    (own / "b.py").touch()
    assert machine.other_sources(installed, own)
    monkeypatch.setattr(machine, "other_sources", lambda *_: True)
    assert re.fullmatch(r"none|\w{12}( with local changes)?, the installed package has other sources", machine.commit())


def test_the_parts_of_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part without the parts inside it, and the functions are back afterwards."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    parts = importlib.import_module("common.parts")
    ticks = iter(range(100))
    monkeypatch.setattr(parts, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))

    class Work:
        @classmethod
        def outer(cls, times: int) -> int:
            return sum(cls.inner() for _ in range(times))

        @staticmethod
        def inner() -> int:
            return 1

    originals = dict(vars(Work))
    calls = []
    with parts.PartClock({"outer": (Work, "outer"), "inner": (Work, "inner")}, lambda *c: calls.append(c)) as clock:
        assert Work.outer(3) == 3
    assert clock.seconds == {"outer": 4.0, "inner": 3.0} and clock.calls == {"outer": 1, "inner": 3}
    assert calls == [("inner", (), 1)] * 3 + [("outer", (3,), 3)]
    assert dict(vars(Work)) == originals


@pytest.mark.slow
def test_the_table_of_all_speeds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each line finds what it compares among the races."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    speed = importlib.import_module("speed.speed")
    written: dict[str, str] = {}
    monkeypatch.setattr(speed, "write_json", lambda *_: None)
    monkeypatch.setattr(
        speed, "write_markdown", lambda name, title, command, machine, body: written.update({name: body})
    )
    sections = ["product", "loss", "filter", "superpixels", "solver"]
    monkeypatch.setattr(sys, "argv", ["speed", "--quick", "--threads", "1", "--only", *sections])
    speed.main()
    rows = [line.split(" | ") for line in written["speed_quick"].splitlines() if line.startswith("| ")][1:]
    assert {row[0].split(",")[0].removeprefix("| ") for row in rows} == {
        *("product L x", "loss from logits", "matting filter", "ASAM"),
        *("soft_slic", "refine_cam", "solve_matting"),
    }
    for work, own, _, ratio in rows:
        assert float(own) > 0 and (work.startswith("| refine_cam") or float(ratio.split()[0]) >= 0)


def test_some_sections_do_not_replace_the_stored_tables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    kernels, speed = (importlib.import_module(name) for name in ("kernels.kernels", "speed.speed"))
    monkeypatch.setattr("sys.argv", ["kernels", "--only", "product"])
    with pytest.raises(SystemExit):
        kernels.arguments()
    assert "--only needs --name: kernels.md would lose its other sections" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["kernels", "--only", "product", "--name", "product"])
    assert kernels.arguments().only == ["product"]
    monkeypatch.setattr("sys.argv", ["kernels"])
    assert kernels.arguments().only == ["build", "product", "loss", "filter"]

    files = []
    section = speed.Section((), lambda threads: [])
    for maker in ("superpixel_section", "solver_section", "step_section"):
        monkeypatch.setattr(speed, maker, lambda *_: section)
    monkeypatch.setattr(speed, "kernel_sections", lambda *_: {})
    monkeypatch.setattr(speed, "write_json", lambda name, payload: files.append(name))
    monkeypatch.setattr(speed, "write_markdown", lambda *_: None)
    threads = torch.get_num_threads()
    monkeypatch.setattr("sys.argv", ["speed", "--threads", "1", "--only", "step"])
    speed.main()
    torch.set_num_threads(threads)
    assert set(files) == {"speed_quick"}


def test_many_classes_are_compared_with_one_preconditioner(monkeypatch: pytest.MonkeyPatch) -> None:
    """pymatting's function factorizes for each class anew: the table also has its fastest form."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    speed = importlib.import_module("speed.speed")
    lines = speed.solver_section(None, 1, True).lines
    many = {line.other: line.called for line in lines if line.case.endswith("4 classes")}
    assert many == {
        "pymatting cf, ichol": "pymatting, its defaults, class after class",
        "pymatting cf, ichol, soft": "pymatting, one preconditioner for all classes",
    }


def test_a_line_of_the_table_of_all_speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours in milliseconds, then how many times as long the other took in the same round."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    speed = importlib.import_module("speed.speed")

    def result(name: str, threads: int, samples: list[float]) -> object:
        middle = sorted(samples)[1]
        return speed.Result("s", "a case", threads, name, 3, middle, min(samples), (0, 0), 1, (1, 1), "", samples)

    results = [result("ours", 1, [0.1, 0.2, 0.3]), result("other", 1, [0.3, 0.4, 0.6]), result("ours", 2, [0.05] * 3)]
    lines = [
        speed.Line("work", "a case", "ours", "other", "rival"),
        speed.Line("work", "none", "ours", "other", "rival"),
    ]
    assert speed.rows(lines, results, [1, 2]) == [["work, a case", "200", "50.0", "rival", "2.00 (2.00 to 2.50)", ""]]


def test_sections_that_the_table_of_all_speeds_keeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those that are not measured again, each with the version that it is of; and in the file of an interrupted run
    also those that it had not measured yet."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    speed = importlib.import_module("speed.speed")
    monkeypatch.setattr(speed, "RESULTS", tmp_path)
    with pytest.raises(SystemExit, match=r"--keep: there is no speed.json to keep sections of"):
        speed.stored("speed", None)
    rest = {"case": "c", "threads": 1, "name": "n", "rounds": 1, "median_s": 1.0, "min_s": 1.0}
    rest |= {"quartiles_s": (1.0, 1.0), "ratio": 1.0, "ratio_quartiles": (1.0, 1.0)}
    last = {
        "machine": {"commit": "abc", "date": "today"},
        "results": [{"section": name} | rest for name in ("loss", "spl", "solver")],
        "measured": {"solver": "commit old, yesterday"},
        "large": {"width": 8, "height": 6, "seconds": 1.0, "peak_bytes": 1, "solved": "yes"},
    }
    lemur = last | {"results": [{"section": "solver"} | rest | {"case": "lemur, 2 x 2"}]}
    (tmp_path / "speed.json").write_text(json.dumps(lemur))
    with pytest.raises(SystemExit, match="has rows of the lemur, which need DATA"):
        speed.stored("speed", None)
    assert speed.stored("speed", tmp_path)["results"][0]["case"] == "lemur, 2 x 2"
    (tmp_path / "speed.json").write_text(json.dumps(last))
    written = {}
    monkeypatch.setattr(speed, "write_json", lambda name, payload: written.update(payload))
    section = speed.Section((), lambda threads: [speed.Result(**{"section": "loss"} | rest | {"median_s": 2.0})])
    cut = speed.Section((), lambda threads: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr(speed, "kernel_sections", lambda *_: {"loss": section, "filter": cut})
    for maker in ("superpixel_section", "solver_section", "step_section"):
        monkeypatch.setattr(speed, maker, lambda *_: section)
    monkeypatch.setattr("sys.argv", ["speed", "--keep", "--threads", "1", "--only", "loss", "filter", "solver"])
    threads = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        speed.main()
    torch.set_num_threads(threads)
    assert {r.section: r.median_s for r in written["results"]} == {"loss": 2.0, "spl": 1.0, "solver": 1.0}
    assert written["large"] == last["large"] and "loss" not in written["measured"]
    assert written["measured"]["solver"] == "commit old, yesterday"
    assert written["measured"]["superpixels"] == written["measured"]["large"] == "commit abc, today"


def test_the_sparse_matrices_of_the_filter_are_ready_before_the_race(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preconditioner too: its diagonal takes as long as several products."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    filter = importlib.import_module("kernels.filter")
    taken: list[torch.Tensor] = []
    find = filter.diagonal_of

    def counting(matrix: torch.Tensor) -> torch.Tensor:
        taken.append(find(matrix))
        torch.testing.assert_close(taken[-1], matrix.to_dense().diagonal())
        return taken[-1]

    monkeypatch.setattr(filter, "diagonal_of", counting)
    results = filter.measure(2, 3, 12, 16, 1, 2)
    assert len(taken) == 2 and {r.name for r in results} >= {"matting_filter", filter.IN_CSR}
