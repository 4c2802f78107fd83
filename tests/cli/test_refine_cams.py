"""``refine-cams`` on small folders: what it writes, how it goes on, and what it says of mistakes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pictures import photo, save
from PIL import Image

from closedform_wsss import io
from closedform_wsss.cams import methods
from closedform_wsss.cli import main
from closedform_wsss.functional import pseudo_labels

STEMS = ("a", "b.c", "d", "e")


@pytest.fixture
def data(tmp_path: Path, threads: None) -> Path:
    """images/ and cams/: four pictures in three formats, with EPS dictionaries of 2, 1, 1 and 0 classes."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    (tmp_path / "images").mkdir()
    (tmp_path / "cams").mkdir()
    for n, (stem, suffix) in enumerate(zip(STEMS, (".jpg", ".png", ".PNG", ".bmp"), strict=True)):
        save(tmp_path / "images" / f"{stem}{suffix}", photo(24 + 4 * n, 33, seed=n))
        count = (2, 1, 1, 0)[n]
        maps = rng.random((count, 6 + n, 8)).astype(np.float32)
        io.write_cam(tmp_path / "cams" / f"{stem}.npy", [7, 3][:count], maps, format="eps")
    return tmp_path


def run(data: Path, *options: str, out: str = "out") -> int:
    return main(
        ["refine-cams", str(data / "images"), str(data / "cams"), "-o", str(data / out), "--workers", "1", *options]
    )


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("refine-cams.json", "sheet.png")
    }


def picture(data: Path, stem: str) -> torch.Tensor:
    path = next(path for path in (data / "images").iterdir() if path.stem == stem)
    return io.read_image(path)[None]


# --- what is written


@pytest.mark.parametrize("method", list(methods.REFINERS))
def test_writes_what_the_functions_give(data: Path, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, "--method", method, "--threshold", "0.4", "--margin", "0.05") == 0
    assert set(files(data / "out")) == {f"cams/{s}.npy" for s in STEMS} | {f"labels/{s}.png" for s in STEMS}
    for stem in STEMS[:3]:
        classes, maps = io.read_cam(data / "cams" / f"{stem}.npy")
        want = methods.REFINERS[method](picture(data, stem), maps[None]).clamp(0, 1)
        found, refined = io.read_cam(data / "out" / "cams" / f"{stem}.npy")
        assert found.tolist() == classes.tolist()
        np.testing.assert_allclose(refined, want[0], atol=1e-5)
        got = io.read_label_png(data / "out" / "labels" / f"{stem}.png")
        label = pseudo_labels(refined[None], threshold=0.4, margin=0.05, classes=classes.tolist())
        np.testing.assert_array_equal(got, label[0])
        assert got.shape == picture(data, stem).shape[2:] and ((got == 255).any() or method != "none")
    assert not io.read_label_png(data / "out" / "labels" / "e.png").any()
    out, err = capsys.readouterr()
    assert out.startswith("4 images refined in ") and "0 done before, 0 failed" in out and err == ""


def test_bilinear_resize_against_pillow(data: Path) -> None:
    assert run(data, "--method", "none") == 0
    for stem in STEMS[:3]:
        size = picture(data, stem).shape[:1:-1]
        for before, after in zip(
            io.read_cam(data / "cams" / f"{stem}.npy")[1],
            io.read_cam(data / "out" / "cams" / f"{stem}.npy")[1],
            strict=True,
        ):
            want = Image.fromarray(before.numpy()).resize(size, Image.Resampling.BILINEAR)
            np.testing.assert_allclose(after, np.array(want), atol=1e-5)


@pytest.mark.parametrize("format", io.CAM_FORMATS)
def test_formats(data: Path, format: str) -> None:
    assert run(data, "--format", format, "--write", "cams", "--quiet") == 0
    suffix = ".npz" if format == "npz" else ".npy"
    assert set(files(data / "out")) == {f"cams/{stem}{suffix}" for stem in STEMS}
    first = io.read_cam(data / "out" / "cams" / f"a{suffix}")
    assert first[0].tolist() == [7, 3] and first[1].shape == (2, 24, 33)


@pytest.mark.parametrize("format", ["irn", "npz"])
def test_the_input_format_is_kept(data: Path, format: str) -> None:
    """With torch's own pickles, and images without class that hold keys alone."""
    for path in (data / "cams").iterdir():
        classes, maps = io.read_cam(path)
        item = {"keys": classes - 1, "cam": maps} if len(classes) else {"keys": []}
        if format == "irn":
            np.save(path, item, allow_pickle=True)
        else:
            np.savez(path.with_suffix(".npz"), classes=classes, cams=maps)
            path.unlink()
    assert run(data, "--quiet") == 0
    path = data / "out" / "cams" / f"a.{'npy' if format == 'irn' else 'npz'}"
    stored = np.load(path, allow_pickle=True)
    assert set(stored.item() if format == "irn" else stored) == (
        {"keys", "cam", "high_res"} if format == "irn" else {"classes", "cams"}
    )
    assert len(files(data / "out")) == 8


def test_a_suffix_in_capitals_is_no_other_format(data: Path) -> None:
    (data / "cams" / "a.npy").rename(data / "cams" / "a.NPY")
    assert run(data, "--quiet") == 0
    assert np.load(data / "out" / "cams" / "a.npy", allow_pickle=True).item().keys() == {6, 2}


def test_normalize_and_power(data: Path) -> None:
    maps = 17 * np.random.default_rng(0).random((2, 6, 8)).astype(np.float32) - 1
    maps[1] = 0
    io.write_cam(data / "cams" / "a.npy", [7, 3], maps, format="eps")
    assert run(data, "--normalize", "--power", "2", "--method", "none", "--quiet") == 0
    _, refined = io.read_cam(data / "out" / "cams" / "a.npy")
    maps[0] = maps[0].clip(0) / maps[0].max()
    want = methods.none(picture(data, "a"), torch.from_numpy(maps)[None])
    np.testing.assert_allclose(refined, want[0], atol=1e-6)
    label = pseudo_labels(refined[None], power=2.0, classes=[7, 3])
    np.testing.assert_array_equal(io.read_label_png(data / "out" / "labels" / "a.png"), label[0])


# --- going on


def test_done_images_are_skipped_and_missing_ones_made_again(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data) == 0
    before = files(data / "out")
    times = {name: (data / "out" / name).stat().st_mtime_ns for name in before}
    (data / "out" / "labels" / "a.png").unlink()
    (data / "out" / "cams" / ".b.c.npy.x1y2.tmp").write_bytes(b"half")
    (data / "out" / "cams" / ".other.npy.x1y2.tmp").write_bytes(b"of an image that is not here")
    capsys.readouterr()
    assert run(data) == 0
    assert "1 images refined" in capsys.readouterr().out
    after = files(data / "out")
    assert after.pop("cams/.other.npy.x1y2.tmp") and after == before
    same = [name for name in before if (data / "out" / name).stat().st_mtime_ns == times[name]]
    assert set(before) - set(same) == {"cams/a.npy", "labels/a.png"}


def test_other_options_are_refused_and_overwrite_replaces_all(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, "--quiet") == 0
    before = files(data / "out")
    assert run(data, "--threshold", "0.6") == 2
    err = capsys.readouterr().err
    assert "the labels in" in err and "threshold 0.4, now 0.6" in err and "--overwrite" in err
    assert files(data / "out") == before
    (data / "images" / "a.jpg").unlink()
    assert run(data, "--threshold", "0.6", "--overwrite", "--quiet") == 0
    after = files(data / "out")
    assert "labels/a.png" not in after and after["labels/b.c.png"] != before["labels/b.c.png"]
    assert after["cams/b.c.npy"] == before["cams/b.c.npy"]


def test_labels_may_follow_the_cams_with_options_of_their_own(data: Path) -> None:
    assert run(data, "--write", "cams", "--quiet") == 0
    assert run(data, "--write", "labels", "--threshold", "0.6", "--quiet") == 0
    record = json.loads((data / "out" / "refine-cams.json").read_text())
    assert set(record) == {"cams", "labels"} and record["labels"]["threshold"] == 0.6
    assert run(data, "--threshold", "0.6", "--quiet") == 0
    assert run(data, *("--threshold", "0.6", "--quiet"), out="both") == 0
    assert files(data / "out") == files(data / "both")


_BLOCKS = """
import sys, time
from closedform_wsss.cli import main
from closedform_wsss.cams import methods
def slow(image, cam, plain=methods.none, seen=[]):
    seen.append(image)
    if len(seen) > 2:
        time.sleep(600)
    return plain(image, cam)
methods.REFINERS["none"] = slow
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bytes(data: Path) -> None:
    """Killed in one process, continued in two, against one that was never stopped."""
    folders = [str(data / "images"), str(data / "cams"), "-o", str(data / "out")]
    process = subprocess.Popen(
        [sys.executable, "-c", _BLOCKS, "refine-cams", *folders, "--method", "none", "--workers", "1", "--quiet"],
        cwd=data,  # not a checkout of the source, which has no compiled extension
    )
    try:
        for _ in range(600):
            if (data / "out" / "labels" / "b.c.png").exists():
                break
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    assert set(files(data / "out")) == {"cams/a.npy", "labels/a.png", "cams/b.c.npy", "labels/b.c.png"}
    assert run(data, "--method", "none", "--quiet", "--workers", "2") == 0
    assert run(data, "--method", "none", "--quiet", out="whole") == 0
    assert files(data / "out") == files(data / "whole")


def test_results_do_not_depend_on_workers_or_threads(data: Path) -> None:
    """An image so large that torch would share its sums among threads, which rounds them otherwise."""
    for folder in ("images", "cams"):
        shutil.rmtree(data / folder)
        (data / folder).mkdir()
    rng = np.random.default_rng(2)
    for stem in ("a", "b"):
        save(data / "images" / f"{stem}.png", photo(375, 500, seed=3))
        io.write_cam(data / "cams" / f"{stem}.npy", [1, 4], rng.random((2, 24, 32), np.float32), format="eps")
    assert run(data, out="one") == 0
    torch.set_num_threads(2)
    assert run(data, out="threads") == 0
    assert torch.get_num_threads() == 2
    assert run(data, "--workers", "2", out="workers") == 0
    assert files(data / "one") == files(data / "threads") == files(data / "workers")


def test_interruption(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen = []

    def interrupted(image: torch.Tensor, cam: torch.Tensor) -> torch.Tensor:
        seen.append(image)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return torch.zeros(1, cam.shape[1], *image.shape[2:])

    monkeypatch.setitem(methods.REFINERS, "none", interrupted)
    assert run(data, "--method", "none") == 130
    assert capsys.readouterr().err == (
        "stopped with 1 of 4 images refined; the same command continues from here\n"
        "closedform-wsss refine-cams: interrupted\n"
    )
    assert set(files(data / "out")) == {"cams/a.npy", "labels/a.png"}


@pytest.mark.slow
def test_ranks_of_torchrun_share_the_images(data: Path) -> None:
    code = "import sys; from closedform_wsss.cli import main; sys.exit(main(sys.argv[1:]))"
    (data / "cams" / "b.c.npy").write_bytes(b"")
    folders = [str(data / "images"), str(data / "cams"), "-o", str(data / "ranks")]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", code, "refine-cams", *folders, "--workers", "1"],
            cwd=data,
            env={**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    printed = [rank.communicate(timeout=120)[0] for rank in ranks]
    # A failed image does not fail its rank: torchrun would stop the others.
    assert [rank.returncode for rank in ranks] == [0, 0]
    assert "b.c.png: read_cam" in printed[1]
    for rank, text in enumerate(printed):
        assert f"rank {rank} of 2: {2 - rank} images refined" in text and f"{rank} failed" in text
        assert ("CAMs without image" in text) == (rank == 0)
    assert run(data, "--quiet") == 1
    assert len(files(data / "ranks")) == 6 and files(data / "ranks") == files(data / "out")


# --- mistakes


def test_files_that_fail_are_named_and_the_rest_continues(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(8):
        shutil.copy(data / "images" / "a.jpg", data / "images" / f"x{n}.jpg")
        shutil.copy(data / "cams" / "a.npy", data / "cams" / f"x{n}.npy")
    whole = (data / "images" / "a.jpg").read_bytes()
    (data / "images" / "x0.jpg").write_bytes(whole[: len(whole) // 2])
    (data / "cams" / "x1.npy").write_bytes(b"")
    np.save(data / "cams" / "x2.npy", np.zeros((2, 6, 8)))
    np.save(data / "cams" / "x3.npy", {0: np.full((6, 8), 17.0)}, allow_pickle=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(data / "images" / "a.jpg").save(data / "images" / "x4.jpg", exif=exif)
    np.save(data / "cams" / "x5.npy", {254: np.zeros((6, 8))}, allow_pickle=True)
    (data / "images" / "x6.jpg").unlink()
    (data / "cams" / "x7.npy").unlink()
    assert run(data) == 1
    out, err = capsys.readouterr()
    wanted = ("Pillow", "an empty file", "an array of shape", "--normalize", "EXIF", "classes must be up to 254")
    lines = err.splitlines()
    assert len(lines) == len(wanted)
    for n, (line, reason) in enumerate(zip(lines, wanted, strict=True)):
        assert line.startswith(f"{data / 'images' / f'x{n}.jpg'}: ") and reason in line
    assert "4 images refined" in out and "6 failed" in out
    assert "1 images without CAMs, 1 CAMs without image" in out
    assert set(files(data / "out")) == {f"cams/{s}.npy" for s in STEMS} | {f"labels/{s}.png" for s in STEMS}


def test_surprises_in_a_method_fail_one_image(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(image: torch.Tensor, cam: torch.Tensor) -> torch.Tensor:
        if cam.shape[1] == 2:
            raise RuntimeError("not enough\n memory")
        import warnings

        warnings.warn("not converged", UserWarning, stacklevel=1)
        return torch.full((1, 1, *image.shape[2:]), torch.nan if image.shape[2] == 28 else 0.5)

    monkeypatch.setitem(methods.REFINERS, "none", fails)
    assert run(data, "--method", "none", "--quiet") == 1
    out, err = capsys.readouterr()
    assert out == ""
    first, second, third = err.splitlines()
    assert first.endswith("a.jpg: RuntimeError: not enough memory")
    assert "b.c.png: write_cam" in second and "NaN" in second
    assert third.endswith("d.PNG: warning: not converged")


def test_mistakes_in_arguments(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "empty").mkdir()
    (data / "file").write_text("")
    (data / "twice").mkdir()
    (data / "others").mkdir()
    for name in ("a.jpg", "a.png"):
        (data / "twice" / name).write_bytes(b"")
    (data / "others" / "z.npy").write_bytes(b"")
    cases: list[tuple[list[str], str]] = [
        (["cams", "images"], "IMAGES must be a folder of files .jpg"),
        (["images", "images"], "CAMS must be a folder of files .npy, .npz, .pt, .pth, got 2 .png, 1 "),
        (["images", "empty"], "CAMS must be a folder of files .npy, .npz, .pt, .pth, got no file at all"),
        (["images", "none"], "none: No such file or directory"),
        (["file", "cams"], "file: Not a directory"),
        (["twice", "cams"], "IMAGES must hold one file for each image, got a.jpg and a.png"),
        (["images", "others"], "files of the same names, apart from the suffix, got a.jpg and z.npy"),
    ]
    for (images, cams), message in cases:
        assert main(["refine-cams", str(data / images), str(data / cams), "-o", str(data / "out")]) == 2
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1
        assert not (data / "out").exists()
    for out, message in (
        ("file", "Not a directory"),
        (".", "must not make the folder of CAMS one for results"),
        ("foreign", "an entry"),
    ):
        (data / "foreign" / "labels").mkdir(parents=True, exist_ok=True)
        shutil.copy(data / "images" / "b.c.png", data / "foreign" / "labels")
        for overwrite in ((), ("--overwrite",)):
            assert run(data, *overwrite, out=out) == 2
            assert message in capsys.readouterr().err
    assert set(files(data / "foreign")) == {"labels/b.c.png"}
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, message in (("2", "a RANK from 0"), ("x", "a RANK from 0"), ("0", "--overwrite must not be given")):
        monkeypatch.setenv("RANK", rank)
        assert run(data, "--overwrite") == 2
        assert message in capsys.readouterr().err
    for option in (["--threshold", "2"], ["--margin", "nan"], ["--power", "0"], ["--threshold", "0", "--power", "1"]):
        with pytest.raises(SystemExit):
            run(data, *option)
        assert f"argument {option[-2]}" in capsys.readouterr().err
