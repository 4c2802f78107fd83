"""``refine-predictions``, ``self-label`` and ``eval --probabilities`` on small folders."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.pictures import photo, save
from PIL import Image

from closedform_wsss import io
from closedform_wsss.cli import main
from closedform_wsss.cli.refine_predictions import methods
from closedform_wsss.training import PseudoLabeler

STEMS = ("a", "b.c", "d")


@pytest.fixture
def data(tmp_path: Path, threads: None) -> Path:
    """images/, probs/ in three formats, marks/ and gt/ of three classes."""
    torch.set_num_threads(1)
    for folder in ("images", "probs", "marks", "gt"):
        (tmp_path / folder).mkdir()
    generator = torch.Generator().manual_seed(0)
    for n, stem in enumerate(STEMS):
        height = 32 + 4 * n
        save(tmp_path / "images" / f"{stem}.jpg", photo(height, 41, seed=n))
        probs = torch.randn(3, 9 + n, 11, generator=generator).softmax(0)
        if n == 0:
            np.save(tmp_path / "probs" / f"{stem}.npy", probs)
        elif n == 1:
            np.savez(tmp_path / "probs" / f"{stem}.npz", probabilities=probs[:, None].half())
        else:
            torch.save(probs, tmp_path / "probs" / f"{stem}.pt")
        marks = torch.full((height, 41), 255)
        marks[5, 3:30], marks[20, 3:30] = n, (n + 1) % 3
        io.write_label_png(tmp_path / "marks" / f"{stem}.png", marks)
        io.write_label_png(tmp_path / "gt" / f"{stem}.png", torch.randint(0, 3, (height, 41), generator=generator))
    return tmp_path


def run(command: str, data: Path, *options: str, out: str = "out") -> int:
    folders = [str(data / "images"), str(data / "probs"), "-o", str(data / out)]
    return main([command, *folders, *options])


def parts(data: Path, stem: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    probs = io.read_probabilities(next((data / "probs").glob(f"{stem}.*")))
    return io.read_image(data / "images" / f"{stem}.jpg"), io.read_marks(data / "marks" / f"{stem}.png"), probs


@pytest.mark.parametrize("method", list(methods.METHODS))
@pytest.mark.parametrize("marked", [False, True])
def test_writes_what_the_functions_give(data: Path, method: str, marked: bool) -> None:
    options = ["--method", method, "--write", "both", "--workers", "1", "--quiet", "--scale", "0.5"]
    assert run("refine-predictions", data, *options, *(["--marks", f"{data}/marks"] if marked else [])) == 0
    for stem in STEMS:
        image, marks, probs = parts(data, stem)
        want = methods.METHODS[method](probs[None], image[None], marks[None] if marked else None, 0.5, 0.1)[0]
        assert want.shape == (3, *image.shape[1:])
        got = io.read_probabilities(data / "out/probabilities" / f"{stem}.npz")
        torch.testing.assert_close(got, want, rtol=0, atol=2e-3)
        label = io.read_label_png(data / "out/labels" / f"{stem}.png")
        assert torch.equal(label, want.argmax(0))
        if marked:
            known = marks != 255
            assert (label[known] == marks[known]).float().mean() > 0.95
            assert method == "matting" or bool((label[known] == marks[known]).all())


def test_margin_and_continuing(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--method", "none", "--margin", "0.3", "--workers", "1"]
    assert run("refine-predictions", data, *options) == 0
    label = io.read_label_png(data / "out/labels/a.png")
    best = torch.nn.functional.interpolate(parts(data, "a")[2][None], (32, 41), mode="bilinear")[0].topk(2, 0)[0]
    assert torch.equal(label == 255, best[0] - best[1] < 0.3)
    (data / "out/labels/d.png").unlink()
    assert run("refine-predictions", data, *options) == 0
    assert "1 images refined" in capsys.readouterr().out.splitlines()[4]
    assert run("refine-predictions", data, "--method", "none", "--workers", "1") == 2
    assert "other options (margin 0.3, now 0.0)" in capsys.readouterr().err


def test_eval_before_and_after(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("refine-predictions", data, "--method", "none", "--quiet", "--workers", "1") == 0
    scores = []
    for command in (
        ["eval", f"{data}/probs", f"{data}/gt", "--probabilities"],
        ["eval", f"{data}/out/labels", f"{data}/gt"],
    ):
        assert main([*command, "--json", f"{data}/s.json"]) == 0
        scores.append(json.loads((data / "s.json").read_text())["mean_iou"])
    assert scores[0] == scores[1] and 0.1 < scores[0] < 0.5
    assert "threshold" not in capsys.readouterr().out
    for option in ("--probabilities", "--logits"):
        assert main(["eval", f"{data}/gt", f"{data}/gt", option]) == 2
    assert main(["eval", f"{data}/probs", f"{data}/gt", "--logits", "--threshold", "0.5"]) == 2
    assert "--threshold is for CAMs, got probabilities" in capsys.readouterr().err


def test_self_label_is_a_round_of_the_labeler(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("self-label", data, "--marks", f"{data}/marks") == 0
    out = capsys.readouterr().out
    assert out.startswith("class   marks  predictions  labels") and "3 labels in" in out
    labeler = PseudoLabeler(tmp_path / "labeler", 3)
    labeler.update_from((stem, *parts(data, stem)) for stem in STEMS)
    for stem in STEMS:
        assert torch.equal(io.read_label_png(data / "out/labels" / f"{stem}.png"), labeler[stem].long())
    weights = json.loads((data / "out/class_weights.json").read_text())["class_weight"]
    np.testing.assert_allclose(weights, labeler.class_weight, atol=1e-6)
    written = sorted(path.name for path in (data / "out").iterdir())
    assert written == ["class_weights.json", "labels", "self-label.json", "sheet.png"]


def test_self_label_is_made_once_for_each_folder(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--marks", f"{data}/marks", "--quiet"]
    assert run("self-label", data, *options) == 0
    before = (data / "out/labels/a.png").read_bytes()
    assert run("self-label", data, *options) == 2
    assert "-o must be a new folder for each round" in capsys.readouterr().err
    assert run("self-label", data, *options, "--overwrite") == 0
    assert (data / "out/labels/a.png").read_bytes() == before
    assert run("self-label", data, *options, "--incomplete-marks", out="other") == 0
    labels = io.read_label_png(data / "out/labels/a.png"), io.read_label_png(data / "other/labels/a.png")
    assert set(labels[0].unique().tolist()) == {0, 1, 255} and set(labels[1].unique().tolist()) == {0, 1, 2, 255}


@pytest.mark.parametrize("before", [0, 1])
def test_a_cut_run_of_self_label_leaves_all_labels_or_none(
    data: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """Some of them would look like a whole round to the next training."""
    options = ["--marks", f"{data}/marks", "--quiet"]
    moves = 0

    def cut(source: Any, target: Any, replace: Callable[..., None] = os.replace) -> None:
        nonlocal moves
        moves += "labels" in Path(source).parts[-2:] and ".self-label" in Path(source).parts
        if moves > before:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", cut)
        status = run("self-label", data, *options)
    labels = list((data / "out" / "labels").iterdir())
    assert (status, len(labels)) == ((0, 3) if before else (130, 0))
    assert (data / "out" / "class_weights.json").exists()
    assert run("self-label", data, *options, *(["--overwrite"] if before else [])) == 0


@pytest.mark.parametrize("command", ["refine-predictions", "self-label"])
def test_mistakes(data: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    one_worker = ("--workers", "1") if command == "refine-predictions" else ()  # which self-label has not

    def said(*options: str, status: int = 2) -> str:
        assert run(command, data, *one_worker, *options) == (status if command == "refine-predictions" else 2)
        return capsys.readouterr().err

    marks = ("--marks", f"{data}/marks")
    (data / "list.txt").write_text("a\nz\n")
    assert "--list must name images in IMAGES, got z" in said(*marks, "--list", f"{data}/list.txt")
    assert "--pattern must fit files in PROBABILITIES" in said(*marks, "--pattern", "{stem}_p.npy")
    io.write_label_png(data / "marks/d.png", torch.full((40, 41), 7))
    assert "the marks must be below 3, the number of classes in the probabilities, or 255, got [7]" in said(
        *marks, status=1
    )
    io.write_label_png(data / "marks/d.png", torch.zeros(40, 42, dtype=torch.int64))
    assert "the marks must have the image's size (40, 41), got (40, 42)" in said(*marks, "--overwrite", status=1)
    (data / "marks/d.png").unlink()
    assert "--marks must hold a file for every image, got none for d" in said(*marks, "--overwrite")
    shutil.rmtree(data / "out")
    np.save(data / "probs/a.npy", np.random.default_rng(0).normal(size=(3, 9, 11)))
    (data / "list.txt").write_text("a\n")
    assert "for logits pass logits=True (--logits of a command)" in said(
        *marks, "--overwrite", "--list", f"{data}/list.txt", status=1
    )
    # Nothing was made, so the cure works in the same folder.
    assert run(command, data, *marks, "--list", f"{data}/list.txt", "--logits") == 0


def test_mistakes_of_self_label(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(data / "probs/a.npy", np.full((5, 9, 11), 0.2))
    assert run("self-label", data, "--marks", f"{data}/marks") == 2
    assert "must have one number of classes, got 5 in" in capsys.readouterr().err
    assert not list((data / "out/labels").iterdir()) and not (data / "out/.self-label").exists()


# --- nnU-Net


def test_images_of_nnunet_have_a_channel_in_their_names(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in [*(data / "images").iterdir()]:
        shutil.copy(path, path.with_name(f"{path.stem}_0001.jpg"))
        path.rename(path.with_name(f"{path.stem}_0000.jpg"))
    options = ["--workers", "1", "--method", "none"]
    assert run("refine-predictions", data, *options, "--marks", f"{data}/marks") == 0
    assert "3 images refined" in capsys.readouterr().out
    assert sorted(path.stem for path in (data / "out/labels").iterdir()) == sorted(STEMS)
    assert run("self-label", data, "--marks", f"{data}/marks", "--quiet", out="round") == 0
    for path in [*(data / "probs").iterdir()]:  # named as the images are, and the marks as the cases
        path.rename(path.with_name(f"{path.stem}_0000{path.suffix}"))
    assert run("refine-predictions", data, *options, "--marks", f"{data}/marks", out="own") == 0
    assert sorted(path.stem for path in (data / "own/labels").iterdir()) == sorted(f"{stem}_0000" for stem in STEMS)
    assert main(["eval", f"{data}/probs", f"{data}/gt", "--probabilities"]) == 0


def test_eval_of_arrays_beside_label_maps(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """nnU-Net writes both, and a file of its own."""
    (data / "probs" / "a.pkl").write_bytes(b"")
    assert main(["eval", f"{data}/probs", f"{data}/gt", "--probabilities"]) == 0
    alone = capsys.readouterr().out
    for stem in STEMS:
        shutil.copy(data / "gt" / f"{stem}.png", data / "probs")
    assert main(["eval", f"{data}/probs", f"{data}/gt"]) == 2
    said = capsys.readouterr().err
    assert "--probabilities measures the arrays, --pattern '{stem}.png' the label maps" in said
    assert main(["eval", f"{data}/probs", f"{data}/gt", "--probabilities"]) == 0
    assert capsys.readouterr().out == alone
    assert main(["eval", f"{data}/probs", f"{data}/gt", "--pattern", "{stem}.png"]) == 0
    assert "mean IoU        1.0000" in capsys.readouterr().out


def test_logits_with_the_classes_last_are_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They would be read as a class for each row of the image."""
    for path in (data / "probs").iterdir():
        path.unlink()
    for stem in STEMS:
        height, width = io.read_label_png(data / "gt" / f"{stem}.png").shape
        np.save(data / "probs" / f"{stem}.npy", np.random.default_rng(0).normal(size=(height, width, 3)))
    wrong = (
        "the probabilities must be (classes, h, w), got shape (32, 41, 3) for an image of 32 x 41: the classes are last"
    )
    assert main(["eval", f"{data}/probs", f"{data}/gt", "--logits"]) == 1
    assert wrong in capsys.readouterr().err
    assert run("refine-predictions", data, "--logits", "--workers", "1") == 1
    assert wrong in capsys.readouterr().err
    assert not list((data / "out/labels").glob("*.png"))


@pytest.mark.parametrize("orientation", ["apply", "ignore"])
@pytest.mark.parametrize("command", ["refine-predictions", "self-label"])
def test_marks_have_the_orientation_of_the_images(
    data: Path, command: str, orientation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program that stores marks with the EXIF data of their images."""
    exif = Image.Exif()
    exif[0x0112] = 3
    for folder, suffix in (("images", "jpg"), ("marks", "png")):
        for stem in STEMS:
            path = data / folder / f"{stem}.{suffix}"
            with Image.open(path) as image:
                image.load()
            image.save(path, exif=exif)
    options = ["--marks", f"{data}/marks", "--orientation", orientation, "--quiet"]
    assert run(command, data, *options) == 0
    assert "was turned" not in capsys.readouterr().err
    for stem in STEMS:
        marks = io.read_marks(data / "marks" / f"{stem}.png", kind="labels", orientation=orientation)
        labels = io.read_label_png(data / "out/labels" / f"{stem}.png")
        assert (labels == marks)[marks != 255].float().mean() > 0.9


def test_a_value_of_marks_without_marks(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The marks would be forgotten, and nobody would see it."""
    assert run("refine-predictions", data, "--unmarked", "0") == 2
    said = "--unmarked goes with --marks, which is missing, got 0\n"
    assert capsys.readouterr().err == f"closedform-wsss refine-predictions: {said}" and not (data / "out").exists()


@pytest.mark.parametrize(
    ("command", "name", "content"),
    [
        ("refine-predictions", "sheet.png", b""),
        ("refine-predictions", "refine-predictions.json", b'{"epochs": 3}'),
        ("self-label", "sheet.png", None),
        ("self-label", "self-label.json", b'{"labels": {"cat": 1}}'),
        ("self-label", "class_weights.json", b"[1.0, 2.0, 0.5]"),
        ("self-label", "class_weights.json", b"1.0 2.0 0.5"),
    ],
)
def test_files_of_the_user_are_kept_whatever_their_names(
    data: Path, capsys: pytest.CaptureFixture[str], command: str, name: str, content: bytes | None
) -> None:
    path = data / "out" / name
    path.parent.mkdir()
    path.write_bytes(next((data / "gt").iterdir()).read_bytes() if content is None else content)
    before = path.read_bytes()
    one_worker = ["--workers", "1"] if command == "refine-predictions" else []  # which self-label has not
    options = ["--marks", f"{data}/marks", "--quiet", *one_worker]
    for overwrite in ((), ("--overwrite",)):
        assert run(command, data, *options, *overwrite) == 2
        said = f"-o must not hold a {name} of another program, got {path}: choose another folder\n"
        assert capsys.readouterr().err == f"closedform-wsss {command}: {said}"
        assert path.read_bytes() == before and os.listdir(path.parent) == [name]
    path.unlink()
    for again in ((), ("--overwrite",)):  # its own may change
        assert run(command, data, *options, *again) == 0
