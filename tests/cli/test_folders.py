"""Files that belong together by their names, and those that only seem to be there or not."""

from __future__ import annotations

import io
import unicodedata
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from closedform_wsss.cli import main
from closedform_wsss.cli.common.folders import (
    IMAGE_SUFFIXES,
    LABEL_SUFFIXES,
    count_below,
    files_by_stem,
    files_of_other_formats,
    nearest_names,
)
from closedform_wsss.cli.common.pattern import files_below

NFC, NFD = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def test_stems(tmp_path: Path) -> None:
    make(
        tmp_path, "b.png", "a.b.c.PNG", "scan (2).png", "a.jpg.png", ".hidden.png", "._b.png", "notes.txt", "sub/c.png"
    )
    found = files_by_stem("GT", tmp_path, LABEL_SUFFIXES)
    assert {stem: path.name for stem, path in found.items()} == {
        "a.b.c": "a.b.c.PNG",
        "a.jpg": "a.jpg.png",
        "b": "b.png",
        "scan (2)": "scan (2).png",
    }
    assert list(found) == sorted(found)


def test_accents_are_one_name_in_both_forms(tmp_path: Path) -> None:
    mac, other = make(tmp_path / "mac", f"{NFD}.png"), make(tmp_path / "other", f"{NFC}.png")
    assert list(files_by_stem("GT", mac, LABEL_SUFFIXES)) == list(files_by_stem("PRED", other, LABEL_SUFFIXES)) == [NFC]
    make(mac, f"{NFC}.png")
    if len(list(mac.iterdir())) == 2:  # some file systems know one form only
        with pytest.raises(ValueError, match="GT must hold one file for each image"):
            files_by_stem("GT", mac, LABEL_SUFFIXES)


def test_links_to_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    """Data sets are often links to folders of another disk. No file comes twice, and no loop is endless."""
    disk = make(tmp_path / "disk", "train/a.png", "train/deep/b.png", "val/c.png")
    root = make(tmp_path / "root", "own/d.png")
    try:
        for link, target in {
            "one": disk / "train",
            "two": disk / "train",  # again
            "deep": disk / "train" / "deep",  # a part of it
            "newest": root / "own",  # inside
            "up": tmp_path,  # around
            "self": root,
            "gone": tmp_path / "nowhere",
        }.items():
            (root / link).symlink_to(target, target_is_directory=True)
        (disk / "train" / "back").symlink_to(root, target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    found = files_below(root, tmp_path / "results")
    assert [path for path in found if path.endswith(".png")] == ["deep/b.png", "one/a.png", "own/d.png"]
    assert files_below(root, disk / "train") == ["deep/b.png", "gone", "own/d.png"]
    assert count_below(root, LABEL_SUFFIXES) == (3, 3)
    assert count_below(root, LABEL_SUFFIXES, [disk / "train"]) == (2, 2)


def test_links_that_lead_nowhere_are_files(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    try:
        (tmp_path / "b.png").symlink_to(tmp_path / "nowhere.png")
    except OSError:
        pytest.skip("no links here")
    assert list(files_by_stem("GT", tmp_path, LABEL_SUFFIXES)) == ["a", "b"]


@pytest.mark.parametrize(
    ("names", "suffixes", "message"),
    [
        ([], LABEL_SUFFIXES, "GT must be a folder of files .png, got no file at all in {}"),
        (["a.txt"], LABEL_SUFFIXES, "got 1 .txt in {}"),
        (
            ["x/a.png", "x/b.png", "y/z/c.PNG", ".git/d.png"],
            LABEL_SUFFIXES,
            "not searched (3 such files in 2); pass",
        ),
        (["a.tif", "b.bmp"], LABEL_SUFFIXES, ": labels are read from PNG files, so export them as PNG"),
        (["a.jpg"], LABEL_SUFFIXES, "export them as PNG, from the labels, because JPEG alters them"),
        (["a.png"], (".npy", ".npz"), "GT must be a folder of files .npy, .npz, got 1 .png in {}"),
    ],
)
def test_nothing_found(tmp_path: Path, names: list[str], suffixes: tuple[str, ...], message: str) -> None:
    make(tmp_path, *names)
    with pytest.raises(ValueError) as error:
        files_by_stem("GT", tmp_path, suffixes)
    said = str(error.value)
    assert message.format(tmp_path) in said
    assert message.endswith("{}") == said.endswith(str(tmp_path))  # a cure only where there is one


@pytest.mark.parametrize("argument", ["MARKS", "--marks"])
def test_files_of_annotation_tools_in_place_of_marks(tmp_path: Path, argument: str) -> None:
    make(tmp_path, "a.json")
    with pytest.raises(ValueError, match=r"got 1 \.json in .*: closedform-wsss marks turns files of"):
        files_by_stem(argument, tmp_path, LABEL_SUFFIXES)


@pytest.mark.parametrize("marks", ["labels", "labels/sub", "link"])
def test_inputs_among_the_results_are_refused_and_not_deleted(tmp_path: Path, marks: str) -> None:
    """Labels of an earlier round as marks of the next one, say: --overwrite would delete them first."""
    out = make(tmp_path / "out", "labels/a.png", "labels/sub/a.png", "marks/a.png", "mattes/a.png", "cams/a.npy")
    try:
        (out / "link").symlink_to(out / "labels", target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    images, arrays = make(tmp_path / "images", "a.png"), make(tmp_path / "arrays", "a.npy")
    before = sorted(tmp_path.rglob("*"))
    given = str(out / marks)
    for command, argument in (
        (["self-label", images, arrays, "--marks", given], "--marks"),
        (["refine-predictions", images, arrays, "--marks", given], "--marks"),
        (["refine-cams", images, arrays, "--saliency", given], "--saliency"),
        (["refine-cams", images, out / "cams"], "CAMS"),
        (["matte", images, out / "mattes"], "MARKS"),
        (["marks", out / "marks"], "EXPORT"),
        (["marks", out / "marks" / "a.png"], "EXPORT"),
    ):
        said = io.StringIO()
        with redirect_stderr(said):
            assert main([*map(str, command), "-o", str(out), "--overwrite"]) == 2
        assert f"-o must not make the folder of {argument} one for results" in said.getvalue()
    assert sorted(tmp_path.rglob("*")) == before


def test_what_lies_beside(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b.tif", "c.GIF", "h.heic", "d.json", "x/e.png", "x/y/f.png", ".hidden/g.png")
    assert count_below(tmp_path, LABEL_SUFFIXES) == (2, 2)
    assert count_below(tmp_path, IMAGE_SUFFIXES) == (2, 2)
    assert files_of_other_formats(tmp_path, LABEL_SUFFIXES) == {".tif": 1, ".gif": 1, ".heic": 1}


def test_a_pattern_is_compared_with_a_file_of_the_kind(tmp_path: Path) -> None:
    for name in ("Thumbs.db", "a_cam.npy"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"^--pattern must fit files in CAMS, got {stem}_x\.npy for a_cam\.npy in "):
        files_by_stem("CAMS", tmp_path, (".npy",), "{stem}_x.npy")
    (tmp_path / "a_cam.npy").unlink()
    with pytest.raises(ValueError, match=r"got {stem}_x\.npy for Thumbs\.db in "):
        files_by_stem("CAMS", tmp_path, (".npy",), "{stem}_x.npy")


def test_nearest_names() -> None:
    known = ["IMG_1", "img_10_mask", "b", "street_7"]
    assert nearest_names("img_1", known)[:2] == ["IMG_1", "img_10_mask"]
    assert nearest_names("img_10_ma", known)[0] == "img_10_mask"
    assert nearest_names("stret_7", known) == ["street_7"]
    assert nearest_names("q", known) == []
