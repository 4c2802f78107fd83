"""The example that trains a superpixel network: its crops, whole small runs, mistakes in the folders."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from helpers import ROOT
from PIL import Image

SIZE = (48, 64)


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import train_spixel_net

    return train_spixel_net


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images; segments of the first by two annotators, of the second one label map with unlabelled pixels."""
    rng = np.random.default_rng(0)
    for name in ("images", "segments"):
        (tmp_path / name).mkdir()
    label = np.zeros(SIZE, np.uint8)
    label[:, 30:] = 1
    for k in (0, 1):
        image = np.where(label[..., None], 200, 60) + rng.integers(0, 20, (*SIZE, 3))
        Image.fromarray(image.astype(np.uint8)).save(tmp_path / "images" / f"{k}.png")
    np.savez(tmp_path / "segments" / "0.npz", segments=np.stack([label, label + 254]))
    label[:10] = 255
    Image.fromarray(label).save(tmp_path / "segments" / "1.png")
    return tmp_path


@pytest.mark.parametrize("segments", [True, False])
def test_a_run(train, folder, monkeypatch, segments) -> None:
    options = ["--segments", str(folder / "segments")] if segments else []
    options += ["--steps", "2", "--batch", "2", "--crop", "32", "--device", "cpu", "-o", str(folder / "net.pt")]
    monkeypatch.setattr("sys.argv", ["train_spixel_net", str(folder / "images"), *options])
    train.main()
    train.SpixelNet(cell_size=16).load_state_dict(torch.load(folder / "net.pt", weights_only=True))


def test_unlabelled_pixels_are_the_same_in_files_of_both_kinds(train, folder) -> None:
    """255 is a label of an .npz, and none of a .png, whichever file is the first."""
    crops = train.Crops(folder / "images", folder / "segments", 32, 0)
    assert sorted(np.unique(crops.targets[0])) == [0, 1, 254, 255]
    assert sorted(np.unique(crops.targets[1])) == [-1, 0, 1]
    image, target = crops.batch(3)
    assert image.shape == (3, 3, 32, 32) and target.shape == (3, 32, 32) and target.dtype == torch.int64


@pytest.mark.parametrize(
    ("broken", "message"),
    [("missing", "segments must hold 1.npz or 1.png"), ("size", "1.png has 20 x 10 pixels, its image 64 x 48")],
)
def test_errors_of_the_segments(train, folder, broken, message) -> None:
    file = folder / "segments" / "1.png"
    if broken == "missing":
        file.unlink()
    else:
        Image.fromarray(np.zeros((10, 20), np.uint8)).save(file)
    with pytest.raises(SystemExit, match=message):
        train.Crops(folder / "images", folder / "segments", 8, 0)


def test_images_smaller_than_a_crop(train, folder) -> None:
    with pytest.raises(SystemExit, match="must hold images of at least 49 x 49 pixels"):
        train.Crops(folder / "images", None, 49, 0)


def test_grey_images_of_16_bits_keep_their_range(train, folder) -> None:
    grey = np.linspace(0, 65535, SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint16)
    Image.fromarray(grey).save(folder / "images" / "1.png")
    image = train.Crops(folder / "images", None, 32, 0).images[1]
    assert image.shape == (*SIZE, 3) and 120 < image.mean() < 135
