"""benchmarks/gpu.sh, without a GPU and without a network: its stages, its files, its time and its exit status."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT

from closedform_wsss import _C

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs bash and the tools of Linux"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="g++ not found"),
]
FILES = ["all.log.gz", "gpu.json", "gpu.md"]
STAGES = ["machine", "build", "kernels", "bench", "questions", "tests", "memcheck", "racecheck"]
# Nothing but what the package, its build and its tests need: these are often missing where a GPU is.
ABSENT = ["pymatting", "nbclient", "nbformat", "ipykernel", "matplotlib", "numba", "torchvision"]
# Runs the command after its own options.
SANITIZER = '#!/bin/sh\n{first}\nwhile [ "$1" != "$PYTHON" ]; do shift; done\nexec "$@"\n'


def program(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


class Run:
    """A run of the script in a folder of its own."""

    def __init__(self, folder: Path, root: Path, seconds: int, absent: list[str]) -> None:
        block = f"import sys\nsys.modules.update(dict.fromkeys({absent}))\n"
        program(folder / "absent" / "sitecustomize.py", block)
        unreachable = {f"{name}_proxy": "http://127.0.0.1:9" for name in ("http", "https", "all")}
        environment = os.environ | unreachable | {
            "PIP_NO_INDEX": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHON": sys.executable,
            "CUDA_HOME": str(folder / "no toolkit"),
            "PYTHONPATH": str(folder / "absent"),
        }  # fmt: skip
        self.output = folder / "output"
        started = time.monotonic()
        command = ["bash", str(root / "benchmarks" / "gpu.sh"), "--device", "cpu", str(self.output), str(seconds)]
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
        self.seconds = time.monotonic() - started
        self.status, self.text = done.returncode, done.stdout + done.stderr
        self.stages = {
            stage["name"]: stage["result"] for stage in json.loads((self.output / "gpu.json").read_text())["stages"]
        }
        self.log = gzip.decompress((self.output / "all.log.gz").read_bytes()).decode()


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a Python without its neighbours, so that programs of ``tmp_path / "bin"`` are found first."""
    file = tmp_path / "bin" / "python"
    program(file, f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    # cmake may be beside the real one.
    monkeypatch.setenv("PATH", f"{file.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "executable", str(file))
    return file.parent


def test_every_stage_runs_to_its_end(python: Path, tmp_path: Path) -> None:
    program(python / "compute-sanitizer", SANITIZER.format(first=""))
    run = Run(tmp_path, ROOT, 400, ABSENT)
    assert run.status == 0, run.text
    assert run.stages == dict.fromkeys(STAGES, "passed")
    assert run.seconds < 400
    assert sorted(file.name for file in run.output.iterdir()) == FILES
    found = json.loads((run.output / "gpu.json").read_text())
    assert found["failed"] == [] and len(found["results"]) > 16
    assert len(found["probe"]) == 6 and not any(answer.get("wrong") for answer in found["probe"])
    assert [a["levels"] > 0 for a in found["probe"] if "levels" in a] == [True, True]
    page = (run.output / "gpu.md").read_text()
    for line in ("| solve_matting, 1 x 3 x 48 x 64 |", "* eigh, 256 of 16 x 16 on cpu:", "* racecheck: passed, "):
        assert line in page
    assert "| solve_matting, 1 x 3 x 48 x 64 |" in run.text
    assert all(f"== {stage}\n" in run.log for stage in STAGES) and "ok tile_relax" in run.log


@pytest.fixture
def small_root(python: Path, tmp_path: Path) -> Path:
    """A repository whose stages take a moment: the script and the package are the real ones, and built already."""
    root = tmp_path / "root"
    shutil.copytree(ROOT / "closedform_wsss", root / "closedform_wsss", ignore=shutil.ignore_patterns("__pycache__"))
    program(root / "benchmarks" / "gpu.sh", (ROOT / "benchmarks" / "gpu.sh").read_text())
    program(
        root / "benchmarks" / "__main__.py",
        "import pathlib, sys\n"
        "if sys.argv[1] == 'gpu.probe': sys.exit('no answer')\n"
        "folder = pathlib.Path(sys.argv[-1])\n"
        "(folder / 'gpu.md').write_text('the table')\n"
        "(folder / 'gpu.json').write_text('{\"results\": [1]}')\n",
    )
    program(root / "tests" / "cuda_runner" / "every_kernel.py", "print('every kernel')\n")
    program(
        python / "cmake",
        f'#!/bin/sh\nif [ "$1" = --build ]; then cp "{_C.__file__}" "$2"; else mkdir -p "$4"; fi\n',
    )
    return root


def test_a_failure_is_reported_and_does_not_stop_the_rest(small_root: Path, python: Path, tmp_path: Path) -> None:
    program(python / "compute-sanitizer", SANITIZER.format(first='[ "$2" = memcheck ] || { echo a race; exit 9; }'))
    run = Run(tmp_path, small_root, 120, ["pytest"])
    assert run.status == 1
    failed = {"questions": "FAILED with status 1", "racecheck": "FAILED with status 9"}
    assert run.stages == dict.fromkeys(STAGES, "passed") | failed | {"tests": "left out: no pytest"}
    assert "FAILED: questions racecheck;" in run.text and "a race" in run.text and "no answer" in run.text
    assert sorted(file.name for file in run.output.iterdir()) == FILES
    assert "the table" in (run.output / "gpu.md").read_text() and "the table" not in run.log
    assert json.loads((run.output / "gpu.json").read_text())["results"] == [1]


def test_nothing_follows_a_build_that_fails(small_root: Path, python: Path, tmp_path: Path) -> None:
    program(python / "cmake", "#!/bin/sh\necho no such compiler\nexit 3\n")
    run = Run(tmp_path, small_root, 60, [])
    assert run.status == 1
    assert run.stages == {"machine": "passed", "build": "FAILED with status 3"}
    assert "no such compiler" in run.text and sorted(file.name for file in run.output.iterdir()) == FILES


def test_the_time_is_kept(small_root: Path, tmp_path: Path) -> None:
    """A stage that ignores the signal is ended too, and later ones are not started."""
    program(
        small_root / "tests" / "cuda_runner" / "every_kernel.py",
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('on and on')\ntime.sleep(600)\n",
    )
    run = Run(tmp_path, small_root, 18, [])
    assert run.status == 1 and run.seconds < 18
    assert run.stages["kernels"].startswith("FAILED: stopped after its ")
    assert run.stages["bench"] == run.stages["tests"] == "FAILED: no time is left"
    assert "on and on" in run.log and sorted(file.name for file in run.output.iterdir()) == FILES


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "0"], ["a", "1", "2"], ["--device", "mps", "a"]])
def test_how_it_is_called(arguments: list[str], tmp_path: Path) -> None:
    script = str(ROOT / "benchmarks" / "gpu.sh")
    done = subprocess.run(["bash", script, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "benchmarks/gpu.sh [--device cpu] OUTPUT [SECONDS]" in done.stdout
    assert list(tmp_path.iterdir()) == []
