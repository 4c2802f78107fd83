"""The benchmark of foreground colours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from helpers import ROOT
from PIL import Image


@pytest.fixture
def foreground(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from mattes import foreground

    return foreground


def test_the_exact_solution_is_what_many_iterations_give(foreground: ModuleType) -> None:
    rng = np.random.default_rng(0)
    image, alpha = rng.random((14, 17, 3)), rng.random((14, 17)).round(1)
    np.testing.assert_allclose(foreground.ours(image, alpha, 300), foreground.exact(image, alpha), atol=1e-5)


def test_errors_are_of_soft_pixels_only(foreground: ModuleType) -> None:
    alpha = np.array([[0.0, 0.5, 1.0]])
    truth = np.full((1, 3, 3), 0.4)
    found = truth.copy()
    found[0, [0, 2]] = 1
    assert foreground.errors(found, truth, alpha)["sad"] == 0
    found[0, 1] = 0.6
    assert foreground.errors(found, truth, alpha)["sad"] == pytest.approx(0.5 * 0.2 / 1e3)


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    for folder, mode in (("images", "RGB"), ("alpha", "L")):
        (tmp_path / folder).mkdir()
        ramp = np.linspace(0, 255, 60).astype(np.uint8)[None].repeat(40, 0)
        Image.fromarray(ramp).convert(mode).save(tmp_path / folder / "a.png")
    command = [sys.executable, str(ROOT / "benchmarks"), "mattes.foreground", str(tmp_path), "--limit", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| ours, 30 iterations |" in done.stdout and "2 mixtures of 1 mattes" in done.stdout
