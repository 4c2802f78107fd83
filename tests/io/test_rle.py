"""Run lengths of CVAT, COCO and Label Studio, against encoders that are written out here, bit by bit."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from helpers.exports import counts_of

from closedform_wsss.io._annotations.brush_rle import _Decoder, from_brush
from closedform_wsss.io._annotations.rle import counts_of_string, from_counts

RNG = np.random.default_rng(5)


def coco_string(counts: list[int]) -> str:
    """5 bits a character, the lowest first, until the rest is the sign alone."""
    text = ""
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        while True:
            low, value = value & 31, value >> 5
            done = value == (-1 if low & 16 else 0)
            text += chr(48 + low + (0 if done else 32))
            if done:
                break
    return text


def brush_bytes(
    values: list[int], bits: int = 8, lengths: tuple[int, ...] = (3, 4, 8, 16), literal: int = 1
) -> list[int]:
    """A stream for values; runs shorter than ``literal`` become blocks of different values."""
    stream = f"{len(values):032b}{bits - 1:05b}" + "".join(f"{length - 1:04b}" for length in lengths)
    waiting: list[int] = []

    def block(repeated: bool, number: int) -> str:
        place = next(place for place, length in enumerate(lengths) if number - 1 < 1 << length)
        return f"{int(repeated)}{place:02b}{number - 1:0{lengths[place]}b}"

    def flush() -> str:
        text = block(False, len(waiting)) + "".join(f"{value:0{bits}b}" for value in waiting) if waiting else ""
        waiting.clear()
        return text

    for value, run in itertools.groupby(values):
        number = len(list(run))
        if number < literal:
            waiting += [value] * number
            continue
        stream += flush() + block(True, number) + f"{value:0{bits}b}"
    stream += flush()
    stream += "0" * (-len(stream) % 8)
    return [int(stream[place : place + 8], 2) for place in range(0, len(stream), 8)]


def masks() -> list[npt.NDArray[np.bool_]]:
    found = [RNG.random((7, 5)) < 0.5, RNG.random((1, 40)) < 0.2, RNG.random((33, 1)) < 0.8]
    large = np.zeros((90, 70), bool)
    large[3:80, 5:60] = True
    large[40:44, 10:20] = False
    return [*found, large, np.zeros((4, 6), bool), np.ones((4, 6), bool)]


@pytest.mark.parametrize("mask", masks(), ids=lambda mask: str(mask.shape))
def test_counts_of_rows_and_columns(mask: npt.NDArray[np.bool_]) -> None:
    height, width = mask.shape
    rows = counts_of([bool(mask[i, j]) for i in range(height) for j in range(width)])
    columns = counts_of([bool(mask[i, j]) for j in range(width) for i in range(height)])
    np.testing.assert_array_equal(from_counts(rows, height, width, columns_first=False), mask)
    np.testing.assert_array_equal(from_counts(columns, height, width, columns_first=True), mask)
    assert counts_of_string(coco_string(columns)) == columns


def test_the_mask_of_the_cvat_manual() -> None:
    text = "3, 5, 7, 7, 5, 9, 3, 11, 2, 11, 2, 12, 1, 12, 1, 26, 1, 12, 1, 12, 2, 11, 3, 9, 5, 7, 7, 5, 3"
    mask = from_counts([int(count) for count in text.split(",")], 15, 13, columns_first=False)
    assert ["".join(".#"[pixel] for pixel in row) for row in mask[:4].tolist()] == [
        "...#####.....",
        "..#######....",
        ".#########...",
        "###########..",
    ]


def test_runs_of_more_than_a_million_pixels() -> None:
    mask = from_counts(["5000000", " 2000000", "1000000"], 2000, 4000, columns_first=False)
    assert np.flatnonzero(np.diff(mask.ravel().astype(int))).tolist() == [4_999_999, 6_999_999]
    assert counts_of_string(coco_string([5_000_000, 2_000_000, 1_000_000])) == [5_000_000, 2_000_000, 1_000_000]


def test_counts_of_strings() -> None:
    assert counts_of_string("") == []
    assert counts_of_string(coco_string([0, 1, 15, 16, 31, 32, 1000, 7, 123456])) == [
        0,
        1,
        15,
        16,
        31,
        32,
        1000,
        7,
        123456,
    ]


@pytest.mark.parametrize("literal", [1, 2, 9, 10_000])
@pytest.mark.parametrize("mask", masks(), ids=lambda mask: str(mask.shape))
def test_brushes(mask: npt.NDArray[np.bool_], literal: int) -> None:
    rgba = np.zeros((*mask.shape, 4), np.uint8)
    rgba[..., :3] = RNG.integers(0, 3, mask.shape)[..., None]  # colours do not count
    rgba[..., 3] = np.where(mask, 255, RNG.integers(0, 100, mask.shape))  # the soft edge of a brush
    if not mask.any():
        rgba[..., 3] = 0
    stored = brush_bytes(rgba.ravel().tolist(), literal=literal)
    np.testing.assert_array_equal(from_brush(stored, *mask.shape), mask)


def test_brushes_of_other_lengths_and_depths() -> None:
    mask = RNG.random((6, 9)) < 0.4
    values = np.repeat(mask.ravel(), 4).astype(int).tolist()  # a program wrote 1 in place of 255
    for bits, lengths in ((1, (1, 2, 3, 9)), (3, (9, 4, 2, 16)), (8, (16, 16, 16, 16))):
        for literal in (1, 3):
            np.testing.assert_array_equal(from_brush(brush_bytes(values, bits, lengths, literal), 6, 9), mask)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_counts([2, 3], 2, 3, columns_first=False), "must fill its 3 x 2 = 6 pixels, got 5"),
        (lambda: from_counts([1, float("inf")], 2, 3, columns_first=True), "must be whole numbers, got inf"),
        (lambda: from_counts([1, None], 2, 3, columns_first=True), "must be whole numbers, got None"),
        (lambda: from_counts([9, -3], 2, 3, columns_first=True), "must not be negative, got -3"),
        (lambda: counts_of_string("1\x7f"), "characters from '0' to 'o'"),
        (lambda: counts_of_string("1P"), "must end with a whole number"),
        (lambda: from_brush(brush_bytes([0] * 24), 2, 4), "must have 32 values, four for each pixel.*got 24"),
        (lambda: from_brush(brush_bytes(list(range(24)))[:-3], 2, 3), "ends early: is the file complete"),
        (lambda: from_brush([0, 0], 2, 3), "ends early"),
        (lambda: from_brush([0, 300], 2, 3), "must be a list of bytes"),
        (lambda: from_brush([0.5], 2, 3), "must be a list of bytes"),  # type: ignore[list-item]
        (lambda: from_brush(["a"], 2, 3), "must be a list of bytes"),  # type: ignore[list-item]
        (lambda: from_brush([], 2, 3), "must be a list of bytes"),
        (lambda: from_brush(brush_bytes([0] * 24, bits=12), 2, 3), "at most 8 bits, got 12"),
        (
            lambda: from_brush([0, 0, 0, 24, 0b00111001, 0b00011011, 0b11111111, 0b11111111, 255, 255, 0, 0], 2, 3),
            "more",
        ),
    ],
)
def test_damaged_masks(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_large_brush_takes_few_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fixed number for each block, however many pixels it has."""
    mask = np.zeros((1500, 2000), bool)
    for row in range(0, 1500, 3):
        mask[row, row % 700 : 2000 - row % 500] = True
    values = np.repeat(mask.ravel().astype(np.uint8) * 255, 4)
    edges = np.flatnonzero(np.diff(values)) + 1
    runs = np.diff([0, *edges, len(values)])
    stream = f"{len(values):032b}{7:05b}" + "".join(f"{length - 1:04b}" for length in (3, 4, 8, 16))
    for start, run in zip([0, *edges], runs, strict=True):
        stream += f"111{run - 1:016b}{values[start]:08b}"
    stream += "0" * (-len(stream) % 8)
    stored = np.packbits(np.frombuffer(stream.encode(), np.uint8) - ord("0")).tolist()
    reads = []
    read = _Decoder.read
    monkeypatch.setattr(_Decoder, "read", lambda self, bits: reads.append(bits) or read(self, bits))
    np.testing.assert_array_equal(from_brush(stored, 1500, 2000), mask)
    assert len(reads) <= 6 + 4 * len(runs)
