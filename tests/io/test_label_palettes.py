"""Palettes of label maps: indices, colours, and where they are different labels."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from helpers.pictures import save
from PIL import Image

from closedform_wsss import io

VOC = io.voc_palette()
LABELS = np.zeros((6, 8), np.uint8)
LABELS[1:3], LABELS[4], LABELS[5] = 1, 15, 255
GREYS = np.repeat(np.arange(256)[:, None], 3, axis=1)


def stored(path: Path, indices: np.ndarray, colors: object, **options: object) -> Path:
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(np.array(colors, np.uint8).tobytes())
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "pcx", "tga"])
def test_the_voc_palette_in_any_format(tmp_path: Path, suffix: str) -> None:
    path = stored(tmp_path / f"a.{suffix}", LABELS, VOC)
    for palette in io.PALETTES:
        np.testing.assert_array_equal(io.read_label_png(path, palette=palette), LABELS)


@pytest.mark.parametrize(
    ("indices", "colors", "options"),
    [
        (LABELS, VOC, {"transparency": 0}),
        (LABELS, VOC, {"transparency": bytes(256)}),
        (LABELS, VOC[:21], {}),  # 255 has no colour
        (np.minimum(LABELS, 20), VOC[:21], {}),
        (LABELS % 4, [(128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156)], {}),  # Cityscapes
        (LABELS % 2 * 128, GREYS, {}),  # black and VOC's grey, each at its own value
        (LABELS, GREYS, {}),
        (LABELS % 4, [[v] * 3 for v in (0, 85, 170, 255)], {}),  # a ramp, for the eye
        (LABELS % 2, [[v] * 3 for v in (0, 128, 255)], {}),
        (LABELS % 2, [[0] * 3, [255] * 3], {"bits": 1}),
        (LABELS % 4, VOC[:4], {"bits": 2}),
        (LABELS, [*zip(range(256), range(1, 257), range(2, 258), strict=True)][:254] + [(9, 9, 8)] * 2, {}),
    ],
)
def test_indices_where_the_colors_do_not_contradict(
    tmp_path: Path, indices: np.ndarray, colors: object, options: dict[str, object]
) -> None:
    path = stored(tmp_path / "a.png", indices, np.array(colors, int) % 256, **options)
    np.testing.assert_array_equal(io.read_label_png(path), indices)


@pytest.mark.parametrize(
    ("indices", "colors", "index", "color", "label"),
    [
        (np.where(LABELS == 255, 21, LABELS), [*VOC[:21], VOC[255]], 21, (224, 224, 192), 255),
        (LABELS % 2, [VOC[15], VOC[0]], 0, (192, 128, 128), 15),
        (LABELS % 2, [VOC[0], VOC[7]], 1, (128, 128, 128), 7),
        (LABELS % 4, [(128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128)], 0, (128, 128, 128), 7),  # CamVid
        (LABELS * 0 + 3, [*VOC[1:4], VOC[0]], 3, (0, 0, 0), 0),
        (LABELS % 2, [[255] * 3, [0] * 3], 0, (255, 255, 255), 255),
        (LABELS % 4, [[v] * 3 for v in (0, 1, 15, 255)], 3, (255, 255, 255), 255),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_contradictions(
    tmp_path: Path, indices: np.ndarray, colors: object, index: int, color: tuple[int, ...], label: int, suffix: str
) -> None:
    path = stored(tmp_path / f"a.{suffix}", indices, colors)
    said = rf"index {index} with the colour \({color[0]}, {color[1]}, {color[2]}\), which is label {label} "
    with pytest.raises(ValueError, match=rf"read_label_png: palette must be index.*a\.{suffix}'.*{said}.*'index'"):
        io.read_label_png(path)
    np.testing.assert_array_equal(io.read_label_png(path, palette="index"), indices)
    colors = np.array(colors)
    if color[0] < 255:
        index_of = {tuple(c): n for n, c in enumerate(VOC.tolist())}
        want = np.array([index_of.get(tuple(c), 999) for c in colors.tolist()])[indices]
        np.testing.assert_array_equal(io.read_label_png(path, palette="voc"), want)
    else:
        with pytest.raises(ValueError, match=r"VOC palette, got the colour \((255, 255, 255|1, 1, 1)\)"):
            io.read_label_png(path, palette="voc")


def test_a_grey_file_stored_as_gif(tmp_path: Path) -> None:
    """Pillow numbers its greys anew; where it has no reason to, they are the labels."""
    Image.fromarray(LABELS).save(tmp_path / "a.gif")
    with pytest.raises(ValueError, match=r"which is label 15 as a grey value: .*convert it to a grey file"):
        io.read_label_png(tmp_path / "a.gif")
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "b.gif")
    assert io.read_label_png(tmp_path / "b.gif").ravel().tolist() == list(range(256))


def test_options_for_files_in_colors(tmp_path: Path) -> None:
    path = save(tmp_path / "rgb.png", VOC[LABELS])
    for palette in ("auto", "voc"):
        np.testing.assert_array_equal(io.read_label_png(path, palette=palette), LABELS)
    with pytest.raises(ValueError, match=r"palette must be 'auto' or 'voc' for a file in colours without a palette"):
        io.read_label_png(path, palette="index")
    with pytest.raises(ValueError, match=r"palette must be one of 'auto', 'index', 'voc', got 'VOC'"):
        io.read_label_png(path, palette="VOC")
    with pytest.raises(ValueError, match="read_marks: palette must be one of"):
        io.read_marks(path, palette="VOC")
    grey = save(tmp_path / "grey16.png", LABELS.astype(np.uint16))
    with pytest.raises(ValueError, match="colours of 8 bits for palette='voc', got mode I"):
        io.read_label_png(grey, palette="voc")


def bmp(bits: int, colors: list[int], rows: list[list[int]]) -> bytes:
    """A BMP with a palette of greys, rows of 8 pixels."""
    stride = -(-8 * bits // 32) * 4
    packed = [int("".join(format(value, f"0{bits}b") for value in row), 2).to_bytes(bits, "big") for row in rows]
    data = b"".join(row.ljust(stride, b"\0") for row in packed[::-1])
    palette = b"".join(bytes([grey, grey, grey, 0]) for grey in colors)
    start = 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, 8, len(rows), 1, bits, 0, len(data), 0, 0, len(colors), 0)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + palette + data


@pytest.mark.parametrize(("bits", "colors"), [(4, [0, 1, 2]), (8, [0, 255])])
def test_bmp_files_that_pillow_misreads(tmp_path: Path, bits: int, colors: list[int]) -> None:
    """It takes 4 bits for 8 where a palette is 0, 1, 2, and 8 for 1 where it is black and white: noise."""
    rows = [[n % len(colors) for n in range(8)]] * 4
    (tmp_path / "a.bmp").write_bytes(bmp(bits, colors, rows))
    for read in (io.read_image, io.read_label_png):
        with pytest.raises(
            ValueError, match=rf"a\.bmp' \(BMP of a grey palette with {bits} bits a pixel: save it as PNG"
        ):
            read(tmp_path / "a.bmp")
    (tmp_path / "b.bmp").write_bytes(bmp(8, [0, 1, 2], [[0, 1, 2, 0, 1, 2, 0, 1]]))
    assert io.read_label_png(tmp_path / "b.bmp").tolist() == [[0, 1, 2, 0, 1, 2, 0, 1]]


def test_lossless_webp(tmp_path: Path) -> None:
    Image.fromarray(VOC[LABELS]).save(tmp_path / "a.webp", lossless=True)
    np.testing.assert_array_equal(io.read_label_png(tmp_path / "a.webp"), LABELS)
    Image.fromarray(VOC[LABELS]).save(tmp_path / "b.webp", quality=90)
    with pytest.raises(ValueError, match=r"in a lossless format .* got WEBP"):
        io.read_label_png(tmp_path / "b.webp")


def test_a_deep_file_without_its_lower_bits(tmp_path: Path) -> None:
    Image.fromarray(LABELS).save(tmp_path / "a.sgi", bpc=2)
    with pytest.raises(ValueError, match="got 16 bits a channel, of which the lower ones cannot be read"):
        io.read_label_png(tmp_path / "a.sgi")


def test_palette_trimaps_are_not_taken_for_label_maps(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.png", np.minimum(LABELS, 2), [[0] * 3, [128] * 3, [255] * 3])
    with pytest.raises(ValueError, match="looks like labels or trimap"):
        io.read_marks(path)
    np.testing.assert_array_equal(io.read_marks(path, kind="trimap"), np.array([0, 255, 1])[np.minimum(LABELS, 2)])
