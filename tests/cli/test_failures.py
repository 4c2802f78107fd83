"""Images that fail, and runs of which the first images all fail for one reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.pictures import photo, save

from closedform_wsss import io
from closedform_wsss.cli import main
from closedform_wsss.cli.common.failures import Failures


def reason(name: str, size: int) -> str:
    return f"read_cam: an array of shape ({size}, 9) and {size / 7:.3f} in '{name}': /data/{name}.npy lacks classes"


def test_one_reason_for_the_first_images() -> None:
    failures = Failures(4)
    failures.add("a", reason("a", 3))
    failures.add("/b/c.png", reason("b", 20))
    with pytest.raises(ValueError, match=r"each of the first 3 images fails for this reason, a: read_cam: .* \(3, 9\)"):
        failures.add("d", reason("d", 4))


@pytest.mark.parametrize("case", ["another reason", "a success", "done before", "few images"])
def test_lines_of_images_that_fail_for_themselves(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    failures = Failures(3 if case == "few images" else 9, stops=case != "done before")
    for number, name in enumerate("abcde"):
        if number == 2 and case == "a success":
            failures.flush()
        failures.add(name, "truncated" if number == 2 and case == "another reason" else reason(name, number))
    failures.flush()
    assert failures.count == 5
    assert [line[:3] for line in capsys.readouterr().err.splitlines()] == ["a: ", "b: ", "c: ", "d: ", "e: "]


@pytest.fixture
def data(tmp_path: Path, threads: None) -> Path:
    """images/, gt/ and maps/ without classes, of five images."""
    for n in range(5):
        for folder in ("images", "gt", "maps"):
            (tmp_path / folder).mkdir(exist_ok=True)
        save(tmp_path / "images" / f"{n}.jpg", photo(20, 24, seed=n))
        io.write_label_png(tmp_path / "gt" / f"{n}.png", np.ones((20, 24), np.uint8))
        np.save(tmp_path / "maps" / f"{n}.npy", np.full((2, 5, 6), 0.5, np.float32))
    return tmp_path


@pytest.mark.parametrize("command", ["eval", "refine-cams", "marks"])
def test_commands_stop(data: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    maps, out = str(data / "maps"), str(data / "out")
    if command == "eval":
        assert main(["eval", maps, str(data / "gt")]) == 2
        expected = "eval needs --probabilities"
    elif command == "refine-cams":
        assert main(["refine-cams", str(data / "images"), maps, "-o", out, "--workers", "1"]) == 2
        expected = "--classes-of of a command"
    else:
        assert main(["marks", str(data / "images"), "-o", out]) == 2
        expected = "--colors of closedform-wsss marks"
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and expected in said.err
    assert said.out == ""
    assert not list((data / "out").glob("*.json"))  # other options may follow


@pytest.mark.parametrize("command", ["refine-cams", "marks"])
def test_few_images_that_all_fail_have_no_results(data: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(2, 5):
        for folder, suffix in (("images", "jpg"), ("maps", "npy")):
            (data / folder / f"{n}.{suffix}").unlink()
    inputs = [str(data / "images"), *([str(data / "maps"), "--workers", "1"] if command == "refine-cams" else [])]
    assert main([command, *inputs, "-o", str(data / "out")]) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 2
    assert "results in" not in said.out and "class" not in said.out
