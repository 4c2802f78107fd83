"""``refine-cams`` and ``eval`` on CAM files of maps alone, with tags, patterns and lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pictures import photo, save

from closedform_wsss import io
from closedform_wsss.cams.values import check_upright
from closedform_wsss.cli import main

TAGS = {"a": (3, 7), "b": (7,), "c": ()}


@pytest.fixture
def data(tmp_path: Path, threads: None) -> Path:
    """images/, gt/ and cams/ with NAME_cam files: an array, a tensor, an empty array; tags.csv."""
    torch.set_num_threads(1)
    for folder in ("images", "gt", "cams"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(1)
    for n, (name, classes) in enumerate(TAGS.items()):
        save(tmp_path / "images" / f"{name}.jpg", photo(24, 33, seed=n))
        io.write_label_png(tmp_path / "gt" / f"{name}.png", torch.randint(0, 2, (24, 33)) * (classes or (0,))[0])
        maps = rng.random((len(classes), 6, 8)).astype(np.float32)
        path = tmp_path / "cams" / f"{name}_cam{'.pt' if name == 'b' else '.npy'}"
        torch.save(torch.tensor(maps[0]), path) if name == "b" else np.save(path, maps)
    (tmp_path / "tags.csv").write_text("".join(f"{','.join(map(str, (name, *c)))}\n" for name, c in TAGS.items()))
    return tmp_path


def run(data: Path, *options: str) -> int:
    return main(["refine-cams", f"{data}/images", f"{data}/cams", "-o", f"{data}/out", "--workers", "1", *options])


def with_tags(data: Path) -> tuple[str, ...]:
    return ("--classes-of", f"{data}/tags.csv", "--pattern", "{stem}_cam.*")


def test_maps_alone_with_tags(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, *with_tags(data), "--method", "none", "--threshold", "0.5") == 0
    assert "3 images refined" in capsys.readouterr().out
    for name, classes in TAGS.items():
        got, maps = io.read_cam(data / "out/cams" / f"{name}.npz")
        assert got.tolist() == list(classes) and maps.shape == (len(classes), 24, 33)
        assert set(io.read_label_png(data / "out/labels" / f"{name}.png").unique().tolist()) <= {0, *classes}


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("suffix", [".npy", ".pt", ".npz"])
def test_maps_of_all_classes_with_tags(data: Path, background: bool, suffix: str) -> None:
    """The tagged ones are taken; the background is the first of one map more than classes."""
    names = "".join(f"{n}\n" for n in range(9))  # background and eight classes
    (data / "names.txt").write_text(names)
    every = np.random.default_rng(2).random((9, 6, 8)).astype(np.float32)
    for path in (data / "cams").iterdir():
        path.unlink()
    for name in TAGS:
        stored = every if background else every[1:]
        path = data / "cams" / f"{name}{suffix}"
        if suffix == ".npz":
            np.savez(path, cams=stored)
        else:
            np.save(path, stored) if suffix == ".npy" else torch.save(torch.tensor(stored), path)
    options = ["--classes-of", f"{data}/tags.csv", "--names", f"{data}/names.txt"]
    assert run(data, *options, "--method", "none") == 0
    for name, classes in TAGS.items():
        got, maps = io.read_cam(data / "out/cams" / f"{name}.npz")
        assert got.tolist() == list(classes)
        if classes:
            wanted = torch.nn.functional.interpolate(
                torch.tensor(every[list(classes)])[None], (24, 33), mode="bilinear"
            )
            torch.testing.assert_close(maps, wanted[0], atol=1e-5, rtol=0)
    assert main(["eval", f"{data}/cams", f"{data}/gt", *options]) == 0


def test_how_many_classes_there_are_must_be_known(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(data / "cams/a_cam.npy", np.random.default_rng(3).random((8, 6, 8)).astype(np.float32))
    assert run(data, *with_tags(data), "--method", "none") == 1
    assert "8 maps for 2 classes, [3, 7]: it must hold a map of each" in capsys.readouterr().err
    (data / "tags.csv").write_text("a,3,7\nb,7\nc,8\n")  # 8 occurs: no map is that of a background
    np.save(data / "cams/c_cam.npy", np.ones((1, 6, 8), np.float32))
    assert run(data, *with_tags(data), "--method", "none", "--overwrite") == 0
    assert io.read_cam(data / "out/cams/a.npz")[0].tolist() == [3, 7]


def test_archives_of_maps_of_tags(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are read like arrays: no map is that of another class, as that of the background would be."""
    for name, classes in TAGS.items():
        maps = np.random.default_rng(2).random((len(classes), 6, 8)).astype(np.float32)
        np.savez(data / "cams" / f"{name}_tag.npz", cams=maps)
    options = ["--classes-of", f"{data}/tags.csv", "--pattern", "{stem}_tag.npz", "--method", "none"]
    assert run(data, *options) == 0
    for name, classes in TAGS.items():
        assert io.read_cam(data / "out/cams" / f"{name}.npz")[0].tolist() == list(classes)
    np.savez(data / "cams" / "b_tag.npz", cams=np.random.default_rng(3).random((2, 6, 8)).astype(np.float32))
    assert run(data, *options, "--names", "voc", "--overwrite") == 1
    # With the names of all classes, two maps are not those of the first two.
    assert "2 maps for 1 classes, [7]: it must hold a map of each of them" in capsys.readouterr().err


def test_names_of_the_classes(data: Path) -> None:
    (data / "tags.csv").write_text("a,bicycle,person\nb,person\nc\n")
    assert run(data, *with_tags(data), "--names", "voc", "--method", "none") == 0
    assert io.read_cam(data / "out/cams/a.npz")[0].tolist() == [2, 15]


def test_list_chooses_images(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "list.txt").write_text("a\nc.jpg\n")
    assert run(data, *with_tags(data), "--list", f"{data}/list.txt", "--method", "none") == 0
    assert sorted(path.stem for path in (data / "out/labels").iterdir()) == ["a", "c"]
    assert "0 images without CAMs" in capsys.readouterr().out


def test_eval_measures_them(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", f"{data}/cams", f"{data}/gt", *with_tags(data)]) == 0
    assert "images          3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--pattern '{stem}_cam.npy' says which image"),
        (("--pattern", "{stem}.cam.npy"), "--pattern must fit files in CAMS, got {stem}.cam.npy for a_cam.npy"),
        (("--pattern", "cam"), "--pattern must have one {stem}"),
        (
            ("--names", "voc", "--pattern", "{stem}_cam.*"),
            "--names names the classes of --classes-of, which is missing",
        ),
        (("--classes-of", "tags2.csv", "--pattern", "{stem}_cam.*"), "must name every image, got no line for b"),
        (("--classes-of", "none.csv", "--pattern", "{stem}_cam.*"), "none.csv: No such file"),
        (("--list", "list.txt", "--pattern", "{stem}_cam.*"), "--list must name images in IMAGES, got d"),
        (("--list", "list2.txt", "--pattern", "{stem}_cam.*"), "of --list, got none for 1 of 2, such as e"),
    ],
)
def test_mistakes(
    data: Path,
    options: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(data)
    (data / "tags2.csv").write_text("a,3,7\nb2,7\nc\n")
    (data / "list.txt").write_text("d\n")
    (data / "list2.txt").write_text("a\ne\n")
    save(data / "images" / "e.jpg", photo(24, 33))
    assert run(data, *options) == 2
    assert message in capsys.readouterr().err


def test_a_run_without_any_result_does_not_hold_its_options(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The user follows the cure at once, in the same folder."""
    assert run(data, "--pattern", "{stem}_cam.*", "--method", "none") == 1
    assert not (data / "out/refine-cams.json").exists()
    assert run(data, *with_tags(data), "--method", "none") == 0
    assert (data / "out/refine-cams.json").exists()
    assert run(data, *with_tags(data), "--method", "matting") == 2
    assert "were made with other options" in capsys.readouterr().err


def test_maps_without_tags_fail_each_with_a_cure(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, "--pattern", "{stem}_cam.*") == 1
    err = capsys.readouterr().err
    assert err.count("which names no classes: pass classes (--classes-of of a command)") == 3


def test_cams_with_the_classes_last_are_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An archive without classes would have one for each row of the image."""
    for name in TAGS:
        np.savez(data / "cams" / f"{name}_last.npz", cams=np.zeros((24, 33, 3), np.float32))
    assert run(data, "--pattern", "{stem}_last.npz") == 1
    wrong = "the CAM must be (classes, h, w), got shape (24, 33, 3) for an image of 24 x 33: the classes are last"
    assert capsys.readouterr().err.count(wrong) == 3
    # Square maps of as many classes as a square image has rows are no such maps.
    check_upright(torch.zeros(24, 24, 24), 24, 24)
    check_upright(torch.zeros(24, 33, 33), 24, 33)
    check_upright(torch.zeros(1, 33, 4), 1, 33)
