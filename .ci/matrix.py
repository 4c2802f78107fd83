#!/usr/bin/env python3
"""The test-suite with other releases of Python and torch: one environment for each pair, one wheel for all of them.

    .ci/matrix.py 3.10:2.6.0 3.11:2.13.0 3.13:2.14.1 3.13t:2.14.1     (t: without the GIL)
    .ci/matrix.py --quick --output results.md 3.11:2.13.0     (the operators and the training stack, minutes each)

torch comes without the CUDA libraries that its wheels on PyPI ask for; stand_ins.py stands in for them. A pair that
cannot be had here, with no such Python or no such wheel of torch, is a row of the table like the others.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import stand_ins  # beside this file

ROOT = Path(__file__).resolve().parent.parent
# Beside the folders of sources and tests, and the pages.
FILES = ["pyproject.toml", "CITATION.cff", "Makefile", ".pre-commit-config.yaml"]
QUICK = [
    *(
        "package",
        "distribution",
        "selftest",
        "stress",
        "cuda_build",
        "training_stack",
        "closed_form_loss",
        "matting_filter",
        "solve_matting",
    ),
    *("asam", "soft_slic", "superpixel_pool", "superpixel_consistency_loss", "marks", "cams", "cli", "metrics"),
]
BESIDE = ["numpy", "scipy", "scikit-image", "pillow", "tqdm", "pytest", "pytest-xdist", "hypothesis"]
# A rival that one test compares with; its numba comes late to a new Python.
IF_THERE_ARE_WHEELS = ["pymatting"]


class Unavailable(Exception):
    """This pair cannot be tried on this machine."""


def find_python(version: str) -> Path:
    """On PATH, among pyenv's, or by uv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))]
    if shutil.which("uv"):
        found = subprocess.run(["uv", "python", "find", version], capture_output=True, text=True, check=False)
        places.append(found.stdout.strip())
    ask = "import sys; print('%d.%d' % sys.version_info[:2] + getattr(sys, 'abiflags', ''))"
    for place in filter(None, places):  # pyenv's shims are on PATH and do not run
        said = subprocess.run([place, "-c", ask], capture_output=True, text=True, check=False)
        if said.stdout.strip() == version:
            return Path(place)
    raise Unavailable(f"no Python {version} here")


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise Unavailable((done.stdout + done.stderr).strip().splitlines()[-1])
    return done


def pip(python: Path, *arguments: str) -> None:
    # An older release with a wheel comes before a newer one from source.
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--prefer-binary", *arguments)


def wheel_for(python: Path, version: str, folder: Path) -> Path:
    """Built with no torch at hand, once for all of them; a Python without the GIL has its own."""
    tag = f"cp{version.replace('.', '')}" if version.endswith("t") else "abi3"
    if not list(folder.glob(f"*-{tag}-*.whl")):
        run(
            python, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, ROOT, env=os.environ | {"CFW_CUDA": "OFF"}
        )
    return next(folder.glob(f"*-{tag}-*.whl"))


def environment(version: str, torch: str, folder: Path, wheel: Path | None) -> tuple[Path, dict[str, str]]:
    """An interpreter with the package, and the environment variables that its torch needs."""
    base = find_python(version)
    home = folder / f"{version}-{torch}"
    python = home / "bin" / "python"
    run(base, "-m", "venv", "--clear", home)
    pip(python, "--no-deps", f"torch=={torch}")
    ask = "import importlib.metadata as m; print(m.distribution('torch').locate_file('torch/lib')); " + (
        "print(*(r for r in m.requires('torch') if 'extra ==' not in r), sep='\\n')"
    )
    libraries, *requirements = run(python, "-c", ask).stdout.splitlines()
    pure = [r for r in requirements if not re.match(r"nvidia|cuda|triton", r)]
    pip(python, *pure, *BESIDE)
    with contextlib.suppress(Unavailable):
        pip(python, "--only-binary=:all:", *IF_THERE_ARE_WHEELS)
    pip(python, "--no-deps", str(wheel or wheel_for(python, version, folder)))
    found = stand_ins.make(Path(libraries), home / "stand_ins")
    return python, {"LD_LIBRARY_PATH": str(home / "stand_ins")} if found else {}


def test(python: Path, variables: dict[str, str], quick: bool) -> dict[str, object]:
    """In a copy of the tests, away from the sources: the package is the installed one."""
    place = python.parent.parent / "tests"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name in ("tests", "examples", "benchmarks", "csrc", "docs", *FILES):
        source = ROOT / name
        shutil.copytree(source, place / name) if source.is_dir() else shutil.copy(source, place)
    for page in ROOT.glob("*.md"):
        shutil.copy(page, place)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "auto", "--maxprocesses", "8"]
    command += ["--dist", "worksteal"]
    if quick:
        command += [
            "-k",
            "not cuda_runner",
            *(str(file.relative_to(place)) for name in QUICK for file in sorted(place.rglob(f"test_{name}.py"))),
        ]
    started = time.monotonic()
    settings = os.environ | {"OMP_NUM_THREADS": "1"} | variables  # a process for each core
    command = [str(part) for part in command]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, env=settings)
    (place.parent / "pytest.log").write_text(done.stdout + done.stderr)
    counts = {kind: int(n) for n, kind in re.findall(r"(\d+) (passed|failed|skipped|errors?)", done.stdout[-300:])}
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M)
    passed = done.returncode == 0 and counts.get("passed", 0) > 0
    return {"outcome": "passed" if passed else "failed", **counts, "failures": failed,
            "seconds": round(time.monotonic() - started)}  # fmt: skip


def versions(python: Path, variables: dict[str, str]) -> dict[str, str]:
    ask = "import platform, numpy, torch; print(platform.python_version(), torch.__version__, numpy.__version__)"
    said = run(python, "-c", ask, env=os.environ | variables).stdout.split()
    return dict(zip(("python", "torch", "numpy"), said, strict=True))


def table(rows: list[dict[str, object]], quick: bool) -> str:
    lines = ["| Python | torch | NumPy | | passed | failed | skipped | s |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        what = row.get("why", row["outcome"])
        cells = [row["python"], row["torch"], row.get("numpy", ""), what]
        cells += [row.get(key, 0 if "passed" in row else "") for key in ("passed", "failed", "skipped")]
        lines.append("| " + " | ".join(str(c) for c in [*cells, row.get("seconds", "")]) + " |")
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {datetime.date.today()}"
    suite = f"test_{{{','.join(QUICK)}}}.py" if quick else "the whole test-suite"
    return "\n".join([*lines, "", f"`.ci/matrix.py` with {suite}, {machine}.", ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="PYTHON:TORCH")
    parser.add_argument("--quick", action="store_true", help="operators and training stack only")
    parser.add_argument("--wheel", type=Path, help="test this one, not one built from here")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "matrix", help="where the environments go")
    parser.add_argument("--output", type=Path, help="a .md, beside which a .json is written")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for old in args.folder.glob("*.whl"):  # of other sources
        old.unlink()
    rows: list[dict[str, object]] = []
    for pair in args.pairs:
        version, torch = pair.split(":")
        row: dict[str, object] = {"python": version, "torch": torch}
        try:
            python, variables = environment(version, torch, args.folder.resolve(), args.wheel)
            row |= versions(python, variables) | test(python, variables, args.quick)
        except Unavailable as reason:
            row |= {"outcome": "not run", "why": f"not run: {reason}"}
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
        if args.output:  # after each, for the whole may take an hour
            args.output.write_text(table(rows, args.quick))
            args.output.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows, args.quick))
    return int(any(row["outcome"] == "failed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
