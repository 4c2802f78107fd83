"""The example that trains a network from marks: its parts, and whole small runs."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from helpers import ROOT
from PIL import Image

EXAMPLES = ROOT / "examples"
SIZE = (32, 48)


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import train_segmentation

    return train_segmentation


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures of three classes: bright above, dark below, a red box in front; with masks and scribbles."""
    root = tmp_path_factory.mktemp("data")
    for name in ("images", "labels", "scribbles"):
        (root / name).mkdir()
    random = np.random.default_rng(0)
    for k in range(8):
        label = np.zeros((64, 96), np.uint8)
        label[32:] = 1
        top, left = random.integers(8, 36), random.integers(8, 70)
        label[top : top + 16, left : left + 16] = 2
        colours = np.array([[200, 200, 220], [60, 90, 60], [200, 40, 40]])
        image = np.clip(colours[label] + random.normal(0, 8, (64, 96, 3)), 0, 255).astype(np.uint8)
        marks = np.full_like(label, 255)
        marks[4, 10:80], marks[60, 10:80], marks[top + 8, left + 3 : left + 13] = 0, 1, 2
        Image.fromarray(image).save(root / "images" / f"{k}.png")
        Image.fromarray(label).save(root / "labels" / f"{k}.png")
        Image.fromarray(marks).save(root / "scribbles" / f"{k}.png")
    return root


def arguments(folder: Path, output: Path, *more: str) -> list[str]:
    return [
        *(str(folder), "--val", str(folder), "--classes", "3", "--size", *map(str, SIZE), "-o", str(output)),
        *("--no-pretrained", "--epochs", "3", "--batch", "4", "--device", "cpu", "--quiet", *more),
    ]


def rows(output: Path) -> list[dict[str, str]]:
    with (output / "log.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_a_run_leaves_what_it_says(train, folder, tmp_path):
    train.main(arguments(folder, tmp_path, "--loss", "superpixel=1"))
    log = rows(tmp_path)
    assert [row["epoch"] for row in log] == ["1", "2", "3"]
    assert all(float(row["self_training"]) > 0 for row in log)
    labels = sorted((tmp_path / "pseudo_labels" / "labels").glob("*.png"))
    assert len(labels) == 8 and (np.array(Image.open(labels[0])) != 255).mean() > 0.5  # the others are ambiguous
    assert all(float(row["superpixel"]) >= 0 for row in log)
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["epoch"] == 3 and len(scores["iou"]) == 3 and 0 <= scores["mean_iou"] <= 1
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 8
    assert Image.open(tmp_path / "pictures" / "0.png").size == (3 * 96, 64)  # at the label's size
    network = train.build_model("lite_fpn", 3, False)
    network.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))


@pytest.mark.slow
def test_a_run_that_was_cut_goes_on_as_if_it_had_not_been(train, folder, tmp_path):
    options = arguments(folder, tmp_path / "whole")
    train.main(options)
    args = train.parse(arguments(folder, tmp_path / "cut"))
    args.output.mkdir()
    trainer = train.Trainer(args)
    saved = trainer.save

    def save_and_die() -> None:
        saved()
        if trainer.epoch == 2:
            raise KeyboardInterrupt

    trainer.save = save_and_die
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    train.Trainer(args).run()
    whole, cut = (torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    for name in whole:
        torch.testing.assert_close(whole[name], cut[name], msg=name)
    assert [row["epoch"] for row in rows(tmp_path / "cut")] == ["1", "2", "3"]
    with pytest.raises(SystemExit, match=r"of a run with lr 0\.001 and not 0\.01: choose another OUTPUT"):
        train.main(arguments(folder, tmp_path / "cut", "--lr", "0.01"))


def test_the_log_survives_a_kill(train, folder, tmp_path, monkeypatch):
    """While its second line is written, and between that line and the checkpoint of the epoch."""
    trainer = train.Trainer(train.parse(arguments(folder, tmp_path)))
    trainer.log({"epoch": 1, "loss": 0.5})

    def die(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(csv.DictWriter, "writerows", die)
        with pytest.raises(KeyboardInterrupt):
            trainer.log({"epoch": 2, "loss": 0.4})
    assert [row["loss"] for row in rows(tmp_path)] == ["0.5"]
    for loss in (0.3, 0.2):
        trainer.log({"epoch": 2, "loss": loss})
    assert [(row["epoch"], row["loss"]) for row in rows(tmp_path)] == [("1", "0.5"), ("2", "0.2")]


@pytest.mark.slow
def test_online_self_training_goes_on_after_a_cut(train, folder, tmp_path):
    train.main(arguments(folder, tmp_path / "whole", "--method", "online"))
    trainer = train.Trainer(train.parse(arguments(folder, tmp_path / "cut", "--method", "online")))
    (tmp_path / "cut").mkdir()
    for _ in range(2):
        trainer.train_epoch()
        trainer.epoch += 1
    assert trainer.online.rounds_done == 2
    trainer.save()
    train.main(arguments(folder, tmp_path / "cut", "--method", "online"))
    whole, cut = (torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "cut"))
    for name in whole:
        torch.testing.assert_close(whole[name], cut[name], msg=name)


def test_every_second_image(train, folder, tmp_path):
    train.main(arguments(folder, tmp_path, "--method", "loss", "--every", "2", "--epochs", "1"))
    assert bool(rows(tmp_path)[0]["cross_entropy"])
    assert len(train.MarkedFolder(folder, "scribbles", 3, None, every=2)) == 4


def test_masks(train, folder, tmp_path):
    train.main(arguments(folder, tmp_path, "--targets", "labels", "--amp"))
    assert float(rows(tmp_path)[0]["cross_entropy"]) > 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="torchrun with gloo")
def test_two_processes(folder, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(EXAMPLES / "train_segmentation.py"), *arguments(folder, tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(rows(tmp_path)) == 3
    assert len(list((tmp_path / "pseudo_labels" / "labels").glob("*.png"))) == 8


def test_images_of_any_kind_are_found(train, folder, tmp_path):
    folder = Path(shutil.copytree(folder, tmp_path / "data"))
    for k, suffix in enumerate((".webp", ".BMP", ".tif")):
        Image.open(folder / "images" / f"{k}.png").save(folder / "images" / f"{k}{suffix}", lossless=True)
        (folder / "images" / f"{k}.png").unlink()
    for hidden in (".DS_Store", "._0.jpg"):
        (folder / "images" / hidden).touch()
    data = train.MarkedFolder(folder, "scribbles", 3, None)
    assert [data.name(k) for k in range(len(data))] == [str(k) for k in range(8)]
    assert all(data[k][1].shape == (3, 64, 96) for k in range(3))


def test_averages(train):
    torch.testing.assert_close(train.average(torch.zeros(1), torch.ones(1), 0), torch.tensor([0.9]))
    late = train.average(torch.zeros(1), torch.ones(1), 10_000)
    torch.testing.assert_close(late, torch.tensor([0.01]))


def test_flips_keep_maps_on_one_another(train):
    x = torch.arange(16 * 5.0).view(16, 1, 1, 5)
    image, target = train.flip([x.expand(-1, 3, 2, -1), x[:, 0].expand(-1, 2, -1)], torch.Generator().manual_seed(0))
    assert torch.equal(image[:, 0], target)
    mirrored = target[:, 0, 0] != x[:, 0, 0, 0]
    assert 0 < mirrored.sum() < 16 and torch.equal(target[mirrored][:, 0], x[mirrored][:, 0, 0].flip(-1))


def test_an_unmarked_batch_has_no_loss_but_a_graph(train):
    from segmentation.losses import LOSSES, Batch

    logits = torch.randn(2, 3, 32, 32, requires_grad=True)
    batch = Batch(logits, torch.rand(2, 3, 32, 32), torch.full((2, 32, 32), 255))
    for name in ("cross_entropy", "superpixel"):
        loss = LOSSES[name](batch)
        assert loss.item() == 0
        loss.backward()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("missing", "1 images have no target"),
        ("size", "its image 96 x 64"),
        ("label", r"must be below 3 or 255, got \[7\]"),
        ("empty", r"images holds no images \(.jpg, "),
        ("none", "must hold a folder images/"),
        ("twice", "must not hold two images of one name, got 3.bmp, 3.png"),
        ("colour", r"colours of the VOC palette, got the colour \(255, 255, 255\) at x=0, y=0 in .*3.png"),
    ],
)
def test_errors_of_a_folder(train, folder, tmp_path, broken, message):
    root = tmp_path / "data"
    shutil.copytree(folder, root)
    if broken == "missing":
        (root / "scribbles" / "3.png").unlink()
    elif broken == "size":
        Image.fromarray(np.zeros((10, 10), np.uint8)).save(root / "scribbles" / "3.png")
    elif broken == "label":
        Image.fromarray(np.full((64, 96), 7, np.uint8)).save(root / "scribbles" / "3.png")
    elif broken == "colour":
        Image.fromarray(np.full((64, 96, 3), 255, np.uint8)).save(root / "scribbles" / "3.png")
    elif broken == "twice":
        Image.open(root / "images" / "3.png").save(root / "images" / "3.bmp")
    else:
        shutil.rmtree(root / "images")
        if broken == "empty":
            (root / "images").mkdir()
    with pytest.raises(SystemExit, match=message):
        train.main(arguments(root, tmp_path / "out"))


@pytest.mark.parametrize("text", ["energy=much", "energy=nan", "unknown=1"])
def test_errors_of_a_loss(train, folder, tmp_path, text, capsys):
    with pytest.raises(SystemExit):
        train.main(arguments(folder, tmp_path, "--loss", text))
    assert "--loss must be NAME=WEIGHT" in capsys.readouterr().err


def test_an_unknown_model(train, folder, tmp_path):
    with pytest.raises(SystemExit, match="--model must be"):
        train.main(arguments(folder, tmp_path, "--model", "unet"))


@pytest.mark.parametrize("name", ["classes", "every", "epochs", "val-every", "batch", "size"])
def test_numbers_that_make_no_run(train, folder, tmp_path, name, capsys):
    with pytest.raises(SystemExit):
        train.main(arguments(folder, tmp_path, f"--{name}", *(["0", "4"] if name == "size" else ["0"])))
    assert f"--{name} must be at least 1" in capsys.readouterr().err


def test_images_of_several_sizes_need_one(train, folder, tmp_path):
    root = Path(shutil.copytree(folder, tmp_path / "data"))
    for name in ("images", "labels", "scribbles"):
        Image.open(root / name / "3.png").crop((0, 0, 80, 64)).save(root / name / "3.png")
    options = arguments(root, tmp_path / "out", "--batch", "8", "--method", "loss", "--epochs", "1")
    at = options.index("--size")
    with pytest.raises(SystemExit, match=r"several sizes, such as 80 x 64 and 96 x 64 pixels: give --size H W"):
        train.main(options[:at] + options[at + 3 :])
    train.main(options)


def test_errors_of_a_folder_reach_from_the_workers(train, folder, tmp_path):
    root = Path(shutil.copytree(folder, tmp_path / "data"))
    Image.fromarray(np.full((64, 96), 7, np.uint8)).save(root / "scribbles" / "3.png")
    with pytest.raises(SystemExit, match=r"3.png: labels must be below 3 or 255, got \[7\]"):
        train.main(arguments(root, tmp_path / "out", "--method", "loss", "--workers", "1"))


def test_a_class_that_no_target_has(train, folder, tmp_path, capsys):
    """A mask of 0 and 255 marks the background alone."""
    options = ("--method", "loss", "--epochs", "1")
    train.main(arguments(folder, tmp_path / "one", *options))
    assert "no target" not in capsys.readouterr().err
    root = Path(shutil.copytree(folder, tmp_path / "data"))
    for file in (root / "scribbles").glob("*.png"):
        marks = np.array(Image.open(file))
        Image.fromarray(np.where(marks == 0, 0, 255).astype(np.uint8)).save(file)
    train.main(arguments(root, tmp_path / "two", *options))
    message = "scribbles has a pixel of class 1, 2. Targets are class numbers from 0, and 255 is no class"
    assert message in capsys.readouterr().err
