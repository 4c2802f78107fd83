"""Lists of colours of classes, and label maps in these colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.pictures import save
from PIL import Image

from closedform_wsss.io import read_label_colors, read_label_png, read_marks, voc_palette

CVAT = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ntraffic light: side:250,170,30:a,b:\nStraße:128,64,128::\n"


@pytest.mark.parametrize(
    ("text", "names", "colors"),
    [
        (CVAT, ("background", "traffic light: side", "Straße"), [[0, 0, 0], [250, 170, 30], [128, 64, 128]]),
        ("64 128 64\tAnimal\n\n192 0 128  Arch way\r\n", ("Animal", "Arch way"), [[64, 128, 64], [192, 0, 128]]),
        ("0,0,0\n255, 0, 0\n", ("", ""), [[0, 0, 0], [255, 0, 0]]),
        ("#000000 sky\nff00FF\n# road\n", ("sky", ""), [[0, 0, 0], [255, 0, 255]]),
        ("\ufeffroad:1,2,3", ("road",), [[1, 2, 3]]),
    ],
)
def test_lists(tmp_path: Path, text: str, names: tuple[str, ...], colors: list[list[int]]) -> None:
    path = tmp_path / "labelmap.txt"
    path.write_text(text, "utf-8")
    found = read_label_colors(path)
    assert found.names == names
    assert found.colors.tolist() == colors
    assert found.colors.dtype == np.uint8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold names and colours, got none"),
        ("# only a remark", "must hold names and colours, got none"),
        ("road:1,2,3\nsky\n", "line 2 must be a name and a colour, as in .* got 'sky'"),
        ("road:1,2,256", "line 1 must be a name and a colour"),
        ("road:::", "line 1 must be a name and a colour"),
        ("road:1,2,3\nsky:1,2,3", r"colours must differ from each other, got \(1, 2, 3\) more than once"),
    ],
)
def test_wrong_lists(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labelmap.txt"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=f"read_label_colors: .*{message}.*labelmap.txt"):
        read_label_colors(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    """PowerShell writes UTF-16, which lists of names and tags may have too."""
    (tmp_path / "a.txt").write_text("straße:1,2,3::\n", encoding)
    assert read_label_colors(tmp_path / "a.txt").names == ("straße",)


def test_lists_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ValueError, match="must be a text file in UTF-8"):
        read_label_colors(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError):
        read_label_colors(tmp_path / "b.txt")


def test_label_maps_in_these_colors(tmp_path: Path) -> None:
    colors = np.random.default_rng(0).permutation(np.unique(voc_palette()[:40] // 2 + 7, axis=0))[:12]
    labels = np.random.default_rng(1).integers(0, 12, (9, 11))
    rgb = save(tmp_path / "rgb.png", colors[labels])
    Image.fromarray(colors[labels]).quantize(16).save(tmp_path / "indexed.png")
    for path in (rgb, tmp_path / "indexed.png"):
        assert read_label_png(path, palette=colors.tolist()).tolist() == labels.tolist()
        marks = read_marks(path, kind="labels", palette=colors.tolist(), unmarked=0)
        assert marks.tolist() == np.where(labels == 0, 255, labels).tolist()


def test_label_maps_in_grey_colors(tmp_path: Path) -> None:
    grey = save(tmp_path / "grey.png", np.array([[10, 90, 10]], np.uint8))
    assert read_label_png(grey, palette=[(90, 90, 90), (10, 10, 10)]).tolist() == [[1, 0, 1]]


@pytest.mark.parametrize(
    ("palette", "message"),
    [
        ([(0, 0, 0), (1, 1, 1)], r"colours of the given palette, got the colour \(9, 9, 9\) at x=1, y=0"),
        ([(0, 0, 0), (0, 0, 0)], "palette must differ from each other"),
        ([(0, 0)], r"palette must be \(C, 3\)"),
        ([(0, 0, 300)], r"palette must be integers in 0..255"),
        ("rgb", "palette must be one of 'auto', 'index', 'voc', got 'rgb'"),
    ],
)
def test_wrong_palettes(tmp_path: Path, palette, message: str) -> None:
    path = save(tmp_path / "a.png", np.array([[[0, 0, 0], [9, 9, 9]]], np.uint8))
    with pytest.raises(ValueError, match=f"read_label_png: .*{message}"):
        read_label_png(path, palette=palette)
    with pytest.raises(ValueError, match=f"read_marks: .*{message}"):
        read_marks(path, kind="labels", palette=palette)
