"""``eval`` against confusion matrices made one threshold at a time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.pictures import photo, save
from PIL import Image

from closedform_wsss import io
from closedform_wsss.cli import main
from closedform_wsss.functional import pseudo_labels
from closedform_wsss.metrics import ConfusionMatrix

SIZES = {"a": (20, 31), "b": (17, 24), "c": (1, 30), "d": (25, 25), "e": (12, 18)}
STEPS = [n / 100 for n in range(101)]


@pytest.fixture
def data(tmp_path: Path, threads: None) -> Path:
    """gt/, cams/ at a fraction of the size (the last without classes) and pred/, label maps that are mostly right."""
    torch.set_num_threads(1)  # for images this small more of them only wait for each other
    rng = np.random.default_rng(0)
    for name in ("gt", "cams", "pred"):
        (tmp_path / name).mkdir()
    for stem, (h, w) in SIZES.items():
        truth = rng.choice([0, 0, 1, 4, 255], (h, w)).astype(np.uint8)
        io.write_label_png(tmp_path / "gt" / f"{stem}.png", truth)
        wrong = rng.integers(0, 6, (h, w), np.uint8)
        right = (rng.random((h, w)) < 0.7) & (truth != 255)
        io.write_label_png(tmp_path / "pred" / f"{stem}.png", np.where(right, truth, wrong))
        classes = [4, 1] if stem != "e" else []
        small = (len(classes), max(h // 3, 1), w // 3)
        maps = np.linspace(0, 1, math.prod(small), dtype=np.float32).reshape(small)
        # With the true class's own values, so that the best threshold is not at an end.
        guide = truth[: small[1] * 3 : 3, : small[2] * 3 : 3]
        for maps_of, label in zip(maps, classes, strict=True):
            maps_of *= 0.5
            maps_of[guide[: small[1], : small[2]] == label] += 0.45
        io.write_cam(tmp_path / "cams" / f"{stem}.npy", classes, maps, format="irn")
    return tmp_path


def run(data: Path, pred: str, *options: str) -> dict[str, Any]:
    file = data / "scores.json"
    status = main(["eval", str(data / pred), str(data / "gt"), "--json", str(file), *options])
    assert status == 0
    return json.loads(file.read_text())


def truth(data: Path, stem: str) -> torch.Tensor:
    return io.read_label_png(data / "gt" / f"{stem}.png")[None]


def cam_matrices(data: Path, stems: Any = SIZES, thresholds: Any = STEPS) -> list[ConfusionMatrix]:
    """By the public functions, one image and threshold at a time."""
    matrices = [ConfusionMatrix(6) for _ in thresholds]
    for stem in stems:
        classes, maps = io.read_cam(data / "cams" / f"{stem}.npy")
        target = truth(data, stem)
        cam = torch.zeros(1, 0, *target.shape[1:])
        if len(classes):
            cam = torch.nn.functional.interpolate(maps[None], target.shape[1:], mode="bilinear")
        for matrix, threshold in zip(matrices, thresholds, strict=True):
            matrix.update(pseudo_labels(cam, threshold=threshold, classes=classes.tolist()), target)
    return matrices


def best_of(matrices: list[ConfusionMatrix]) -> int:
    return int(np.argmax([matrix.compute().mean_iou for matrix in matrices]))


# --- scores


def test_label_maps(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matrix = ConfusionMatrix(6)
    for stem in SIZES:
        pred = io.read_label_png(data / "pred" / f"{stem}.png")[None]
        matrix.update(pred, truth(data, stem))
    want = matrix.compute()
    got = run(data, "pred")
    assert got["mean_iou"] == pytest.approx(want.mean_iou, abs=1e-12)
    assert got["pixel_accuracy"] == pytest.approx(want.pixel_accuracy, abs=1e-12)
    assert got["mean_accuracy"] == pytest.approx(want.mean_accuracy, abs=1e-12)
    assert [row["class"] for row in got["classes"]] == [0, 1, 2, 3, 4, 5]
    assert [row["iou"] for row in got["classes"]] == pytest.approx(want.iou.tolist(), abs=1e-12)
    counts = matrix.matrix.double()
    for label, row in enumerate(got["classes"]):
        assert row["precision"] == pytest.approx((counts[label, label] / counts[:, label].sum()).item())
        if label in (2, 3, 5):
            assert row["recall"] is None
        else:
            assert row["recall"] == pytest.approx((counts[label, label] / counts[label].sum()).item())
    assert (got["images"], got["missing"], got["failed"], got["unlabelled"]) == (5, 0, 0, 0)
    assert "curve" not in got and "threshold" not in got
    out, err = capsys.readouterr()
    assert f"mean IoU        {want.mean_iou:.4f} over 6 classes that occur" in out
    assert err.count("\n") == 1 and "never occur in GT: 2, 3, 5; PRED has them, so each counts as 0" in err


def test_threshold_curve_of_cams(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    got = run(data, "cams")
    halves = [cam_matrices(data, stems) for stems in (["a", "c", "e"], ["b", "d"])]
    both = [one + other for one, other in zip(*halves, strict=True)]
    want = [matrix.compute().mean_iou for matrix in both]
    assert [threshold for threshold, _ in got["curve"]] == STEPS
    assert [value for _, value in got["curve"]] == pytest.approx(want, abs=1e-12)
    best = best_of(both)
    assert 0 < best < 100
    assert got["threshold"] == STEPS[best] and got["mean_iou"] == pytest.approx(want[best], abs=1e-12)
    chosen = [best_of(half) for half in halves]
    assert chosen[0] != chosen[1]
    crossed = halves[0][chosen[1]] + halves[1][chosen[0]]
    assert got["mean_iou_of_other_half"] == pytest.approx(crossed.compute().mean_iou, abs=1e-12)
    out = capsys.readouterr().out
    assert f"threshold       {STEPS[best]:g}, the best on these same images" in out
    assert len([line for line in out.splitlines() if line.strip()[:2] in ("0.", "1.")]) == 21


def test_a_fixed_threshold(data: Path) -> None:
    got = run(data, "cams", "--threshold", "0.33", "--workers", "1")
    want = cam_matrices(data, thresholds=[0.33])[0].compute()
    assert got["threshold"] == 0.33 and got["mean_iou"] == pytest.approx(want.mean_iou, abs=1e-12)
    assert got["pixel_accuracy"] == pytest.approx(want.pixel_accuracy, abs=1e-12)
    assert not {"curve", "mean_iou_of_other_half"} & set(got)


def test_one_image_has_no_other_half(data: Path) -> None:
    (data / "list.txt").write_text("b\n")
    got = run(data, "cams", "--list", str(data / "list.txt"))
    assert "mean_iou_of_other_half" not in got and got["images"] == 1
    want = max(matrix.compute().mean_iou for matrix in cam_matrices(data, ["b"]))
    assert got["mean_iou"] == pytest.approx(want, abs=1e-12)


def test_normalize(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = run(data, "cams", "--normalize")
    for path in (data / "cams").iterdir():
        classes, maps = io.read_cam(path)
        io.write_cam(path, classes, 32 * maps)
    assert main(["eval", str(data / "cams"), str(data / "gt")]) == 2
    assert capsys.readouterr().err.count("--normalize divides each map") == 1
    assert run(data, "cams", "--normalize") == plain


def test_a_file_for_the_scores_that_cannot_be(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Said before all images are read for it. Its folder is made, as all commands do."""
    command = ["eval", str(data / "pred"), str(data / "gt"), "--json"]
    (data / "file").touch()
    for name, message in (("gt", f"--json must be a file, got the folder {data / 'gt'}"), ("file/x.json", str(data))):
        assert main([*command, str(data / name)]) == 2
        said = capsys.readouterr()
        assert said.err.startswith(f"closedform-wsss eval: {message}") and said.out == ""
    assert main([*command, str(data / "new" / "deep" / "x.json")]) == 0
    assert json.loads((data / "new" / "deep" / "x.json").read_text())["images"] == len(SIZES)


def test_unlabelled_predictions(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data / "pred" / "a.png"
    pred = io.read_label_png(path)
    pred[:5] = 255
    io.write_label_png(path, pred)
    # The images without such pixels get no score of their own.
    assert main(["eval", str(data / "pred"), str(data / "gt"), "--json", str(data / "scores.json")]) == 2
    said = capsys.readouterr()
    assert "a.png: " in said.err and "--unlabelled" in said.err
    assert said.out == "" and not (data / "scores.json").exists()
    # As a class of its own that is never right, or as pixels that do not count.
    wrong, skip = ConfusionMatrix(7), ConfusionMatrix(6)
    for stem in SIZES:
        pred = io.read_label_png(data / "pred" / f"{stem}.png")[None]
        target = truth(data, stem)
        wrong.update(torch.where(pred == 255, 6, pred), target)
        skip.update(pred.clamp(max=5), torch.where(pred == 255, 255, target))
    share = wrong.matrix[:, 6].sum().item() / wrong.matrix.sum().item()
    for how, matrix in (("wrong", wrong), ("skip", skip)):
        got = run(data, "pred", "--unlabelled", how)
        want = matrix.compute()
        assert got["unlabelled"] == pytest.approx(share) and share > 0.05
        assert got["mean_iou"] == pytest.approx(want.iou[:6].nanmean().item(), abs=1e-12)
        assert got["pixel_accuracy"] == pytest.approx(want.pixel_accuracy, abs=1e-12)


# --- options


def test_names_and_number_of_classes(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "names.txt").write_text("ground\none\ntwo\nthree\nfour\nfive\n\n")
    got = run(data, "pred", "--names", str(data / "names.txt"))
    assert [row["name"] for row in got["classes"]] == ["ground", "one", "two", "three", "four", "five"]
    assert "  4 four " in capsys.readouterr().out
    (data / "names.txt").write_text("# the classes\nground\none\n\ntwo\n#three\nthree\nfour\nfive")
    assert run(data, "pred", "--names", str(data / "names.txt"))["classes"] == got["classes"]
    listed = run(data, "pred", "--names", "ground,one, two,three,four,five,")  # as for the command marks
    assert listed["classes"] == got["classes"]
    voc = run(data, "pred", "--names", "voc")
    assert voc["classes"][4]["name"] == "boat" and voc["mean_iou"] == got["mean_iou"]
    assert run(data, "pred", "--num-classes", "9")["mean_iou"] == got["mean_iou"]
    assert run(data, "pred")["classes"][0]["name"] is None


@pytest.mark.parametrize("names", ["ground,,two,three", ",ground,one", "ground, ,one"])
def test_an_empty_name_would_move_the_numbers_of_others(
    data: Path, capsys: pytest.CaptureFixture[str], names: str
) -> None:
    for command in (["eval", str(data / "pred"), str(data / "gt")], ["marks", str(data / "gt"), "-o", str(data / "o")]):
        assert main([*command, "--names", names]) == 2
        said = f"closedform-wsss {command[0]}: --names must have a name before each comma, got {names!r}\n"
        assert capsys.readouterr().err == said and not (data / "o").exists()


def test_ignore_index(data: Path) -> None:
    everything = run(data, "pred")
    without = run(data, "pred", "--ignore-index", "4", "--list", str(_without_void(data)))
    assert [row["class"] for row in without["classes"] if row["recall"] is not None] == [0, 1]
    assert without["mean_iou"] != everything["mean_iou"]


def _without_void(data: Path) -> Path:
    """A list of the images, whose void pixels become class 4."""
    for path in (data / "gt").iterdir():
        values = io.read_label_png(path)
        io.write_label_png(path, torch.where(values == 255, 4, values))
    list_file = data / "all.txt"
    list_file.write_text("".join(f"{stem}\n" for stem in SIZES))
    return list_file


def test_lists_and_missing_predictions(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "pred" / "a.png").unlink()
    (data / "pred" / "e.png").unlink()
    assert main(["eval", str(data / "pred"), str(data / "gt")]) == 2
    assert "got none for 2 of 5, such as a;" in capsys.readouterr().err
    some = run(data, "pred", "--allow-missing")
    assert (some["images"], some["missing"]) == (3, 2)
    assert "images          3, 2 missing" in capsys.readouterr().out
    # Names alone, with labels behind them, and paths: all are lists that data sets come with.
    (data / "list.txt").write_text("b\n\n/JPEGImages/c.jpg /SegmentationClassAug/c.png\nd 1 4\nd\n")
    listed = run(data, "pred", "--list", str(data / "list.txt"))
    warning, *others = listed.pop("warnings")
    assert warning == "--list names images more than once, 1 of them, such as d: each counts once"
    assert some.pop("warnings") == others and {**listed, "missing": 2} == some


# --- mistakes


def test_files_that_fail_are_named_and_left_out(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "pred" / "a.png").write_bytes((data / "pred" / "a.png").read_bytes()[:60])
    io.write_label_png(data / "pred" / "b.png", np.zeros((24, 17), np.uint8))
    io.write_label_png(data / "gt" / "c.png", np.full(SIZES["c"], 9, np.uint8))
    assert main(["eval", str(data / "pred"), str(data / "gt"), "--num-classes", "6"]) == 1
    out, err = capsys.readouterr()
    first, second, third, warning = err.splitlines()
    assert first.startswith(f"{data / 'pred' / 'a.png'}: read_label_png")
    assert "b.png: the prediction must have the size of the truth (17, 24), got (24, 17)" in second
    assert "c.png: labels must be below 6, got [9] in" in third and "gt" in third
    assert warning.startswith("closedform-wsss eval: warning: classes that never occur in GT: 2, 3, 5; ")
    assert "images          2, 3 failed" in out
    for path in (data / "pred").iterdir():
        path.write_bytes(b"")
    assert main(["eval", str(data / "pred"), str(data / "gt")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "each of the first 3 images fails for this reason, " in err


def test_mistakes_in_arguments(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "mixed").mkdir()
    (data / "mixed" / "a.png").write_bytes(b"")
    (data / "mixed" / "b.npy").write_bytes(b"")
    (data / "jpg").mkdir()
    save(data / "jpg" / "a.jpg", photo(20, 31))
    (data / "list.txt").write_text("a\nz.jpg\n")
    (data / "names.txt").write_text("one\n")
    (data / "binary.txt").write_bytes(b"a\n\xff\xfe")
    (data / "void").mkdir()
    io.write_label_png(data / "void" / "a.png", np.full((20, 31), 255, np.uint8))
    cases: list[tuple[list[str], str]] = [
        (["gt", "cams"], "GT must be a folder of files .png, got 5 .npy"),
        (["jpg", "gt"], "PRED must be a folder of files .png, .npy, .npz, .pt, .pth, got 1 .jpg"),
        (["mixed", "gt"], "PRED must hold label maps or arrays, got both"),
        (["none", "gt"], "none: No such file"),
        (["pred", "gt", "--threshold", "0.5"], "--threshold is for CAMs"),
        (["pred", "gt", "--normalize"], "--normalize is for CAMs, got label maps in"),
        (["pred", "gt", "--list", str(data / "list.txt")], "--list must name images in GT, got z"),
        (["pred", "gt", "--list", str(data / "binary.txt")], "--list must be a text file in UTF-8, got "),
        (["pred", "gt", "--names", str(data / "binary.txt")], "--names must be a text file in UTF-8, got "),
        (["pred", "gt", "--names", str(data / "names.txt"), "--num-classes", "6"], "--names must name --num-classes 6"),
        (["pred", "gt", "--names", "ground:0,one:1"], "--names must list all classes from 0 on, without numbers, got "),
        (["pred", "gt", "--names", "nothing.txt"], "nothing.txt: No such file"),
        (["pred", "gt", "--names", "ground"], "ground: No such file"),
        (["pred", "void"], "GT must have pixels other than --ignore-index"),
    ]
    for (pred, gt, *options), message in cases:
        assert main(["eval", str(data / pred), str(data / gt), *options]) == 2, message
        out, err = capsys.readouterr()
        assert message in err and err.count("\n") == 1 and out == ""


def test_a_class_that_only_cams_have_is_named_if_it_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Below the threshold, class 3 is background: it lowers no score."""
    truth = np.zeros((4, 6), np.uint8)
    truth[:, :2] = 1
    maps = np.zeros((2, 4, 6), np.float32)
    maps[0, :, :2], maps[1, :, 4:] = 0.9, 0.5
    (tmp_path / "gt").mkdir()
    (tmp_path / "cams").mkdir()
    io.write_label_png(tmp_path / "gt/a.png", truth)
    io.write_cam(tmp_path / "cams/a.npz", [1, 3], maps, format="npz")
    command = ["eval", str(tmp_path / "cams"), str(tmp_path / "gt"), "--threshold"]
    assert main([*command, "0.6"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*command, "0.4"]) == 0
    assert "never occur in GT: 3; PRED has them, so each counts as 0" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_warnings_of_files_are_lines_of_the_command(
    data: Path, workers: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not those of Python, with a line of the source."""
    exif = Image.Exif()
    exif[0x0112] = 3
    for stem in ("a", "b"):
        path = data / "pred" / f"{stem}.png"
        with Image.open(path) as image:
            image.load()
        image.save(path, exif=exif)
    command = ["eval", str(data / "pred"), str(data / "gt"), "--workers", workers]
    assert main(command) == 0
    lines = [line for line in capfd.readouterr().err.splitlines() if "never occur" not in line]
    assert len(lines) == 2
    for stem, line in zip(("a", "b"), sorted(lines), strict=True):
        path = data / "pred" / f"{stem}.png"
        assert line.startswith(f"{path}: warning: read_label_png: '{path}' was turned by 180 degrees, as its EXIF")
    assert main([*command, "--orientation", "ignore"]) == 0
    assert "turned" not in capfd.readouterr().err
