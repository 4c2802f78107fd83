"""Folders of a command, seen again: results that are older than their files, sub-folders, mistakes before a run."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pictures import photo, save

from closedform_wsss import io
from closedform_wsss.cli import main

STEMS = ("a", "b", "c")


@pytest.fixture
def data(tmp_path: Path, threads: None) -> Path:
    """images/ and cams/ of three pictures, whose CAMs name class 7."""
    torch.set_num_threads(1)
    for folder in ("images", "cams"):
        (tmp_path / folder).mkdir()
    for n, stem in enumerate(STEMS):
        save(tmp_path / "images" / f"{stem}.jpg", photo(24, 33, seed=n))
        maps = np.random.default_rng(n).random((1, 6, 8)).astype(np.float32)
        io.write_cam(tmp_path / "cams" / f"{stem}.npy", [7], maps, format="eps")
    return tmp_path


def run(data: Path, *options: str, images: str = "images", cams: str = "cams", out: str = "out") -> int:
    folders = [str(data / images), str(data / cams), "-o", str(data / out)]
    return main(["refine-cams", *folders, "--workers", "1", *options])


def test_results_that_are_older_than_their_files_are_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tags = data / "tags.csv"
    tags.write_text("a,7\nb,7\nc,7\n")
    options = ("--classes-of", str(tags), "--names", "voc", "--quiet")
    assert run(data, *options) == 0 and run(data, *options) == 0
    assert "older" not in capsys.readouterr().err
    later = time.time() + 60
    os.utime(data / "cams" / "a.npy", (later, later))
    assert run(data, *options) == 0
    assert f"1 results are older than the files that they were made from, such as {data}/out/" in (
        said := capsys.readouterr().err
    )
    assert "a.np" in said and "--overwrite makes all results anew" in said
    os.utime(tags, (later, later))
    assert run(data, *options) == 0
    assert "3 results are older" in capsys.readouterr().err


def test_files_in_sub_folders_are_counted(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "images" / "day" / "deep").mkdir(parents=True)
    save(data / "images" / "day" / "x.jpg", photo(24, 33))
    save(data / "images" / "day" / "deep" / "y.PNG", photo(24, 33))
    assert run(data, "--quiet") == 0
    assert "warning: 2 images in 2 sub-folders of IMAGES are left out: sub-folders are not searched" in (
        capsys.readouterr().err
    )


def test_a_mistake_before_the_first_image_claims_nothing(data: Path) -> None:
    tags = data / "tags.csv"
    tags.write_text("a,7\n")
    assert run(data, "--classes-of", str(tags), "--names", "voc") == 2
    assert run(data, "--quiet") == 0  # with other options


def test_the_folders_of_the_command_are_no_sub_folders(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Results below the images, and CAMs as pictures beside them."""
    (data / "cams").rename(data / "images" / "cams")
    save(data / "images" / "cams" / "preview.png", photo(24, 33))
    for _ in range(2):
        assert run(data, "--quiet", cams="images/cams", out="images/out") == 0
    assert list((data / "images" / "out" / "labels").glob("*.png")) and capsys.readouterr().err == ""
    shutil.rmtree(data / "images" / "out")
    for _ in range(2):  # results in the folder of the CAMs
        assert run(data, "--quiet", "--write", "cams", cams="images/cams", out="images/cams") == 0
    assert list((data / "images" / "cams" / "cams").iterdir()) and capsys.readouterr().err == ""


def test_the_sheet_is_not_written_among_the_images(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The next run would take it for an image, and an image of this name would be lost."""
    (data / "link").symlink_to("images")
    before = sorted(path.name for path in (data / "images").iterdir())
    for out in ("images", "link"):
        assert run(data, out=out) == 2
        message = f"-o must not be IMAGES, where sheet.png would be one of the images, got {data / out}\n"
        assert capsys.readouterr().err == f"closedform-wsss refine-cams: {message}"
    probs = ["self-label", str(data / "images"), str(data / "cams"), "--marks", str(data), "-o", str(data / "images")]
    assert main(probs) == 2
    assert "-o must not be IMAGES" in capsys.readouterr().err
    assert sorted(path.name for path in (data / "images").iterdir()) == before
    assert run(data, "--write", "cams", "--quiet", out="images") == 0  # without a sheet
    assert run(data, "--write", "cams", "--quiet", out="images") == 0
    assert capsys.readouterr().err == ""


def test_an_image_that_is_damaged_after_its_results(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sheet cannot show it, and the report is printed all the same."""
    assert run(data) == 0
    (data / "out" / "sheet.png").unlink()
    path = next((data / "images").iterdir())
    path.write_bytes(path.read_bytes()[:200])
    capsys.readouterr()
    assert run(data) == 0
    out, err = capsys.readouterr()
    assert "done before, 0 failed" in out and "sheet.png" not in out
    assert f"warning: {data / 'out' / 'sheet.png'} was not written: read_image: " in err and path.name in err
