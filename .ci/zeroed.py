#!/usr/bin/env python3
"""Which public functions could return zeros and no test would notice?

    .ci/zeroed.py [NAME ...]        (in the environment of `make test`)

Each public function or module in turn gives zeros of the right shape and type, and the test files that mention it run
until the first failure. Those of which all tests pass are listed; then the exit status is 1.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("functional", "metrics", "nn", "io")
VARIABLE = "CFW_ZEROED"


def zeros(value: Any) -> Any:
    """The same with zeros for numbers."""
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor):
        return value * 0 if value.is_floating_point() else torch.zeros_like(value)
    if isinstance(value, np.ndarray):
        return np.zeros_like(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return type(value)(0)
    if isinstance(value, str):
        return ""
    if isinstance(value, tuple):
        return tuple(map(zeros, value))
    if hasattr(value, "alpha"):  # of a solve
        value.alpha = zeros(value.alpha)
    return value


def replace(original: Any) -> None:
    """In every module that has it."""
    if isinstance(original, type):
        forward = original.forward
        original.forward = functools.wraps(forward)(lambda *a, **k: zeros(forward(*a, **k)))
        return
    zeroed = functools.wraps(original)(lambda *a, **k: zeros(original(*a, **k)))
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "closedform_wsss":
            for attribute, value in list(vars(module).items()):
                if value is original:
                    setattr(module, attribute, zeroed)


def pytest_configure() -> None:
    """As a plugin of pytest."""
    import closedform_wsss.cli
    import closedform_wsss.io

    package, name = os.environ[VARIABLE].split(".")
    replace(getattr(getattr(closedform_wsss, package), name))


def main() -> int:
    import torch

    import closedform_wsss

    chosen = []
    for package in PACKAGES:
        for name in getattr(closedform_wsss, package).__all__:
            thing = getattr(getattr(closedform_wsss, package), name)
            is_module = isinstance(thing, type) and issubclass(thing, torch.nn.Module)
            if callable(thing) and (is_module or not isinstance(thing, type)):
                chosen.append(f"{package}.{name}")
    wanted = sys.argv[1:] or chosen
    files = {path: path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py"))}
    survivors = []
    for function in wanted:
        name = function.split(".")[1]
        mentioning = [path for path, text in files.items() if name in text and "cuda" not in path.name]
        # The one that is about it first: most runs end there.
        mentioning.sort(key=lambda path: (name not in path.stem, -files[path].count(name)))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "zeroed", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, *map(str, mentioning), "-k", "not benchmarks and not notebook and not fuzz"],
            cwd=ROOT,
            env=os.environ | {VARIABLE: function, "PYTHONPATH": os.pathsep.join([str(ROOT / ".ci"), str(ROOT)])},
            capture_output=True,
            text=True,
            check=False,
        )
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        if done.returncode not in (0, 1):  # pytest could not run them
            raise SystemExit(f"{function}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        print(f"{function}: {failed[0][:110] if failed else 'ALL PASS'}", flush=True)
        if done.returncode == 0:
            survivors.append(function)
    print(f"survivors: {', '.join(survivors) or 'none'}")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
