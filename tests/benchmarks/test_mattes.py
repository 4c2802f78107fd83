"""The benchmark of mattes: which rows of an interrupted run it keeps."""

from __future__ import annotations

from types import ModuleType

import pytest
from helpers import ROOT


@pytest.fixture
def mattes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from mattes import mattes

    return mattes


MACHINE = {"cpu": "one", "commit": "abc", "build": {}, "packages": {"pymatting": "1"}, "date": "today"}
ROWS = [{"image": "GT01", "tight": {}}, {"image": "GT02"}, {"image": "GT03"}]


def kept(mattes: ModuleType, names: list[str], tight: bool = False, **machine: object) -> list[str]:
    before = {"machine": MACHINE, "threads": 1, "rows": ROWS}
    payload = {"machine": MACHINE | machine, "threads": 1}
    return [row["image"] for row in mattes.earlier(before, payload, names, tight)]


def test_rows_of_an_interrupted_run(mattes: ModuleType) -> None:
    names = ["GT01.png", "GT02.png"]  # of this run: a limit, or another folder
    assert kept(mattes, names, date="tomorrow") == ["GT01", "GT02"]
    assert kept(mattes, names, tight=True) == ["GT01"]


def test_rows_of_another_version_are_dropped(mattes: ModuleType) -> None:
    assert kept(mattes, ["GT01.png"], packages={"pymatting": "2"}) == []
    assert kept(mattes, ["GT01.png"], commit="def") == []
