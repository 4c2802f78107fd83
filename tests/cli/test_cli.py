"""The command line, in this process and on small files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import closedform_wsss
from closedform_wsss import functional, io
from closedform_wsss.cli import main
from closedform_wsss.cli.common.progress import error_callback, progress_bar
from closedform_wsss.cli.matte import files as matte_files

HEIGHT, WIDTH = 24, 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a picture of two colours, left and right, and marks for it in three forms."""
    rng = np.random.default_rng(0)
    left = np.arange(WIDTH)[None, :, None] < 18
    image = np.where(left, [200, 120, 60], [60, 110, 190]) + rng.integers(-9, 10, (HEIGHT, WIDTH, 3))
    image = image.astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "image.png")
    scribbled = image.copy()
    scribbled[8:14, 3:7], scribbled[8:14, 24:28] = 0, 255
    Image.fromarray(scribbled).save(tmp_path / "scribbles.png")
    trimap = np.full((HEIGHT, WIDTH), 128, np.uint8)
    trimap[8:14, 3:7], trimap[8:14, 24:28] = 0, 255
    Image.fromarray(trimap).save(tmp_path / "trimap.png")
    label_map = np.full((HEIGHT, WIDTH), 255, np.uint8)
    label_map[8:14, 3:7], label_map[8:14, 24:28] = 2, 4
    io.write_label_png(tmp_path / "labels.png", label_map)
    return tmp_path


def run(folder: Path, marks: str = "scribbles.png", *options: str, image: str = "image.png") -> int:
    return main(["matte", str(folder / image), str(folder / marks), "-o", str(folder / "out"), *options])


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


# --- matte


@pytest.mark.parametrize("marks", ["scribbles.png", "trimap.png"])
def test_matte_writes_what_the_solver_gives(folder: Path, marks: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, marks) == 0
    names = {"alpha_0.png", "alpha_1.png", "alpha.png", "labels.png", "overlay.png"}
    assert {path.name for path in (folder / "out").iterdir()} == names
    image = io.read_image(folder / "image.png")[None]
    target = io.from_trimap(read(folder / "trimap.png"))[None]
    alpha = functional.solve_matting(target, image, num_classes=2, tol=1e-3).alpha[0].numpy()
    for label in (0, 1):
        got = read(folder / "out" / f"alpha_{label}.png")
        assert got.dtype == np.uint8
        np.testing.assert_allclose(got / 255, alpha[label].clip(0, 1), atol=0.6 / 255)
    np.testing.assert_array_equal(read(folder / "out" / "alpha.png"), read(folder / "out" / "alpha_1.png"))
    found = io.read_label_png(folder / "out" / "labels.png")
    np.testing.assert_array_equal(found, alpha.argmax(0))
    np.testing.assert_array_equal(found, np.broadcast_to(np.arange(WIDTH) >= 18, found.shape))
    out, err = capsys.readouterr()
    assert all(str(folder / "out" / name) in out for name in names)
    assert "iterations" in out and "seconds" in out and "estimated error" in out
    assert err == ""


def test_overlay_shows_image_classes_and_marks(folder: Path) -> None:
    assert run(folder) == 0
    overlay = read(folder / "out" / "overlay.png").astype(int)
    image = read(folder / "image.png").astype(int)
    assert (overlay[8:14, 3:7] == io.voc_palette()[0]).all()
    assert (overlay[8:14, 24:28] == io.voc_palette()[1]).all()
    assert np.abs(overlay[0, 31] - (image[0, 31] + io.voc_palette()[1]) / 2).max() < 4


def test_sixteen_bits_and_quiet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "scribbles.png", "--bits", "16", "--quiet", "--progress") == 0
    alpha = read(folder / "out" / "alpha.png")
    assert alpha.dtype == np.uint16 and alpha.max() > 65000
    assert len(np.unique(alpha)) > 256
    assert capsys.readouterr() == ("", "")


def test_only_marked_classes_are_solved_unless_classes_is_given(folder: Path) -> None:
    assert run(folder, "labels.png") == 0
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {"alpha_2.png", "alpha_4.png", "labels.png", "overlay.png"}
    two = read(folder / "out" / "alpha_2.png")
    found = io.read_label_png(folder / "out" / "labels.png")
    assert (found[:, :18] == 2).all() and (found[:, 18:] == 4).all()
    assert run(folder, "labels.png", "--classes", "6") == 0
    for label in (0, 1, 3, 5):
        assert not read(folder / "out" / f"alpha_{label}.png").any()
    np.testing.assert_array_equal(read(folder / "out" / "alpha_2.png"), two)
    np.testing.assert_array_equal(io.read_label_png(folder / "out" / "labels.png"), found)


def test_resize_keeps_thin_marks_and_never_enlarges(folder: Path) -> None:
    thin = np.full((HEIGHT, WIDTH), 255, np.uint8)
    thin[3:20, 5], thin[3:20, 26] = 0, 1
    io.write_label_png(folder / "thin.png", thin)
    assert run(folder, "thin.png", "--resize", "16") == 0
    assert read(folder / "out" / "alpha.png").shape == (12, 16)
    overlay = read(folder / "out" / "overlay.png")
    assert (overlay[2:9, 2] == io.voc_palette()[0]).all() and (overlay[2:9, 13] == io.voc_palette()[1]).all()
    assert run(folder, "labels.png", "--resize", "16") == 0
    assert (folder / "out" / "alpha_4.png").exists()
    assert run(folder, "thin.png", "--resize", "1000") == 0
    assert read(folder / "out" / "alpha.png").shape == (HEIGHT, WIDTH)


def test_options_reach_the_solver(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def solve(target: torch.Tensor, image: torch.Tensor, **options: object) -> functional.Solution:
        seen.update(options, image=image, target=target, threads=torch.get_num_threads())
        options["callback"](1, 0.5)
        alpha = torch.tensor([-0.5, 1.5]).reshape(1, 2, 1, 1).expand(1, 2, *image.shape[-2:])
        figures = torch.tensor([1, 0.0, True, 0.0], dtype=torch.float64)
        return functional.Solution(alpha, figures, torch.tensor([False]))

    monkeypatch.setattr(functional, "solve_matting", solve)
    threads = torch.get_num_threads()
    options = "--laplacian learning_based --eps 1e-5 --radius 2 --mark-weight 7 --tol 1e-2 --max-iter 9 --threads 1"
    assert run(folder, "scribbles.png", *options.split()) == 0
    want = {
        "kind": "learning_based",
        "eps": 1e-5,
        "radius": 2,
        "mark_weight": 7,
        "tol": 1e-2,
        "max_iter": 9,
        "threads": 1,
        "num_classes": 2,
    }
    assert {name: seen[name] for name in want} == want
    assert torch.get_num_threads() == threads
    assert seen["image"].shape == (1, 3, HEIGHT, WIDTH) and seen["image"].dtype == torch.uint8
    assert seen["target"].shape == (1, HEIGHT, WIDTH) and seen["target"].unique().tolist() == [0, 1, 255]
    assert (read(folder / "out" / "alpha_0.png") == 0).all() and (read(folder / "out" / "alpha_1.png") == 255).all()


@pytest.mark.parametrize("classes", [[0, 1], [2, 5, 7]])
def test_files_are_the_same_on_any_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: list[int]
) -> None:
    image, marks, alpha = some_matte(classes)
    written = []
    for threads in (1, 2, 16):
        monkeypatch.setattr(matte_files, "num_threads", lambda threads=threads: threads)
        folder = tmp_path / str(threads)
        folder.mkdir()
        files = matte_files.write_matte(folder, image, marks, alpha, classes, 16)
        names = [*(f"alpha_{label}.png" for label in classes), *["alpha.png"] * (classes == [0, 1])]
        assert [file.name for file in files] == [*names, "labels.png", "overlay.png"]
        written.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert written[0] == written[1] == written[2]
    for index, label in enumerate(classes):
        want = np.rint(alpha[index].clip(0, 1).astype(np.float64) * 65535)
        np.testing.assert_array_equal(read(folder / f"alpha_{label}.png"), want)
    found = io.read_label_png(folder / "labels.png")
    np.testing.assert_array_equal(found, np.array(classes)[alpha.argmax(axis=0)])


def test_overlay_is_the_mean_of_image_and_colors() -> None:
    classes = [0, 3, 6]
    image, marks, alpha = some_matte(classes)
    palette = io.voc_palette().astype(np.float64)
    share = alpha.clip(0, 1) / np.maximum(alpha.clip(0, 1).sum(axis=0), 1e-6)
    colors = sum(share[index][..., None] * palette[label] for index, label in enumerate(classes))
    want = np.where(marks[..., None] == 255, (image + colors) / 2, palette[marks])
    got = matte_files.overlay(image, marks, alpha, classes)
    assert got.dtype == np.uint8 and np.abs(got - want).max() < 0.5001


@pytest.mark.parametrize("threads", [1, 2])
def test_the_first_file_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(matte_files, "num_threads", lambda: threads)
    with pytest.raises(FileNotFoundError, match=r"/alpha_0\.png'$"):
        matte_files.write_matte(tmp_path / "missing", *some_matte([0, 1]), [0, 1], 8)
    (tmp_path / "alpha_1.png").mkdir()
    with pytest.raises(OSError, match="alpha_1"):
        matte_files.write_matte(tmp_path, *some_matte([0, 1]), [0, 1], 8)
    assert not list(tmp_path.glob(".*"))


def some_matte(classes: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image, marks and alphas, of a size that is worked on in several bands of rows."""
    rng = np.random.default_rng(len(classes))
    height, width = 90, 1500
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    marks = rng.choice(np.array([*classes, *[255] * 20], np.uint8), (height, width))
    alpha = rng.uniform(-0.2, 1.2, (len(classes), height, width)).astype(np.float32)
    return image, marks, alpha


def test_not_converged_writes_files_and_returns_3(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "scribbles.png", "--max-iter", "1", "--tol", "1e-9") == 3
    assert (folder / "out" / "alpha.png").exists()
    err = capsys.readouterr().err
    assert err.startswith("closedform-wsss matte: warning: not converged after 1 iterations")
    assert err.count("\n") == 1


def test_mistakes_end_with_one_line_and_status_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = np.full((HEIGHT, WIDTH), 255, np.uint8)
    io.write_label_png(folder / "none.png", one)
    one[3] = 7
    io.write_label_png(folder / "one.png", one)
    io.write_label_png(folder / "small.png", one[1:])
    Image.fromarray(np.eye(24, 32, dtype=np.uint8) * 255).save(folder / "ambiguous.png")
    (folder / "text.png").write_text("no image")
    (folder / "file").write_text("not a folder")
    cases = {
        ("missing.png",): "missing.png: No such file",
        ("text.png",): "image file that Pillow can read",
        ("small.png",): f"must have the size of image (H, W) = ({HEIGHT}, {WIDTH}), got ({HEIGHT - 1}, {WIDTH})",
        ("none.png",): "at least two classes, got none",
        ("one.png",): "at least two classes, got only class 7",
        ("ambiguous.png",): "--kind",
        ("image.png",): "got no pixel that differs",
        ("labels.png", "--classes", "4"): "--classes must be above every class",
        ("labels.png", "--classes", "256"): "--classes must be above every class",
        ("labels.png", "--radius", "50"): "radius",
        ("labels.png", "-o", str(folder / "file")): "file",
        ("labels.png", "-o", str(folder / "file" / "below")): "Not a directory",
        ("scribbles.png", "--kind", "trimap"): "a trimap must be grey",
    }
    for (marks, *options), message in cases.items():
        assert run(folder, marks, *options) == 2, marks
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("closedform-wsss matte: ") and err.count("\n") == 1
        assert message in err
    assert run(folder, image="missing.png") == 2
    assert "missing.png: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--eps", "0"),
        ("--eps", "nan"),
        ("--tol", "inf"),
        ("--radius", "0"),
        ("--radius", "1.5"),
        ("--threads", "-1"),
        ("--bits", "12"),
        ("--kind", "maps"),
    ],
)
def test_bad_values_are_refused_by_the_parser(
    folder: Path, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(folder, "scribbles.png", option, value)
    assert stop.value.code == 2
    assert f"argument {option}" in capsys.readouterr().err


def test_interruption(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(functional, "solve_matting", interrupt)
    assert run(folder) == 130
    assert capsys.readouterr().err == "closedform-wsss matte: interrupted\n"
    assert list((folder / "out").iterdir()) == []


# --- progress


def test_progress_is_logarithmic_and_never_goes_back(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(shown=True, total=100) as bar:
        progress, shown = error_callback(bar, 1e-4), []
        for iteration, error in enumerate([float("inf"), 1.0, 1e-2, 0.1, 0.0, 1e-3, 1e-6]):
            progress(iteration, error)
            shown.append(bar.n)
    assert shown == [0, 0, 50, 50, 50, 75, 100]
    assert "iteration 6, error 1.0e-06" in capsys.readouterr().err


def test_no_progress_is_shown_where_nobody_looks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(shown=False, total=100) as bar:
        error_callback(bar, 1e-4)(10, 1.0)
    assert run(folder) == 0
    assert capsys.readouterr().err == ""
    assert run(folder, "scribbles.png", "--progress") == 0
    assert "iteration" in capsys.readouterr().err


# --- info and the program itself


def test_info_prints_the_build_and_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == {**facts, **closedform_wsss.build_info()}
    assert facts["torch"] == torch.__version__ and facts["numpy"] == np.__version__
    assert facts["torch_threads"] == torch.get_num_threads()
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines] == list(facts)
    # Aligned: every value starts in the same column.
    column = max(map(len, facts)) + 2
    assert all(line[column - 1] == " " != line[column] for line in lines)


def test_help_and_unknown_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--help"], ["matte", "--help"], ["info", "--help"]):
        with pytest.raises(SystemExit) as stop:
            main(argv)
        assert stop.value.code == 0
        assert "usage: closedform-wsss" in capsys.readouterr().out
    for argv in ([], ["polish"]):
        with pytest.raises(SystemExit) as stop:
            main(argv)
        assert stop.value.code == 2
        assert "usage: closedform-wsss" in capsys.readouterr().err


def test_commands_are_imported_only_when_called(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from closedform_wsss.cli import main\n"
        "assert main(['info']) == 0\n"
        "assert 'closedform_wsss.cli.matte.command' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)


@pytest.mark.parametrize("height", [1, 2, 655, 656, 1311])
@pytest.mark.parametrize("width", [1, 100, 100_000])
def test_bands_hold_every_row_once(height: int, width: int) -> None:
    rows = np.arange(height)
    assert np.concatenate([rows[band] for band in matte_files._bands(height, width)]).tolist() == rows.tolist()


def test_runs_as_a_module(tmp_path):
    """In another folder: Python puts the one it starts in first on its path."""
    command = [sys.executable, "-m", "closedform_wsss", "eval", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("usage: closedform-wsss eval"), done.stderr
    command[3:] = ["matte", "a.png", "b.png", "-o", "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2 and "a.png" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_names_that_the_terminal_cannot_print(tmp_path: Path, encoding: str) -> None:
    """A pipe of Windows has a small alphabet, and a name out of an old archive may be no text at all."""
    (tmp_path / "marks").mkdir()
    names = {"utf-8": os.fsdecode(b"gr\xfcn.png"), "ascii": "grün.png", "cp1252": "слон.png"}
    for name, value in (("b.png", 1), (names[encoding], 255)):
        labels = np.full((HEIGHT, WIDTH), 255, np.uint8)
        labels[3] = value
        try:
            io.write_label_png(tmp_path / "marks" / name, labels)
        except OSError:
            pytest.skip("names are text here")
    program = [sys.executable, "-m", "closedform_wsss", "marks", "marks", "--kind", "labels", "-o", "out"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(program, capture_output=True, env=environment, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    escaped = {"utf-8": b"gr\\udcfcn", "ascii": b"gr\\xfcn", "cp1252": b"\\u0441\\u043b\\u043e\\u043d"}
    assert b"without marks: " + escaped[encoding] in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="pipes break in another way")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_stops_early(tmp_path: Path, unbuffered: str) -> None:
    """As in ``closedform-wsss info | head -1``: no message, at the latest when the program ends."""
    read, write = os.pipe()
    os.close(read)
    program = [sys.executable, "-m", "closedform_wsss", "info"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(
        program, stdout=write, stderr=subprocess.PIPE, text=True, env=environment, check=False, cwd=tmp_path
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(os.name == "nt", reason="the shell is another one")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_streams_that_are_closed(folder: Path, closed: str) -> None:
    """Python has None for them."""
    program = f"exec '{sys.executable}' -m closedform_wsss matte image.png trimap.png -o out {closed}"
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=False, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "") and (folder / "out" / "labels.png").exists()
