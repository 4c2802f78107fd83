"""Label maps and trimaps with other codes than 255 for unmarked: remapped, or refused with what may be meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from helpers.pictures import photo, save
from PIL import Image

from closedform_wsss import io
from closedform_wsss.cli import main

IMAGE = np.full((30, 40, 3), 60, np.uint8)
IMAGE[:, 20:] = (200, 180, 40)
SCRIBBLES = np.zeros((30, 40), np.uint8)  # 0 unlabelled, 1 and 2 classes
SCRIBBLES[5:25, 3:6], SCRIBBLES[5:25, 34:37] = 2, 1
TRIMAP = np.ones((30, 40), np.uint8)  # 0 background, 1 unknown, 2 foreground
TRIMAP[:, :10], TRIMAP[:, 30:] = 0, 2
MASK = np.where(TRIMAP == 2, 255, 0).astype(np.uint8)


def marks(tmp_path: Path, array: np.ndarray, **options: Any) -> np.ndarray:
    path = tmp_path / ("a.tif" if array.dtype.kind in "if" else "a.png")
    return io.read_marks(save(path, array), IMAGE, **options)


# --- remap_labels


def test_a_table_of_labels_is_no_mapping() -> None:
    with pytest.raises(TypeError, match=r"mapping must be a dictionary of labels .* got array\(\[1, 0\]\)"):
        io.remap_labels(np.array([[0, 1]]), np.array([1, 0]))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.int64, np.uint64])
def test_remap_labels(dtype: type) -> None:
    array = np.array([[0, 1, 2], [3, 0, 100]], dtype)
    found = io.remap_labels(array, {0: 255, 1: 0, 2: 1, 77: 5})
    assert found.dtype == torch.int64 and found.tolist() == [[255, 0, 1], [3, 255, 100]]
    assert io.remap_labels(array, {}).tolist() == array.tolist()
    assert io.remap_labels(array, {np.int64(3): np.uint8(7)}).tolist() == [[0, 1, 2], [7, 0, 100]]
    assert io.remap_labels(array[:, :0], {0: 1}).shape == (2, 0)
    if dtype in (np.uint8, np.int32, np.int64):
        assert torch.equal(io.remap_labels(torch.tensor(array), {0: 255, 1: 0, 2: 1}), found)


def test_remap_labels_exchanges_at_once() -> None:
    assert io.remap_labels(np.array([0, 1, 255]), {0: 1, 1: 0, 255: 0}).tolist() == [1, 0, 0]
    assert io.remap_labels(np.array([-1, 24000, 2**40, True]), {-1: 255, 24000: 0, 2**40: 7}).tolist() == [
        255,
        0,
        7,
        1,
    ]


def test_reduce_zero() -> None:
    array = np.arange(256, dtype=np.uint8)
    found = io.remap_labels(array, "reduce_zero")
    assert found[0] == 255 and found[255] == 255 and (found[1:255] == np.arange(254)).all()


@pytest.mark.parametrize(
    ("array", "mapping", "kind", "message"),
    [
        ([1], {}, TypeError, "labels must be an array or a tensor of integers, got list"),
        (np.zeros(2), {}, TypeError, "labels must be an array or a tensor of integers, got float64"),
        (np.zeros(2, int), [(0, 1)], TypeError, "mapping must be a dictionary of labels or 'reduce_zero'"),
        (
            np.zeros(2, int),
            "reduce",
            TypeError,
            "mapping must be a dictionary of labels or 'reduce_zero', got 'reduce'",
        ),
        (np.zeros(2, int), {0: 256}, ValueError, "mapping must give labels in 0..255, got 0: 256"),
        (np.zeros(2, int), {0: -1}, ValueError, "mapping must give labels in 0..255, got 0: -1"),
        (np.zeros(2, int), {0: 1.0}, TypeError, "mapping must hold integers, got 0: 1.0"),
        (np.zeros(2, int), {"0": 1}, TypeError, "mapping must hold integers, got '0': 1"),
        (np.array([0, 300, -2]), {0: 1}, ValueError, "labels must be in 0..255 or named by mapping, got -2, 300"),
    ],
)
def test_errors_of_remap_labels(array: Any, mapping: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"remap_labels: {message}"):
        io.remap_labels(array, mapping)


# --- read_marks


def test_the_unmarked_value(tmp_path: Path) -> None:
    want = np.where(SCRIBBLES == 0, 255, SCRIBBLES)
    np.testing.assert_array_equal(marks(tmp_path, SCRIBBLES, unmarked=0), want)
    np.testing.assert_array_equal(marks(tmp_path, SCRIBBLES, remap={0: 255}), want)
    np.testing.assert_array_equal(marks(tmp_path, want.astype(np.uint8), unmarked=255), want)
    np.testing.assert_array_equal(marks(tmp_path, io.voc_palette()[SCRIBBLES], unmarked=0), want)
    far = np.where(SCRIBBLES == 0, 65535, SCRIBBLES.astype(np.uint16)).astype(np.uint16)
    np.testing.assert_array_equal(marks(tmp_path, far, unmarked=65535), want)
    negative = np.where(SCRIBBLES == 0, -1, SCRIBBLES.astype(np.int32)).astype(np.int32)
    np.testing.assert_array_equal(marks(tmp_path, negative, unmarked=-1), want)
    io.write_label_png(tmp_path / "p.png", SCRIBBLES)
    np.testing.assert_array_equal(io.read_marks(tmp_path / "p.png", photo(30, 40), unmarked=0), want)


def test_one_value_is_unmarked(tmp_path: Path) -> None:
    both = SCRIBBLES.copy()
    both[0, 0] = 255
    with pytest.raises(ValueError, match=r"unmarked must be the only value that is unmarked, got 0 and 255, .*a\.png"):
        marks(tmp_path, both, unmarked=0)
    assert np.unique(marks(tmp_path, both, unmarked=0, remap={255: 3})).tolist() == [1, 2, 3, 255]
    assert np.unique(marks(tmp_path, both, remap={0: 255})).tolist() == [1, 2, 255]
    for remap, value in (({0: 1}, 0), ("reduce_zero", 2)):
        with pytest.raises(ValueError, match=rf"remap must not make a label of unmarked={value}, got {value}: 1"):
            marks(tmp_path, SCRIBBLES, unmarked=value, remap=remap)
    assert np.unique(marks(tmp_path, SCRIBBLES, unmarked=0, remap="reduce_zero")).tolist() == [0, 1, 255]


def test_remapped_trimaps(tmp_path: Path) -> None:
    want = np.array([0, 255, 1])[TRIMAP]
    np.testing.assert_array_equal(marks(tmp_path, TRIMAP, remap={1: 255, 2: 1}), want)
    for options in ({}, {"kind": "trimap"}):
        np.testing.assert_array_equal(marks(tmp_path, TRIMAP, remap={1: 128, 2: 255}, **options), want)
    deep = TRIMAP.astype(np.uint16) * 20000
    np.testing.assert_array_equal(marks(tmp_path, deep, remap={20000: 128, 40000: 255}, kind="trimap"), want)


def test_a_mask_is_no_trimap(tmp_path: Path) -> None:
    for array in (MASK, MASK.astype(bool), MASK * 0):
        with pytest.raises(
            ValueError, match=r"a trimap must leave something unknown, .* got a mask of \d+ pixels 0 and"
        ):
            marks(tmp_path, array, kind="trimap")
    for array in (MASK, MASK.astype(bool)):
        with pytest.raises(ValueError, match="kind must be given"):
            marks(tmp_path, array)
    np.testing.assert_array_equal(marks(tmp_path, MASK.astype(bool), kind="labels"), MASK // 255)


def test_full_label_maps_stay_allowed(tmp_path: Path) -> None:
    np.testing.assert_array_equal(marks(tmp_path, SCRIBBLES), SCRIBBLES)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"unmarked": 1.5}, TypeError, "unmarked must be None or an integer, got 1.5"),
        ({"unmarked": True}, TypeError, "unmarked must be None or an integer, got True"),
        ({"remap": {0: 256}}, ValueError, "remap must give labels in 0..255"),
        ({"remap": [0]}, TypeError, "remap must be a dictionary"),
        ({"kind": "trimap", "unmarked": 1}, ValueError, "unmarked must be None for kind='trimap', got 1"),
        ({"kind": "scribbles", "unmarked": 1}, ValueError, "unmarked must be None for kind='scribbles', got 1"),
        ({"kind": "scribbles", "remap": {0: 1}}, ValueError, "remap must be None for kind='scribbles'"),
        ({"unmarked": 0, "colors": [(0, 0, 0)]}, ValueError, "colors must be None for kind='labels', got 1 colours"),
    ],
)
def test_options_that_do_not_go_together(
    tmp_path: Path, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=f"read_marks: {message}"):
        marks(tmp_path, SCRIBBLES, **options)


def test_options_for_files_without_stored_values(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<a><size><width>40</width><height>30</height></size></a>")
    for options in ({"unmarked": 0}, {"remap": {0: 255}}):
        with pytest.raises(ValueError, match="must be None for kind='scribblesup'"):
            io.read_marks(tmp_path / "a.xml", IMAGE, **options)
    with pytest.raises(ValueError, match=r"labels that fit remap, got '.*a\.png' \(remap_labels: .* got 24000\)"):
        marks(tmp_path, SCRIBBLES.astype(np.uint16) * 24000, remap={0: 255, 48000: 1}, kind="labels")
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.255, got 0 to 48000 in .*: remap gives others"):
        marks(tmp_path, SCRIBBLES.astype(np.uint16) * 24000, kind="labels")


# --- matte


def matte(tmp_path: Path, array: np.ndarray, *options: str) -> int:
    save(tmp_path / "image.png", IMAGE)
    save(tmp_path / "marks.png", array)
    return main(
        ["matte", *(str(tmp_path / f"{n}.png") for n in ("image", "marks")), "-o", str(tmp_path / "o"), *options]
    )


CURES = [
    (SCRIBBLES, [], "0 (1080 pixels), 1 (60 pixels), 2 (60 pixels) in {}: if 0 means unmarked, --unmarked 0"),
    (
        TRIMAP,
        [],
        "2 (300 pixels) in {}: if this is a trimap of 0 background, 1 unknown and 2 foreground, --remap 0:0,1:255",
    ),
    (MASK, ["--kind", "trimap"], "got a mask of 900 pixels 0 and 300 pixels 255 in '{}': erode both sides"),
    (MASK.astype(bool), ["--kind", "labels"], "0 (900 pixels), 1 (300 pixels) in {}: a mask needs a band of unmarked"),
    (TRIMAP + 5, [], "5 (300 pixels), 6 (600 pixels), 7 (300 pixels) in {}: if 6 means unmarked, --unmarked 6"),
    (MASK, ["--kind", "labels"], "got only class 0 and unmarked pixels, 255"),
    ((np.arange(1200).reshape(30, 40) // 120).astype(np.uint8), [], "5 (120 pixels) and 4 more in"),
]


@pytest.mark.parametrize(("array", "options", "message"), CURES)
def test_matte_refuses_marks_of_every_pixel(
    tmp_path: Path, array: np.ndarray, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert matte(tmp_path, array, *options) == 2
    said = capsys.readouterr().err
    assert said.startswith("closedform-wsss matte: ") and said.count("\n") == 1
    assert message.format(tmp_path / "marks.png") in said
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("array", "options", "left", "right"),
    [
        (SCRIBBLES, ["--unmarked", "0"], 2, 1),
        (SCRIBBLES, ["--remap", "0:255,1:0,2:1"], 1, 0),
        (SCRIBBLES, ["--remap", "reduce_zero"], 1, 0),
        (TRIMAP, ["--remap", "0:0,1:255,2:1"], 0, 1),
        (TRIMAP, ["--unmarked", "1"], 0, 2),
        (TRIMAP, ["--kind", "trimap", "--remap", "1:128,2:255"], 0, 1),
        (io.voc_palette()[SCRIBBLES * 7], ["--palette", "voc", "--unmarked", "0"], 14, 7),
    ],
)
def test_matte_with_other_codes(
    tmp_path: Path, array: np.ndarray, options: list[str], left: int, right: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert matte(tmp_path, array, "--quiet", *options) == 0
    found = io.read_label_png(tmp_path / "o" / "labels.png")
    assert (found[:, :20] == left).all() and (found[:, 20:] == right).all()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--remap", "0", "must be pairs such as 0:255,1:0, or reduce_zero, got '0'"),
        ("--remap", "0:", "must be pairs"),
        ("--remap", "0:1:2", "must be pairs"),
        ("--remap", "", "must be pairs"),
        ("--remap", "0:256", "must give labels from 0 to 255, got 256"),
        ("--remap", "0:1,0:2", "must give 0 one label, got 1 and 2"),
        ("--unmarked", "x", "must be a whole number, got 'x'"),
        ("--palette", "VOC", "invalid choice"),
        ("--orientation", "upright", "invalid choice"),
        ("--window", "5,1", "must be LOW,HIGH with LOW below HIGH, got '5,1'"),
        ("--window", "5", "must be LOW,HIGH"),
        ("--window", "0,inf", "must be LOW,HIGH"),
    ],
)
def test_values_that_the_parser_refuses(
    tmp_path: Path, option: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        matte(tmp_path, SCRIBBLES, option, value)
    said = capsys.readouterr().err
    assert f"argument {option}: " in said and message in said


def test_matte_says_how_indices_and_colors_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "image.png", IMAGE)
    drawn = np.where(SCRIBBLES == 0, 255, SCRIBBLES * 7)
    Image.fromarray(io.voc_palette()[drawn]).quantize(dither=Image.Dither.NONE).save(tmp_path / "marks.png")
    pair = [str(tmp_path / f"{name}.png") for name in ("image", "marks")]
    assert main(["matte", *pair, "-o", str(tmp_path / "o")]) == 2
    assert "(--palette on the command line)" in capsys.readouterr().err
    assert main(["matte", *pair, "-o", str(tmp_path / "o"), "--palette", "voc", "--quiet"]) == 0
    assert np.unique(io.read_label_png(tmp_path / "o" / "labels.png")).tolist() == [7, 14]


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
def test_a_value_below_zero_is_named_with_the_option(tmp_path: Path, dtype: type) -> None:
    """Signed TIFF files, in which many programs store -1 for no label."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.array([[-1, 0, 2]], dtype))
    wanted = r"unmarked must be given.* such as unmarked=-1 \(--unmarked -1 .*from -1 to 2 in '.*a\.tif'"
    for function in (io.read_marks, io.guess_kind):
        with pytest.raises(ValueError, match=wanted):
            function(path)
    assert io.read_marks(path, unmarked=-1).tolist() == [[255, 0, 2]]
    assert io.read_marks(path, remap={-1: 255}).tolist() == [[255, 0, 2]]


def test_labels_of_64_bits_get_the_cure(tmp_path: Path) -> None:
    """NumPy's integers as they are, which Pillow does not read."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 4), np.int64))
    with pytest.raises(ValueError, match=r"cannot identify.*: of TIFF files it reads grey of 8, 16 or 32 bits"):
        io.read_label_png(tmp_path / "a.tif")
