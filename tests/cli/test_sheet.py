"""The sheet of images under their marks or labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.pictures import photo, save
from PIL import Image

from closedform_wsss import io
from closedform_wsss.cli import main
from closedform_wsss.cli.common.sheet import Panel, write_sheet

ZERO, ONE = (0, 200, 255), (128, 0, 0)


def sheet_of(folder: Path, labels: np.ndarray, image: np.ndarray | None) -> np.ndarray:
    """The panel of one image of 300 x 400 pixels, which is not resized."""
    io.write_label_png(folder / "labels.png", labels)
    path = None if image is None else save(folder / "image.png", image)
    write_sheet(folder / "sheet.png", [Panel("a", path, folder / "labels.png")], {1: "road"}, None)
    return np.array(Image.open(folder / "sheet.png").convert("RGB"))[12:312, 12:412]


@pytest.mark.parametrize("with_image", [True, False])
def test_areas_show_the_image_and_strokes_do_not(tmp_path: Path, with_image: bool) -> None:
    image = photo(300, 400) if with_image else None
    labels = np.full((300, 400), 255)
    labels[50:150, 50:150], labels[200:205, 50:350] = 0, 1
    panel = sheet_of(tmp_path, labels, image)
    plain = np.full((300, 400, 3), 225) if image is None else image.astype(int)
    pale = plain if image is None else plain // 2 + 127
    assert (panel[labels == 1] == ONE).all()  # a stroke
    assert (panel[labels == 255] == pale[labels == 255]).all()
    inner = slice(53, 147)
    np.testing.assert_array_equal(panel[inner, inner], (plain[inner, inner] + np.array(ZERO)) // 2)
    outline = labels == 0
    outline[inner, inner] = False
    assert (panel[outline] == ZERO).all()


def test_no_class_is_black_and_the_rare_one_is_on_top(tmp_path: Path) -> None:
    labels = np.zeros((300, 400), int)
    labels[100:106] = 1
    panel = sheet_of(tmp_path, labels, np.zeros((300, 400, 3), np.uint8))
    assert (panel[20, 20] == np.array(ZERO) // 2).all() and (panel[102, 200] == ONE).all()
    assert (panel[98, 200] == ZERO).all()  # the outline of the other


def test_what_a_killed_run_left_of_it_is_removed(tmp_path: Path) -> None:
    leftover = tmp_path / ".sheet.png.0a1b2c3d.tmp"
    leftover.write_bytes(b"half")
    sheet_of(tmp_path, np.zeros((300, 400), int), None)
    assert (tmp_path / "sheet.png").exists() and not leftover.exists()


@pytest.mark.parametrize("command", ["refine-cams", "refine-predictions", "self-label"])
def test_commands_that_make_labels_write_one(
    tmp_path: Path, threads: None, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for folder in ("images", "arrays", "marks"):
        (tmp_path / folder).mkdir()
    for n in range(14):  # more than the sheet has
        save(tmp_path / "images" / f"{n}.jpg", photo(24, 33, seed=n))
        probs = rng.random((2, 6, 8)).astype(np.float32)
        np.save(tmp_path / "arrays" / f"{n}.npy", probs / probs.sum(0))
        marks = np.full((24, 33), 255)
        marks[3, 3:20], marks[20, 3:20] = 0, 1
        io.write_label_png(tmp_path / "marks" / f"{n}.png", marks)
    (tmp_path / "tags.csv").write_text("".join(f"{n},1,2\n" for n in range(14)))
    (tmp_path / "names.txt").write_text("background\nroad\ncar\n")
    options = {
        "refine-cams": ["--classes-of", f"{tmp_path}/tags.csv", "--names", f"{tmp_path}/names.txt", "--method", "none"],
        "refine-predictions": ["--method", "none"],
        "self-label": ["--marks", f"{tmp_path}/marks"],
    }[command]
    if command != "self-label":
        options += ["--workers", "1"]
    out = tmp_path / "out"
    assert main([command, f"{tmp_path}/images", f"{tmp_path}/arrays", "-o", str(out), *options]) == 0
    assert (
        capsys.readouterr().out.splitlines()[-1] == f"wrote {out / 'sheet.png'}: look whether the labels fit the images"
    )
    pixels = np.array(Image.open(out / "sheet.png").convert("RGB"))
    assert pixels.shape[1] == 4 * 412 + 12 and 3 * 334 < pixels.shape[0] < 4 * 334
    assert any((pixels == color).all(-1).any() for color in (ZERO, ONE))
