"""The demonstration."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from closedform_wsss.cli import main


def test_demo_writes_one_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--side", "32", "--steps", "4", "-o", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "of them under scribbles of 5 classes" in out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["demo.png"]
    with Image.open(tmp_path / "out" / "demo.png") as picture:
        assert picture.width > 4 * picture.height / 2 and len(picture.getcolors(1 << 24)) > 1000
