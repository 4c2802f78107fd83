"""``eval`` of what would score well whatever is predicted: an error with the cure, or a warning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from closedform_wsss import io
from closedform_wsss.cli import main

MASK = np.zeros((40, 50), np.uint8)
MASK[10:30, 10:40] = 255  # 600 pixels
PRED = np.zeros((40, 50), np.uint8)
PRED[12:14, 12:14] = 255  # 4 of them
REMAPPED = (4 / 600 + 1400 / 1996) / 2
TWO = MASK // 255


class Data:
    """Folders with one file for each pair of maps."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys

    def fill(self, truths: Any, predictions: Any) -> Data:
        for name, maps in (("gt", truths), ("pred", predictions)):
            (self.folder / name).mkdir(exist_ok=True)
            for stem, values in zip("abcdefgh", maps, strict=False):
                io.write_label_png(self.folder / name / f"{stem}.png", values)
        return self

    def run(self, *options: str, pred: str = "pred", status: int = 0) -> tuple[dict[str, Any], str]:
        """The JSON and stderr."""
        file = self.folder / "scores.json"
        folders = [str(self.folder / pred), str(self.folder / "gt")]
        assert main(["eval", *folders, "--json", str(file), *options]) == status
        out, err = self.capsys.readouterr()
        if status == 2:
            assert out == "" and not file.exists()
            return {}, err
        return json.loads(file.read_text()), err


@pytest.fixture
def data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Data:
    return Data(tmp_path, capsys)


# --- masks of 0 and 255


def test_masks_of_0_and_255_are_refused(data: Data) -> None:
    data.fill([MASK, 0 * MASK], [PRED, 0 * PRED])
    (data.folder / "names.txt").write_text("background\nlesion\n")
    (data.folder / "cams").mkdir()
    for stem in "ab":
        io.write_cam(data.folder / "cams" / f"{stem}.npy", [1], PRED[None] / np.float32(255), format="eps")
    for pred, *options in (
        ("pred",),
        ("pred", "--names", str(data.folder / "names.txt")),
        ("pred", "--num-classes", "2"),
        ("pred", "--unlabelled", "skip"),
        ("cams",),
        ("cams", "--threshold", "0.5"),
    ):
        _, err = data.run(*options, pred=pred, status=2)
        assert "GT must hold class numbers, got the grey levels 0, 255" in err
        assert "--remap 255:1 makes" in err and "--remap 255:255" in err and err.count("\n") == 1


def test_remap_gives_masks_their_classes(data: Data) -> None:
    data.fill([MASK], [PRED])
    for option in ("255:1", "0:0,255:1", " 0 : 0, 255 : 1"):
        scores, err = data.run("--remap", option)
        assert scores["mean_iou"] == pytest.approx(REMAPPED) and err == ""
        assert scores["classes"][1]["iou"] == pytest.approx(4 / 600)
        assert (scores["ignored"], scores["unlabelled"], scores["warnings"]) == (0, 0, [])
    # Classes that are numbered already stay.
    data.fill([MASK], [PRED // 255])
    assert data.run("--remap", "255:1")[0]["mean_iou"] == pytest.approx(REMAPPED)
    # CAMs have class numbers, and no stored values.
    (data.folder / "cams").mkdir()
    io.write_cam(data.folder / "cams" / "a.npy", [1], PRED[None] / np.float32(255), format="eps")
    scores, _ = data.run("--remap", "255:1", "--threshold", "0.5", pred="cams")
    assert scores["mean_iou"] == pytest.approx(REMAPPED)
    # With 255 ignored on purpose, the result is what it was, with a warning.
    data.fill([MASK], [0 * MASK])
    scores, err = data.run("--remap", "255:255")
    assert (scores["mean_iou"], scores["ignored"]) == (1, 600 / 2000)
    assert err.startswith("closedform-wsss eval: warning: class 0 alone occurs in GT")


def test_other_grey_levels_are_refused_too(data: Data) -> None:
    for middle, levels, cure in (
        ([128], "0, 128, 255", "128:1,255:2"),
        ([127], "0, 127, 255", "127:1,255:2"),
        ([85, 170], "0, 85, 170, 255", "85:1,170:2,255:3"),
    ):
        truth = MASK.copy()
        truth[: len(middle)] = np.array(middle)[:, None]
        data.fill([truth], [truth])
        _, err = data.run("--unlabelled", "skip", status=2)
        assert f"the grey levels {levels}, of which" in err and f"--remap {cure} makes" in err
        scores, _ = data.run("--remap", cure)
        assert len(scores["classes"]) == 2 + len(middle) and scores["ignored"] == 0
        (data.folder / "scores.json").unlink()


def test_class_numbers_with_void_are_no_grey_levels(data: Data) -> None:
    for values in ([0, 1, 255], [0, 15, 255], [1, 255], [0, 100, 255], [15, 255]):
        truth = np.repeat(np.array([values], np.uint8), 4, axis=0)
        data.fill([truth], [np.where(truth == 255, 0, truth)])
        assert data.run()[0]["ignored"] == pytest.approx(1 / len(values))


def test_predictions_of_0_and_255(data: Data) -> None:
    data.fill([TWO], [PRED])
    assert main(["eval", str(data.folder / "pred"), str(data.folder / "gt")]) == 2
    err = data.capsys.readouterr().err
    assert "4 pixels are left unlabelled (255)" in err and "--remap 255:1 makes 255 a class" in err
    for how in ("wrong", "skip"):
        _, err = data.run("--unlabelled", how)
        assert "warning: PRED holds 0 and 255 only" in err
    scores, err = data.run("--remap", "255:1")
    assert scores["mean_iou"] == pytest.approx(REMAPPED) and err == ""
    data.fill([TWO], [np.where(PRED, 255, TWO)])
    assert data.run("--unlabelled", "skip")[1] == ""


def test_labels_out_of_range_name_the_cure(data: Data) -> None:
    data.fill([MASK], [0 * MASK])
    cure = "--remap 255:1 makes 255 a class, and without --ignore-index it does not count"
    for option in ("--ignore-index=-1", "--ignore-index=0"):
        assert main(["eval", str(data.folder / "pred"), str(data.folder / "gt"), option]) == 1
        assert f"got [255] in {data.folder / 'gt' / 'a.png'}: {cure}\n" in data.capsys.readouterr().err


# --- reduce_zero and other tables


def test_reduce_zero(data: Data) -> None:
    truth = np.array([[0, 1, 2, 150, 254, 255]], np.uint8)
    pred = np.array([[7, 1, 1, 150, 254, 3]], np.uint8)
    data.fill([truth], [pred])
    assert main(["eval", str(data.folder / "pred"), str(data.folder / "gt"), "--num-classes", "254"]) == 1
    assert "labels must be below 254, got [254]" in (err := data.capsys.readouterr().err)
    assert "if 0 means unlabelled, --remap reduce_zero" in err
    scores, _ = data.run("--remap", "reduce_zero", "--num-classes", "254")
    assert [(row["class"], row["iou"]) for row in scores["classes"]] == [(0, 0.5), (1, 0), (149, 1), (253, 1)]
    assert scores["ignored"] == 2 / 6
    # Predictions that are one less already are no longer below GT's by one without a word.
    data.fill([truth], [np.array([[7, 0, 1, 149, 253, 3]], np.uint8)])
    assert main(["eval", str(data.folder / "pred"), str(data.folder / "gt"), "--remap", "reduce_zero"]) == 2
    assert "--remap, which is for PRED as for GT, may have made them so" in data.capsys.readouterr().err


def test_remap_before_anything_else(data: Data) -> None:
    truth, pred = np.array([[0, 1, 2, 3]], np.uint8), np.array([[0, 2, 1, 0]], np.uint8)
    data.fill([truth], [pred])
    # 1 and 2 become one class, 3 is ignored; the new 0 is not mapped again.
    scores, _ = data.run("--remap", "0:2,1:0,2:0,3:9", "--ignore-index", "9")
    assert [(row["class"], row["iou"]) for row in scores["classes"]] == [(0, 1), (2, 1)]
    assert scores["ignored"] == 1 / 4


@pytest.mark.parametrize("wrong", ["", "255", "1:2:3", "a:1", "1:256", "0:0,0:1", "1:\u00b2", "1:1.0"])
def test_wrong_tables(data: Data, wrong: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["eval", "pred", "gt", f"--remap={wrong}"])
    assert stop.value.code == 2
    assert "argument --remap: must " in (err := data.capsys.readouterr().err) and repr(wrong) in err


def test_codes_of_16_bits(data: Data) -> None:
    """Stored values beyond 255 are labels once they are named."""
    data.fill([TWO], [TWO])
    Image.fromarray(np.where(TWO, 24000, 300).astype(np.uint16)).save(data.folder / "gt" / "a.png")
    assert data.run("--remap", "300:0,24000:1")[0]["mean_iou"] == 1


# --- warnings


def test_ignored_pixels_are_reported(data: Data) -> None:
    for share in (0, 10, 25, 26):  # columns of 50
        truth = TWO.copy()
        truth[:, :share] = 255
        data.fill([truth], [TWO])
        scores, err = data.run()
        assert scores["ignored"] == pytest.approx(share / 50)
        assert ("52.0% of the pixels of GT are ignored (--ignore-index 255); if 255" in err) == (share == 26)
        assert bool(err) == bool(scores["warnings"]) == (share == 26)
    assert main(["eval", str(data.folder / "pred"), str(data.folder / "gt")]) == 0
    assert "ignored         0.5200 of the pixels of GT\n" in data.capsys.readouterr().out


def test_images_in_which_nothing_counts_are_named(data: Data) -> None:
    void = np.full_like(MASK, 255)
    data.fill([TWO, void, TWO, void], [TWO] * 4)
    scores, err = data.run("--ignore-index", "255")
    assert "warning: images in which no pixel counts: b.png, d.png\n" in err and scores["images"] == 4
    data.fill([TWO] * 4, [TWO, void, TWO, TWO])
    assert "no pixel counts: b.png\n" in data.run("--unlabelled", "skip")[1]
    assert "no pixel counts" not in data.run("--unlabelled", "wrong")[1]
    data.fill([TWO] * 8, [TWO, *[void] * 7])
    assert "no pixel counts: b.png, c.png, d.png, e.png, f.png and 2 more\n" in data.run("--unlabelled", "skip")[1]
    (data.folder / "scores.json").unlink()
    data.fill([TWO] * 8, [void] * 8)
    assert "PRED must label a pixel that counts" in data.run("--unlabelled", "skip", status=2)[1]
    data.fill([void] * 8, [TWO] * 8)
    assert "other than --ignore-index 255, got none: if 255 is a class, --remap 255:1" in data.run(status=2)[1]


def test_classes_that_do_not_occur_in_gt(data: Data) -> None:
    data.fill([0 * TWO], [TWO])
    alone = "warning: class 0 alone occurs in GT: no score says how well other classes are found\n"
    assert alone in data.run()[1] and alone in data.run("--num-classes", "2")[1]
    assert "class 0 background alone" in data.run("--names", "voc")[1]
    data.fill([0 * TWO], [0 * TWO])
    assert alone in data.run()[1]
    data.fill([TWO], [2 * TWO])
    found = "warning: classes that never occur in GT: 2; PRED has them, so each counts as 0 in the mean IoU\n"
    assert data.run()[1].endswith(found)
    assert "warning: classes that never occur in GT: 2; " in data.run("--num-classes", "3")[1]
    assert "in GT: 2 bicycle, 3 bird, 4 boat, 5 bottle, 6 bus and 14 more; " in data.run("--names", "voc")[1]
    data.fill([TWO], [np.where(TWO == 1, 255, TWO)])
    assert data.run("--unlabelled", "wrong")[1].count("never occur") == 0  # 255 is no class
    # What --unlabelled skip leaves out of GT does not occur.
    data.fill([TWO], [np.where(TWO == 1, 255, TWO)])
    assert alone in data.run("--unlabelled", "skip")[1]


def test_numbers_of_classes_with_which_nothing_can_be_measured(data: Data) -> None:
    data.fill([TWO], [TWO])
    (data.folder / "one.txt").write_bytes(b"\xef\xbb\xbfbackground\r\n")
    for options, name in (
        (["--num-classes", "1"], "--num-classes"),
        (["--num-classes", "256"], "--num-classes"),
        (["--names", str(data.folder / "one.txt")], "--names"),
    ):
        assert f"{name} must be of 2 to 255 classes, background included, got " in data.run(*options, status=2)[1]
    assert len(data.run("--num-classes", "255")[0]["classes"]) == 2


# --- folders


def test_a_folder_against_itself(data: Data) -> None:
    data.fill([TWO, TWO], [TWO, TWO])
    assert "got the same file for 2 of 2 images, such as " in data.run(pred="gt", status=2)[1]
    assert "against itself is 1" in data.run(pred="pred/../gt", status=2)[1]
    (data.folder / "pred" / "b.png").unlink()
    (data.folder / "pred" / "b.png").hardlink_to(data.folder / "gt" / "b.png")
    assert "got the same file for 1 of 2 images" in data.run(status=2)[1]


def test_files_that_are_not_measured(data: Data) -> None:
    data.fill([TWO, TWO], [TWO, TWO])
    (data.folder / "gt" / "more").mkdir()
    io.write_label_png(data.folder / "gt" / "more" / "c.png", TWO)
    (data.folder / "gt" / "d.tif").write_bytes(b"")
    (data.folder / "list.txt").write_text("a\nb\n")
    scores, err = data.run()
    assert scores["images"] == 2 and len(scores["warnings"]) == 2
    assert "warning: files .png in sub-folders of GT are not measured: 1 in 1\n" in err
    assert "warning: files of other formats in GT are not measured: 1 .tif; " in err
    assert data.run("--list", str(data.folder / "list.txt"))[1] == ""
    (data.folder / "scores.json").unlink()
    for name in ("a", "b"):
        (data.folder / "pred" / f"{name}.png").rename(data.folder / "pred" / f"{name}_pred.png")
    assert "got none for 2 of 2, such as a (PRED has a_pred); --list" in data.run(status=2)[1]
    (data.folder / "pred" / "x").mkdir()
    (data.folder / "pred" / "x" / "a.png").write_bytes(b"")
    assert "; sub-folders of PRED are not searched (1 files in 1)" in data.run(status=2)[1]
