"""Files that many programs wrote (``tests/files``): one picture is one array, whoever stored it, or an error."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT
from helpers import stored_pictures as stored
from helpers.pictures import pixels
from PIL import Image

from closedform_wsss import io

FILES = ROOT / "tests" / "files"
FLAT = np.full((stored.HEIGHT, stored.WIDTH, 3), 9, np.uint8)
UNKNOWN_BAND = np.where(stored.TRIMAP == 0, 0, np.where(stored.TRIMAP == 255, 1, 255)).astype(np.uint8)


def named(*patterns: str) -> list[str]:
    """The files that fit, of which there must be some."""
    found = sorted({path.name for pattern in patterns for path in FILES.glob(pattern)})
    assert found
    return found


LABELS = {
    **dict.fromkeys(named("opencv_grey.png", "*_grey16*", "*_int32.tif", "opencv_voc_rgb.png"), stored.VOC),
    **dict.fromkeys(named("imagemagick_voc_rgb16.png", "pillow_voc_orientation2.png"), stored.VOC),
    **dict.fromkeys(named("*_grey4.*", "*_plain4.*", "*_palette4.png"), stored.FOUR_BITS),
    **dict.fromkeys(named("*_grey2.*", "*_plain2.*", "*_palette2.png"), stored.TWO_BITS),
    **dict.fromkeys(named("*_grey1.*", "*_palette1.png", "pillow_mask.*"), stored.ONE_BIT),
}
RENUMBERED = named("*_voc_png8.png", "*_voc*.gif", "*_quantized.png", "pngquant_voc.png", "*_voc_palette.*")
RENUMBERED = sorted({*RENUMBERED, "imagemagick_voc_rgb.png"})


def test_the_files_are_small_and_all_are_used() -> None:
    listed = {*LABELS, *RENUMBERED, *named("*_white_is_zero*", "*layer*", "*_smooth_*", "*_orientation*", "*trimap*")}
    listed |= {*named("*_12*", "*_14*"), "tifffile_hounsfield.tif", "tifffile_float.tif", "tifffile_uint32.tif"}
    listed |= {"tifffile_int8.tif", "imagemagick_car_grey.png", "opencv_three_channels.png"}
    assert {path.name for path in FILES.iterdir()} - listed - {"__pycache__"} == {"make_files.py", "programs.txt"}
    assert max(path.stat().st_size for path in FILES.iterdir() if path.name in listed) < 1000


# --- label maps


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.filterwarnings("ignore::closedform_wsss.io.OrientationWarning")
def test_labels_are_the_stored_samples(name: str) -> None:
    found = io.read_label_png(FILES / name)
    assert found.dtype == torch.int64
    np.testing.assert_array_equal(found, LABELS[name])
    np.testing.assert_array_equal(io.read_marks(FILES / name, FLAT, kind="labels"), LABELS[name])


@pytest.mark.parametrize("name", RENUMBERED)
def test_palettes_that_a_program_numbered_anew(name: str) -> None:
    with pytest.raises(ValueError, match=r"palette must be index or voc .* index \d+ with the colour \(") as caught:
        io.read_label_png(FILES / name)
    assert caught.match(name) and caught.match("which is label .* 'voc' takes the colours.* 'index' the indices")
    np.testing.assert_array_equal(io.read_label_png(FILES / name, palette="voc"), stored.VOC)
    with pytest.raises(ValueError, match="read_marks: palette must be index or voc"):
        io.read_marks(FILES / name)
    np.testing.assert_array_equal(io.read_marks(FILES / name, palette="voc"), stored.VOC)
    # The indices number the same regions otherwise.
    indices = io.read_label_png(FILES / name, palette="index")
    pairs = {(int(a), int(b)) for a, b in zip(indices.ravel(), stored.VOC.ravel(), strict=True)}
    assert len(pairs) == 5 == len({a for a, _ in pairs}) and any(a != b for a, b in pairs)


def test_colors_that_a_program_stored_as_greys() -> None:
    """Black and (128, 128, 128), VOC's car, in a grey file: samples, unless colours are asked for."""
    path = FILES / "imagemagick_car_grey.png"
    np.testing.assert_array_equal(io.read_label_png(path), np.where(stored.CAR == 7, 128, 0))
    np.testing.assert_array_equal(io.read_label_png(path, palette="voc"), stored.CAR)


def test_labels_in_three_equal_channels() -> None:
    path = FILES / "opencv_three_channels.png"
    with pytest.raises(ValueError, match=r"got the colour \(15, 15, 15\) .*palette='index' takes the grey values"):
        io.read_label_png(path)
    np.testing.assert_array_equal(io.read_label_png(path, palette="index"), stored.VOC)


@pytest.mark.parametrize("name", named("*_white_is_zero*"))
def test_white_is_zero(name: str) -> None:
    """No labels: ImageMagick itself inverts samples of 1 bit when it writes these, and those of 2 or 4 bits not."""
    with pytest.raises(ValueError, match=r"a TIFF in which white is zero, .*store it with black as zero"):
        io.read_label_png(FILES / name)
    shown = pixels(io.read_image(FILES / name))[..., 0]
    bits = int(name[-5])
    samples = {1: 1 - stored.ONE_BIT, 2: stored.TWO_BITS, 4: stored.FOUR_BITS, 8: stored.FOUR_BITS}[bits]
    np.testing.assert_array_equal(shown, 255 - samples * (255 // (2**bits - 1)))


# --- marks


@pytest.mark.parametrize("name", named("*trimap.*", "*trimap16.png"))
def test_trimaps_are_pictures(name: str) -> None:
    """Of 2 bits, of 16, with a palette, or with a maximum of 2: black, grey and white."""
    np.testing.assert_array_equal(io.read_marks(FILES / name, kind="trimap"), UNKNOWN_BAND)
    if name.startswith(("pngquant", "netpbm")):  # a palette, and samples 0, 1, 2: labels as well
        with pytest.raises(ValueError, match="looks like labels or trimap"):
            io.read_marks(FILES / name)
    else:
        np.testing.assert_array_equal(io.read_marks(FILES / name), UNKNOWN_BAND)


def test_a_trimap_of_0_1_and_2() -> None:
    path = FILES / "opencv_trimap_012.png"
    with pytest.raises(
        ValueError, match=r"clearly between them, got 1, 2: if 1 is unknown and 2 foreground, remap \{1: 128, 2: 255\}"
    ):
        io.read_marks(path, kind="trimap")
    np.testing.assert_array_equal(io.read_marks(path, remap={0: 0, 1: 255, 2: 1}), UNKNOWN_BAND)
    np.testing.assert_array_equal(io.read_marks(path, remap={1: 128, 2: 255}), UNKNOWN_BAND)
    # A PGM of the same numbers says that 2 is white; its samples are 0, 1 and 2 all the same.
    np.testing.assert_array_equal(io.read_marks(FILES / "netpbm_trimap.pgm", remap={1: 255, 2: 1}), UNKNOWN_BAND)


@pytest.mark.parametrize("name", named("*layer*"))
def test_layers(name: str) -> None:
    """Whatever the opacity and the image, black and white included; transparent pixels have colours in some files."""
    colors = [list(color) for color in stored.STROKE_COLORS]
    if "grey" in name:
        colors[1] = [120] * 3
    for image in (FLAT, FLAT * 0, FLAT * 0 + 255, np.where(stored.STROKES[..., None] == 1, (255, 0, 0), FLAT)):
        marks, found = io.read_scribbles(FILES / name, image.astype(np.uint8))
        assert found.tolist() == colors
        np.testing.assert_array_equal(marks, stored.STROKES)
        np.testing.assert_array_equal(io.read_marks(FILES / name, FLAT, kind="scribbles"), stored.STROKES)
    marks, _ = io.read_scribbles(FILES / name, FLAT, colors=[*colors[::-1], (0, 0, 255)])
    np.testing.assert_array_equal(marks, np.where(stored.STROKES == 255, 255, 2 - stored.STROKES))


def test_smooth_lines_on_a_layer() -> None:
    marks, colors = io.read_scribbles(FILES / "imagemagick_smooth_lines.png", FLAT)
    assert colors.tolist() == [[0, 0, 0], [255, 0, 0]]
    rows, columns = np.nonzero(marks.numpy() == 0)
    assert set(rows) == {2, 3, 4} and columns.min() <= 2 and columns.max() >= 19
    rows, columns = np.nonzero(marks.numpy() == 1)
    # The middle of the line from (3, 13) to (20, 6), 3 pixels wide.
    assert np.abs(rows - (13 - 7 / 17 * (columns - 3))).max() < 2.2 and len(rows) > 45


# --- pictures


@pytest.mark.parametrize("name", [name for name in named("*_orientation*") if "voc" not in name])
def test_orientations(name: str) -> None:
    path, orientation = FILES / name, int(name.split("orientation")[1][0])
    message = rf"read_image: '.*{name}' was .* EXIF orientation {orientation} says"
    with pytest.warns(io.OrientationWarning, match=message):
        upright = pixels(io.read_image(path))
    np.testing.assert_array_equal(upright, stored.UPRIGHT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(pixels(io.read_image(path, orientation="apply")), stored.UPRIGHT)
        as_stored = pixels(io.read_image(path, orientation="ignore"))
    assert not np.array_equal(as_stored, stored.UPRIGHT)
    assert as_stored.shape[:2] == ((24, 16) if orientation > 4 else (16, 24))
    np.testing.assert_array_equal(np.unique(as_stored), np.unique(stored.UPRIGHT))


def test_orientation_of_a_label_map() -> None:
    path = FILES / "pillow_voc_orientation2.png"
    for read in (io.read_label_png, io.read_marks):
        with pytest.warns(io.OrientationWarning, match=f"{read.__name__}: .*mirrored left to right"):
            np.testing.assert_array_equal(read(path), stored.VOC)
        np.testing.assert_array_equal(read(path, orientation="ignore"), stored.VOC[:, ::-1])


@pytest.mark.parametrize("name", named("*_12_in_16.*", "*_12_in_16_big.tif"))
def test_twelve_bits_in_sixteen(name: str) -> None:
    message = f"{name}' .* values of 0 to 4095; 12 bits .* 4095 as white.* window="
    with pytest.warns(io.ValueRangeWarning, match=message):
        grey = pixels(io.read_image(FILES / name))
    want = np.rint(stored.TWELVE_BITS / 4095 * 255)
    np.testing.assert_array_equal(grey, np.repeat(want[..., None], 3, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        windowed = pixels(io.read_image(FILES / name, window=(1000, 2000)))[..., 0]
    np.testing.assert_array_equal(windowed, np.rint((stored.TWELVE_BITS / 1000.0 - 1).clip(0, 1) * 255))


@pytest.mark.parametrize(("name", "off"), [("netpbm_12.pgm", 0), ("imagemagick_12.tif", 2)])
def test_formats_that_say_what_white_is(name: str, off: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grey = pixels(io.read_image(FILES / name))[..., 0]
        windowed = pixels(io.read_image(FILES / name, window=(0, 255)))[..., 0]
    # ImageMagick works in 16 bits in between, and moves some values by up to 2 of 4095.
    assert np.abs(grey - stored.TWELVE_BITS / 4095 * 255).max() <= 0.5 + off / 16
    assert np.abs(windowed.astype(int) - stored.TWELVE_BITS.clip(0, 255)).max() <= off


@pytest.mark.parametrize(
    ("name", "add", "scale"),
    [
        ("tifffile_hounsfield.tif", 0, 1),
        ("tifffile_float.tif", 0, 1),
        ("tifffile_uint32.tif", 2**31 + 2**32, 1),
        ("tifffile_int8.tif", 0, 16),
    ],
)
def test_samples_that_need_a_window(name: str, add: int, scale: int) -> None:
    with pytest.raises(
        ValueError, match=r"8 or 16 bits per channel.* got .* to \d+.* in .*: pass window=\(low, high\)"
    ):
        pixels(io.read_image(FILES / name))
    values = stored.HOUNSFIELD.astype(np.int64) // scale
    low, high = -160 / scale, 240 / scale
    want = np.rint(((values - low) / (high - low)).clip(0, 1) * 255)
    if add:  # negative numbers became large ones when the file was made
        values = values % 2**32 + 2**31
        values = values % 2**32
        low, high = float(values.min()), float(values.max())
        want = np.rint((values - low) / (high - low) * 255)
    np.testing.assert_array_equal(pixels(io.read_image(FILES / name, window=(low, high)))[..., 0], want)


def test_pages_of_a_tiff_file_are_counted(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((6, 8), value, np.uint8)) for value in (1, 2, 3)]
    file, thumbnail = tmp_path / "stack.tif", tmp_path / "thumbnail.tif"
    pages[0].save(file, save_all=True, append_images=pages[1:])
    pages[0].save(thumbnail, save_all=True, append_images=[pages[1].resize((4, 3))])
    for read in (io.read_image, lambda path: io.read_label_png(path, palette="index")):
        with pytest.warns(UserWarning, match=r"stack.tif' holds 3 pages of one size, and the first is read"):
            first = read(file)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert torch.equal(first, read(thumbnail)) and first.unique().numel() == 1


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_frames_of_an_animation_are_counted(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(np.full((6, 8, 3), value, np.uint8)) for value in (10, 120, 240)]
    file, single = tmp_path / f"moves.{suffix}", tmp_path / f"still.{suffix}"
    frames[0].save(file, save_all=True, append_images=frames[1:], lossless=True)
    frames[0].save(single, lossless=True)
    with pytest.warns(UserWarning, match=rf"moves.{suffix}' holds 3 frames, and the first is read"):
        first = io.read_image(file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(first, io.read_image(single)) and first.unique().tolist() == [10]


def test_sixteen_bits_of_color() -> None:
    for name in ("opencv_12_in_16_rgb.png", "imagemagick_12_in_16_alpha.png"):
        with pytest.raises(ValueError, match=r"upper 8 of 16 bits a channel, which are 0 to 15 of 255.*: store 8 bits"):
            pixels(io.read_image(FILES / name))
        with pytest.raises(ValueError, match="got 16 bits a channel, of which the lower ones cannot be read"):
            io.read_label_png(FILES / name)
    with pytest.warns(io.ValueRangeWarning, match="upper 8 of 16 bits a channel, which are 0 to 63 of 255"):
        grey = pixels(io.read_image(FILES / "opencv_14_in_16_rgb.png"))
    np.testing.assert_array_equal(grey[..., 0], stored.TWELVE_BITS // 64)
