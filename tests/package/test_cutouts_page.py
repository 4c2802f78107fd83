"""The commands of the page about cut-outs run as they are written; its Python runs as a doctest."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT
from PIL import Image

from closedform_wsss.cli import main


def test_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.full((60, 80, 3), (60, 90, 190), np.uint8)
    picture[20:, 25:60] = 200, 60, 40
    Image.fromarray(picture).save(tmp_path / "photo.jpg", quality=95)
    picture = np.array(Image.open(tmp_path / "photo.jpg"))
    picture[4:8, 5:70], picture[30:34, 30:55] = 0, 255
    Image.fromarray(picture).save(tmp_path / "scribbles.png")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "cutouts.rst").read_text()
    commands = [shlex.split(line) for line in re.findall(r"^ +closedform-wsss (matte .*)$", page, re.M)]
    assert len(commands) == 3
    for command in commands:
        assert main(command) == 0
    cutout = np.array(Image.open("cutout.png"))
    assert cutout.shape == (60, 80, 4) and cutout[45, 40, 3] > 250 and cutout[5, 5, 3] < 5
    assert np.array(Image.open("alpha.png")).shape == (60, 80)
    assert {"overlay.png", "cutout.png"} <= {path.name for path in Path("result").iterdir()}
