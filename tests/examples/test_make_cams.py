"""From a folder of images and their tags to a trained network: the three commands of docs/cams.rst."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from helpers import ROOT
from PIL import Image

from closedform_wsss.cli import main
from closedform_wsss.io import read_cam, read_label_png


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import make_cams
    import train_segmentation

    return make_cams, train_segmentation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight pictures with a red or a blue box, or both."""
    (tmp_path / "images").mkdir()
    random = np.random.default_rng(0)
    lines = []
    for k in range(8):
        image = np.full((48, 64, 3), 90) + random.normal(0, 6, (48, 64, 3))
        tags = [[1], [2], [1, 2]][k % 3]
        for tag in tags:
            left = 4 + 32 * (tag - 1) + int(random.integers(8))
            image[12:34, left : left + 20] = (200, 40, 40) if tag == 1 else (40, 40, 200)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(tmp_path / "images" / f"{k}.png")
        lines.append(",".join([f"{k}", *map(str, tags)]))
    (tmp_path / "tags.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def cams_of(folder: Path, *more: str) -> list[str]:
    small = ("--size", "64", "--epochs", "1", "--batch", "4", "--no-pretrained", "--device", "cpu", "--quiet")
    return [str(folder / "images"), str(folder / "tags.csv"), "-o", str(folder / "cams"), *small, *more]


@pytest.mark.slow
def test_from_tags_to_a_network(scripts, folder):
    make_cams, train = scripts
    make_cams.main(cams_of(folder))
    for k in range(8):
        classes, maps = read_cam(folder / "cams" / f"{k}.npz")
        assert classes.tolist() == [[1], [2], [1, 2]][k % 3]
        assert maps.shape[0] == len(classes) and maps.min() >= 0 and maps.max() <= 1
    refined = ["refine-cams", str(folder / "images"), str(folder / "cams"), "-o", str(folder / "refined")]
    assert main([*refined, "--margin", "0.1"]) == 0
    label = read_label_png(folder / "refined" / "labels" / "0.png")
    assert set(label.unique().tolist()) <= {0, 1, 255}
    options = ["--classes", "3", "--targets", "refined/labels", "-o", str(folder / "run"), "--epochs", "3"]
    small = ["--batch", "4", "--no-pretrained", "--device", "cpu", "--quiet"]
    train.main([str(folder), *options, *small])
    assert (folder / "run" / "model.pt").exists()
    assert len(list((folder / "run" / "pseudo_labels" / "labels").glob("*.png"))) == 8


def test_maps_are_those_of_the_tags_at_stride_16(scripts, folder):
    make_cams, _ = scripts
    model = make_cams.Classifier(3, False).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 3, 64, 96)).shape == (1, 3, 4, 6)
    cam = make_cams.maps_of(model, torch.rand(1, 3, 48, 64), torch.tensor([0, 2]), 64)
    assert cam.shape == (2, 4, 6) and cam.min() >= 0 and cam.max() <= 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1\n1,cat\n", "must be a number"),
        ("0,1\n1,2\n", "no tags for 6 images"),
        ("".join(f"{k},{k}\n" for k in range(8)), "must be from 1 to 254, got 0 in line 1"),
    ],
)
def test_mistakes(scripts, folder, text, message):
    (folder / "tags.csv").write_text(text)
    with pytest.raises(SystemExit, match=message):
        scripts[0].main(cams_of(folder))


@pytest.mark.parametrize(
    ("images", "tags", "message"),
    [("none", "tags.csv", "none is no folder"), ("images", "none.csv", "No such file or directory: .*none.csv")],
)
def test_what_is_not_there(scripts, folder: Path, images: str, tags: str, message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        scripts[0].main([str(folder / images), str(folder / tags), "-o", str(folder / "cams"), "--no-pretrained"])


@pytest.mark.parametrize("name", ["size", "epochs", "batch"])
def test_numbers_that_make_no_run(scripts, folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scripts[0].main([str(folder / "images"), str(folder / "tags.csv"), "-o", str(folder), f"--{name}", "0"])
    assert f"--{name} must be at least 1, got 0" in capsys.readouterr().err
