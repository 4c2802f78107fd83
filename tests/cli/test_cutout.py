"""``closedform-wsss matte`` with ``--cutout``, ``--levels`` and a file as output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import closedform_wsss
from closedform_wsss import io
from closedform_wsss.cli import main
from closedform_wsss.cli.matte.files import result_names

HEIGHT, WIDTH = 24, 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A photograph with a soft edge, and marks of two classes and of three."""
    weight = ((np.arange(WIDTH) - 12) / 6).clip(0, 1)[None, :, None]
    noise = np.random.default_rng(0).integers(-4, 5, (HEIGHT, WIDTH, 3))
    image = (weight * [200, 60, 40] + (1 - weight) * [60, 90, 190] + noise).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "image.png")
    marks = np.full((HEIGHT, WIDTH), 255, np.uint8)
    marks[4:20, 3:7], marks[4:20, 24:28] = 0, 1
    io.write_label_png(tmp_path / "marks.png", marks)
    scribbled = image.copy()
    scribbled[marks == 0], scribbled[marks == 1] = 0, 255
    Image.fromarray(scribbled).save(tmp_path / "scribbles.png")
    io.write_label_png(tmp_path / "two.png", np.array([2, 5, 255], np.uint8)[np.minimum(marks, 2)])
    marks[22, 10:14] = 2
    io.write_label_png(tmp_path / "three.png", marks)
    return tmp_path


def run(folder: Path, marks: str, out: str, *options: str) -> int:
    return main(["matte", str(folder / "image.png"), str(folder / marks), "-o", str(folder / out), *options])


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


@pytest.mark.parametrize("marks", ["marks.png", "scribbles.png", "two.png"])
def test_one_file(folder: Path, marks: str, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = closedform_wsss.matte(folder / "image.png", folder / "marks.png")
    assert run(folder, marks, "new/alpha.png") == 0
    np.testing.assert_array_equal(read(folder / "new/alpha.png"), np.rint(wanted.alpha * 255))
    assert run(folder, marks, "cutout.PNG", "--cutout") == 0
    np.testing.assert_array_equal(read(folder / "cutout.PNG"), wanted.cutout)
    assert [path.name for path in (folder / "new").iterdir()] == ["alpha.png"]
    out = capsys.readouterr().out
    assert f"the foreground is class {5 if marks == 'two.png' else 1}" in out
    assert f"wrote {folder / 'new/alpha.png'}" in out


def test_one_file_of_16_bits_with_levels(folder: Path) -> None:
    wanted = closedform_wsss.matte(folder / "image.png", folder / "marks.png", levels=(0.1, 0.8))
    assert run(folder, "marks.png", "alpha.png", "--bits", "16", "--levels", "0.1,0.8") == 0
    np.testing.assert_allclose(read(folder / "alpha.png"), wanted.alpha * 65535.0, atol=0.6)


def test_cutouts_in_a_folder(folder: Path) -> None:
    assert run(folder, "marks.png", "plain", "--quiet") == 0
    assert run(folder, "marks.png", "out", "--cutout", "--quiet") == 0
    plain, out = ({path.name: path.read_bytes() for path in (folder / name).iterdir()} for name in ("plain", "out"))
    assert out.keys() - plain.keys() == {"cutout.png"} and plain.items() <= out.items()
    wanted = closedform_wsss.matte(folder / "image.png", folder / "marks.png")
    np.testing.assert_array_equal(read(folder / "out" / "cutout.png"), wanted.cutout)
    assert run(folder, "three.png", "three", "--cutout", "--quiet") == 0
    assert sorted(path.name for path in (folder / "three").glob("cut*")) == [f"cutout_{k}.png" for k in range(3)]
    for label in range(3):
        alpha = read(folder / "three" / f"alpha_{label}.png")
        np.testing.assert_array_equal(read(folder / "three" / f"cutout_{label}.png")[..., 3], alpha)


def test_levels_keep_the_labels(folder: Path) -> None:
    assert run(folder, "three.png", "plain", "--quiet") == 0
    assert run(folder, "three.png", "out", "--levels", "0.2,0.6", "--quiet") == 0
    np.testing.assert_array_equal(read(folder / "plain" / "labels.png"), read(folder / "out" / "labels.png"))
    before, after = (read(folder / name / "alpha_1.png") / 255 for name in ("plain", "out"))
    np.testing.assert_allclose(after, ((before - 0.2) / 0.4).clip(0, 1), atol=0.01)


def test_folders_of_images(folder: Path) -> None:
    for name, source in (("images", "image.png"), ("marks", "marks.png")):
        (folder / name).mkdir()
        (folder / source).rename(folder / name / "a.png")
    command = ["matte", str(folder / "images"), str(folder / "marks"), "-o", str(folder / "out"), "--workers", "1"]
    assert main([*command, "--cutout"]) == 0
    cutout = read(folder / "out" / "mattes" / "a" / "cutout.png")
    wanted = closedform_wsss.matte(folder / "images" / "a.png", folder / "marks" / "a.png")
    np.testing.assert_array_equal(cutout, wanted.cutout)
    assert main(command) == 2  # made with other options


def test_the_report_names_the_colour_of_the_foreground(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = read(folder / "scribbles.png")
    black, white = (pixels == 0).all(-1), (pixels == 255).all(-1)
    pixels[black], pixels[white] = (255, 0, 0), (0, 0, 255)  # a red background
    Image.fromarray(pixels).save(folder / "red.png")
    for out in ("alpha.png", "folder"):
        assert run(folder, "red.png", out) == 0
        said = capsys.readouterr().out
        assert "the foreground is class 1, #ff0000 (--colors ff0000,0000ff swaps them)" in said
    red = read(folder / "alpha.png").astype(int)
    assert run(folder, "red.png", "alpha.png", "--colors", "ff0000,0000ff") == 0
    assert "the foreground is class 1, #0000ff\n" in capsys.readouterr().out
    assert np.abs(255 - red - read(folder / "alpha.png")).max() <= 1
    pixels[21:23, 8:14] = 0, 255, 0
    Image.fromarray(pixels).save(folder / "green.png")
    assert run(folder, "green.png", "alpha.png") == 2
    assert "classes 0, 1, 2: scribbles (#0000ff is 0, #00ff00 is 1, #ff0000 is 2)" in capsys.readouterr().err


def test_mistakes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "images").mkdir()
    both = str(folder / "images")
    cases = {
        ("three.png", "alpha.png"): "-o must be a folder unless the marks have two classes, got",
        ("marks.png", "alpha.jpg"): "-o must be a folder or the name of a PNG file, got",
        ("marks.png", "alpha.gif"): "-o must be a folder or the name of a PNG file, got",
        ("marks.png", "image.png/alpha.png"): "exists",
    }
    for (marks, out), message in cases.items():
        assert run(folder, marks, out) == 2
        printed, err = capsys.readouterr()
        assert printed == "" and message in err and err.count("\n") == 1
    assert main(["matte", both, both, "-o", str(folder / "alpha.png")]) == 2
    assert "-o must be a folder for the results of folders" in capsys.readouterr().err
    file = str(folder / "marks.png")
    for arguments in ([both, file], [file, both]):
        assert main(["matte", *arguments, "-o", str(folder / "out")]) == 2
        message = f"IMAGE and MARKS must be two files or two folders, got the folder {both} and the file {file}\n"
        assert capsys.readouterr().err == f"closedform-wsss matte: {message}"
    for text in ("0.9,0.1", "0,2", "0.5", "a,b"):
        with pytest.raises(SystemExit):
            run(folder, "marks.png", "out", "--levels", text)
        assert "must be LOW,HIGH" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("marks", "options", "argument", "replaced"),
    [
        ("scribbles.png", ["-o", "image.png"], "IMAGE", "image.png"),
        ("scribbles.png", ["-o", "linked.png", "--cutout"], "IMAGE", "linked.png"),
        ("scribbles.png", ["-o", "scribbles.png"], "MARKS", "scribbles.png"),
        ("labels.png", ["-o", "."], "MARKS", "labels.png"),
        ("cutout.png", ["-o", ".", "--cutout"], "MARKS", "cutout.png"),
        ("alpha_2.png", ["-o", ".", "--classes", "3"], "MARKS", "alpha_2.png"),
    ],
)
def test_what_somebody_drew_is_not_replaced(
    folder: Path,
    marks: str,
    options: list[str],
    argument: str,
    replaced: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    (folder / "linked.png").symlink_to("image.png")
    if not (folder / marks).exists():
        (folder / marks).write_bytes((folder / "marks.png").read_bytes())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(["matte", "image.png", marks, *options]) == 2
    assert f"-o must not replace {argument}, got {replaced}: name another" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("options", [[], ["--cutout"], ["--classes", "3"], ["--classes", "3", "--cutout"]])
@pytest.mark.parametrize("marks", ["marks.png", "two.png", "three.png"])
def test_the_names_of_results_are_known_before_the_solve(folder: Path, marks: str, options: list[str]) -> None:
    if marks == "two.png" and "--classes" in options:
        options = [*options[:1], "6", *options[2:]]
    assert run(folder, marks, "out", *options) == 0
    classes = {"marks.png": [0, 1], "two.png": [2, 5], "three.png": [0, 1, 2]}[marks]
    if "--classes" in options:
        classes = list(range(int(options[1])))
    names = result_names(classes, cutouts="--cutout" in options)
    assert sorted(names) == sorted(path.name for path in (folder / "out").iterdir())
