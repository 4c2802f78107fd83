"""``matte`` and ``refine-cams`` on pictures that are stored turned or deep: warnings on stderr, options, status 0."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from closedform_wsss import io
from closedform_wsss.cli import main

HEIGHT, WIDTH = 96, 128
OBJECT = np.zeros((HEIGHT, WIDTH), bool)
OBJECT[8:40, 8:48] = True
PICTURE = np.where(OBJECT[..., None], (220, 200, 40), (30, 60, 90)) + np.random.default_rng(0).integers(
    -5, 6, (HEIGHT, WIDTH, 3)
)
MARKS = np.full((HEIGHT, WIDTH), 255, np.uint8)
MARKS[20:28, 20:32], MARKS[76:88, 8:120] = 1, 0
CAM = np.zeros((HEIGHT // 8, WIDTH // 8), np.float32)
CAM[1:5, 1:6] = 1
TURN = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    6: lambda a: np.rot90(a, -1),
}


@pytest.fixture
def data(tmp_path: Path, threads: None) -> Path:
    """images/ whose stored pixels fit marks/ and cams/: a.png says that it is to be turned, b.png not."""
    torch.set_num_threads(1)
    for name in ("images", "marks", "cams"):
        (tmp_path / name).mkdir()
    for stem in ("a", "b"):
        Image.fromarray(MARKS).save(tmp_path / "marks" / f"{stem}.png")
        io.write_cam(tmp_path / "cams" / f"{stem}.npy", [1], CAM[None], format="eps")
    turn(tmp_path, 3)
    Image.fromarray(PICTURE.astype(np.uint8)).save(tmp_path / "images" / "b.png")
    return tmp_path


def turn(data: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PICTURE.astype(np.uint8)).save(data / "images" / "a.png", exif=exif)


def run(data: Path, command: str, *options: str) -> int:
    other = "marks" if command == "matte" else "cams"
    paths = [str(data / name) for name in ("images", other)]
    return main([command, *paths, "-o", str(data / "out"), "--workers", "1", *options])


def overlap(path: Path, truth: np.ndarray) -> float:
    found = io.read_label_png(path).numpy() == 1
    return float((found & truth).sum() / (found | truth).sum())


def results(data: Path, command: str, stem: str) -> Path:
    return data / "out" / (f"mattes/{stem}/labels.png" if command == "matte" else f"labels/{stem}.png")


COMMANDS = pytest.mark.parametrize("command", ["matte", "refine-cams"])


@COMMANDS
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_turned_image_is_named_and_counts_as_done(
    data: Path, command: str, workers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, command, "--workers", workers) == 0
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and err.startswith(f"{data / 'images' / 'a.png'}: warning: read_image: ")
    assert "turned by 180 degrees" in err and "EXIF orientation 3" in err and "--orientation" in err
    assert "0 failed" in out and "not converged" not in out
    # What was marked on the stored pixels lies elsewhere on the turned ones: that is what the warning is for.
    assert overlap(results(data, command, "a"), OBJECT) < 0.8 < overlap(results(data, command, "b"), OBJECT)


@COMMANDS
def test_stored_pixels_fit_what_was_made_from_them(
    data: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for orientation in (2, 4, 6, 3):
        turn(data, orientation)
        assert run(data, command, "--orientation", "ignore", "--overwrite") == 0
        assert overlap(results(data, command, "a"), OBJECT) > 0.9
    assert capsys.readouterr().err == ""
    record = json.loads(next((data / "out").glob("*.json")).read_text())
    assert all(options["orientation"] == "ignore" and options["window"] is None for options in record.values())


@COMMANDS
@pytest.mark.parametrize("orientation", TURN)
def test_upright_images_fit_what_was_made_from_them(
    data: Path, command: str, orientation: int, capsys: pytest.CaptureFixture[str]
) -> None:
    turn(data, orientation)
    Image.fromarray(np.ascontiguousarray(TURN[orientation](MARKS))).save(data / "marks" / "a.png")
    io.write_cam(data / "cams" / "a.npy", [1], TURN[orientation](CAM)[None].copy(), format="eps")
    assert run(data, command, "--orientation", "apply") == 0
    assert capsys.readouterr().err == ""
    assert overlap(results(data, command, "a"), TURN[orientation](OBJECT)) > 0.9


@COMMANDS
def test_a_quarter_turn_fails_with_the_cure(data: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    turn(data, 6)
    assert run(data, command, "--quiet") == 1
    err = capsys.readouterr().err
    assert err.startswith(f"{data / 'images' / 'a.png'}: ") and "EXIF" in err and "--orientation" in err


def test_one_image_and_its_marks(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(data / name / "a.png") for name in ("images", "marks")]
    command = ["matte", *paths, "-o", str(data / "one"), "--quiet"]
    assert main(command) == 0
    err = capsys.readouterr().err
    assert err.startswith("closedform-wsss matte: warning: read_image: ") and err.count("\n") == 1
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(MARKS).save(data / "marks" / "a.png", exif=exif)
    assert main(command) == 0  # both are turned, which is said of both
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[2] for line in lines] == ["read_image", "read_marks"]
    assert overlap(data / "one" / "labels.png", OBJECT[::-1, ::-1]) > 0.9
    assert main([*command, "--orientation", "ignore"]) == 0 and capsys.readouterr().err == ""
    assert overlap(data / "one" / "labels.png", OBJECT) > 0.9
    turn(data, 6)
    Image.fromarray(MARKS).save(data / "marks" / "a.png")
    assert main(command) == 2  # said even where that is why it fails
    assert [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()] == ["warning", "read_marks"]


def test_not_converged_and_turned(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, "matte", "--max-iter", "1", "--tol", "1e-9") == 3
    out, err = capsys.readouterr()
    assert err.count("not converged after 1 iterations") == 2 and err.count("EXIF orientation 3") == 1
    assert "2 not converged" in out


def test_scribbles_and_layers_are_read_as_stored(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    layer = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    layer[MARKS == 0], layer[MARKS == 1] = (0, 0, 0, 255), (255, 255, 255, 255)
    Image.fromarray(layer).save(data / "marks" / "a.png", exif=exif)
    paths = [str(data / name / "a.png") for name in ("images", "marks")]
    for options, truth in (([], OBJECT[::-1, ::-1]), (["--orientation", "ignore"], OBJECT)):
        assert main(["matte", *paths, "-o", str(data / "one"), *options]) == 0
        assert overlap(data / "one" / "labels.png", truth) > 0.9
        out, err = capsys.readouterr()
        assert "scribbles (#000000 is 0, #ffffff is 1)" in out and err.count("\n") == (0 if options else 2)


@COMMANDS
def test_deep_images(data: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """12 bits in 16, and Hounsfield units in a float file: the grey levels that are there are used."""
    values = np.where(OBJECT, 1500, 1200) + np.random.default_rng(1).normal(0, 20, OBJECT.shape)
    Image.fromarray(values.astype(np.uint16)).save(data / "images" / "a.png")
    (data / "images" / "b.png").unlink()
    Image.fromarray((values - 1300).astype(np.float32)).save(data / "images" / "b.tif")
    eps = ["--eps", "1e-5"] if command == "matte" else []
    assert run(data, command, *eps) == 1
    first, second = sorted(capsys.readouterr().err.splitlines())
    assert "a.png: warning: read_image: " in first and "11 bits were assumed, with 2047 as white: pass window" in first
    assert "b.tif: read_image: " in second and "floating point values from" in second and "--window" in second
    assert overlap(results(data, command, "a"), OBJECT) > 0.9
    assert run(data, command, *eps, "--window=-200,1800", "--overwrite", "--quiet") == 0
    assert capsys.readouterr().err == ""
    assert overlap(results(data, command, "b"), OBJECT) > 0.9
    record = json.loads(next((data / "out").glob("*.json")).read_text())
    assert all(options["window"] == [-200, 1800] for options in record.values())
    # The same options go on where the run ended.
    assert run(data, command, *eps, "--window=-200,1800") == 0
    assert "2 done before" in capsys.readouterr().out


def test_warnings_name_the_caller_s_line(data: Path) -> None:
    """As Python prints them outside of the command line."""
    code = "import sys\nfrom closedform_wsss.io import read_image\n\nread_image(sys.argv[1])\n"
    (data / "script.py").write_text(code)
    command = [sys.executable, str(data / "script.py"), str(data / "images" / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=data)
    assert "script.py:4: OrientationWarning: read_image: " in done.stderr
