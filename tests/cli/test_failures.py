"""Images that fail, and runs of which the first images all fail for one reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.pictures import photo, save
from PIL import Image

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


def test_names_with_spaces_are_no_other_reason() -> None:
    failures = Failures(4)
    failures.add("my photo", "/data/my photo.png lacks classes")
    failures.add("/x/of a dog.png", "/data/of a dog.png lacks classes")
    with pytest.raises(ValueError, match=r"for this reason, my photo: /data/my photo\.png lacks classes"):
        failures.add("the cat 2", "/data/the cat 2.png lacks classes")


def test_lists_of_other_lengths_are_no_other_reason() -> None:
    """As of images with one class and with several."""
    failures = Failures(4)
    failures.add("a", "20 maps for 3 classes, [6, 7, 15], none for 'cat', 'dog'")
    failures.add("b", "20 maps for 1 classes, [2], none for 'bird'")
    with pytest.raises(ValueError, match="for this reason, a: 20 maps for 3 classes"):
        failures.add("c", "20 maps for 2 classes, [8, 9], none for 'cat'")


def test_the_word_a_is_no_name() -> None:
    failures = Failures(4)
    failures.add("a", "/data/a.png is a picture")
    failures.add("b", "/data/b.png is a picture")
    with pytest.raises(ValueError, match="for this reason, a"):
        failures.add("c", "/data/c.png is a picture")


@pytest.mark.parametrize("case", ["another reason", "a success", "done before", "few images"])
def test_lines_of_images_that_fail_for_themselves(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Failures(3 if case == "few images" else 9, stops=case != "done before") as failures:
        for number, name in enumerate("abcde"):
            if number == 2 and case == "a success":
                failures.flush()
            failures.add(name, "truncated" if number == 2 and case == "another reason" else reason(name, number))
    assert failures.count == 5
    assert [line[:3] for line in capsys.readouterr().err.splitlines()] == ["a: ", "b: ", "c: ", "d: ", "e: "]


def test_an_interruption_shows_the_lines_that_wait(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), Failures(9) as failures:
        failures.add("a", "truncated")
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "a: truncated\n"


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
    assert (command == "marks") != ("refine-predictions takes them" in said.err)
    assert said.out == ""
    assert not list((data / "out").glob("*.json"))  # other options may follow


@pytest.mark.parametrize("command", ["refine-cams", "refine-predictions", "self-label", "eval"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_arrays_that_are_turned(data: Path, command: str, orientation: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The EXIF data is to blame only if it says so; ``eval`` does not read the images."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    for n in range(5):
        pixels = photo(20, 30, seed=n) if orientation == 1 else photo(30, 20, seed=n)
        Image.fromarray(pixels).save(data / "images" / f"{n}.jpg", exif=exif)
        np.save(data / "maps" / f"{n}.npy", np.full((2, 15, 10), 0.5, np.float32))
        io.write_label_png(data / "gt" / f"{n}.png", np.ones((20, 30), np.uint8))
    (data / "tags.csv").write_text("".join(f"{n},1,2\n" for n in range(5)))
    inputs = [str(data / ("gt" if command == "eval" else "images")), str(data / "maps")]
    options = {
        "refine-cams": ["--classes-of", str(data / "tags.csv"), "--workers", "1"],
        "refine-predictions": ["--workers", "1"],
        "self-label": ["--marks", str(data / "gt")],
        "eval": ["--probabilities"],
    }[command]
    output = [] if command == "eval" else ["-o", str(data / "out")]
    assert main([command, *(inputs[::-1] if command == "eval" else inputs), *output, *options]) == 2
    said = capsys.readouterr().err
    assert "turned by 90 degrees against the image of 20 x 30" in said
    assert ("rows and columns are swapped" in said) == (orientation == 1 or command == "eval")
    assert ("did not apply the orientation" in said) == (orientation == 6 or command == "eval")


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
