"""Orientation and depth of picture files: what is turned, what is scaled, and what is said of it."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import fuzz_formats as formats
from helpers.pictures import photo, pixels, save
from PIL import Image, PngImagePlugin

from closedform_wsss import io

UPRIGHT = np.zeros((6, 10, 3), np.uint8)
UPRIGHT[:2, :3], UPRIGHT[4:, 7:] = (200, 0, 0), (0, 0, 200)
LABELS = np.zeros((6, 10), np.uint8)
LABELS[0, 0], LABELS[5] = 3, 255
TURNED = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


def exif(orientation: int) -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def write(path: Path, array: np.ndarray, orientation: int, **options: object) -> Path:
    Image.fromarray(array).save(path, exif=exif(orientation), **options)
    return path


# --- orientation


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for kind in ("RGB", "L", "I;16") for name in ("a.png", "a.tif", "lzw.tif")] + [("a.webp", "RGB")],
)
def test_orientation_in_every_format(tmp_path: Path, name: str, orientation: int, kind: str) -> None:
    array = {"RGB": UPRIGHT, "L": LABELS, "I;16": UPRIGHT[..., 0].astype(np.uint16) * 257}[kind]
    options: dict[str, object] = {"lossless": True} if name.endswith("webp") else {}
    if name.startswith("lzw"):
        options["compression"] = "tiff_lzw"
    path = write(tmp_path / name, array, orientation, **options)
    want = UPRIGHT if kind == "RGB" else np.repeat(array[..., None], 3, 2) // (257 if kind == "I;16" else 1)
    with pytest.warns(io.OrientationWarning, match=rf"{name}' was .* EXIF orientation {orientation} says") as caught:
        found = pixels(io.read_image(path))
    assert len(caught) == 1 and caught[0].filename == __file__
    assert all(word in str(caught[0].message) for word in ("torchvision", "'ignore'", "'apply'", "--orientation"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(pixels(io.read_image(path, orientation="apply")), found)
        np.testing.assert_array_equal(pixels(io.read_image(path, orientation="ignore")), want)
    np.testing.assert_array_equal(found, TURNED[orientation](want))


def test_orientation_of_labels_and_marks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", LABELS, 3)
    image = photo(6, 10)
    for read in (
        io.read_label_png,
        lambda path, **options: io.read_marks(path, image, **options),
        lambda path, **options: io.read_marks(path, kind="labels", **options),
    ):
        with pytest.warns(io.OrientationWarning, match="turned by 180 degrees"):
            np.testing.assert_array_equal(read(path), LABELS[::-1, ::-1])
        np.testing.assert_array_equal(read(path, orientation="ignore"), LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert io.guess_kind(path) == "labels"
    scribbled = np.full((30, 40, 3), 90, np.uint8)
    scribbled[2:6, 3:30], scribbled[20:26, 20:26] = (255, 0, 0), 0
    path = write(tmp_path / "b.png", scribbled, 8)
    with pytest.warns(io.OrientationWarning, match="read_scribbles: .*90 degrees to the left"):
        marks, _ = io.read_scribbles(path, np.full((40, 30, 3), 90, np.uint8))
    stored, _ = io.read_scribbles(path, np.full((30, 40, 3), 90, np.uint8), orientation="ignore")
    np.testing.assert_array_equal(marks, np.rot90(stored))
    with (
        pytest.warns(io.OrientationWarning),
        pytest.raises(
            ValueError, match=r"size of image .* \(30, 40\), got \(40, 30\) .*one of them was turned as its EXIF"
        ),
    ):
        io.read_marks(path, scribbled, kind="scribbles")


def test_orientation_from_xmp(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>')
    Image.fromarray(UPRIGHT).save(tmp_path / "a.png", pnginfo=info)
    with pytest.warns(io.OrientationWarning, match="orientation 6"):
        np.testing.assert_array_equal(pixels(io.read_image(tmp_path / "a.png")), np.rot90(UPRIGHT, -1))


@pytest.mark.parametrize("orientation", [0, 1, 9, 60000])
def test_orientations_that_mean_nothing(tmp_path: Path, orientation: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("a.png", "a.tif"):
            path = write(tmp_path / name, UPRIGHT, orientation)
            np.testing.assert_array_equal(pixels(io.read_image(path)), UPRIGHT)


ONE_ENTRY = b"II*\0\x08\0\0\0\x01\0\x12\x01"  # of the orientation, its type to come


@pytest.mark.parametrize(
    "data",
    [
        b"II*\0garbagegarbage",
        b"II*\0\xff\xff\xff\x7f",
        b"II*\0",
        b"",
        ONE_ENTRY + struct.pack("<HII", 2, 2, 54) + bytes(4),  # the text "6"
        ONE_ENTRY + struct.pack("<HII", 5, 1, 9999) + bytes(4),  # a fraction somewhere else
        ONE_ENTRY + struct.pack("<HII", 99, 1, 6) + bytes(4),
        ONE_ENTRY[:-2],
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_broken_exif_is_none(tmp_path: Path, data: bytes) -> None:
    for name in ("a.jpg", "a.png"):
        Image.fromarray(UPRIGHT).save(tmp_path / name, exif=b"Exif\0\0" + data, **({"quality": 95}))
        found = pixels(io.read_image(tmp_path / name))
        assert found.shape == UPRIGHT.shape and (name == "a.jpg" or np.array_equal(found, UPRIGHT))


def test_options_that_are_none(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", LABELS)
    for read in (io.read_image, io.read_label_png, io.read_marks, io.guess_kind):
        with pytest.raises(ValueError, match="orientation must be None, 'apply' or 'ignore', got 'upright'"):
            read(path, orientation="upright")
    for window in ((5, 5), (5, 1), (0, np.nan), (0, np.inf), "ab", (1,), (1, 2, 3), 5):
        with pytest.raises(ValueError, match=r"read_image: window must be \(low, high\), finite, low below high, got"):
            pixels(io.read_image(path, window=window))


# --- depth


def grey(path: Path, values: list[float], dtype: type | str) -> Path:
    Image.fromarray(np.array([values]).astype(dtype)).save(path)
    return path


def shown(path: Path, **options: object) -> list[int]:
    found = pixels(io.read_image(path, **options))
    assert (found == found[..., :1]).all()
    return found[0, :, 0].tolist()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("bits", range(1, 17))
def test_the_bits_in_use(tmp_path: Path, bits: int, name: str) -> None:
    top = 2**bits - 1
    path = grey(tmp_path / name, [0, top // 3, top], np.uint16)
    white = 2 ** max(bits, 8) - 1
    if bits < 16:
        said = rf"values of 0 to {top}; {max(bits, 8)} bits .* {white} as white"
        with pytest.warns(io.ValueRangeWarning, match=said):
            found = shown(path)
    else:
        found = shown(path)
    assert found == [round(value / white * 255) for value in (0, top // 3, top)]


def test_nothing_is_said_where_nothing_is_assumed(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert shown(grey(tmp_path / "black.png", [0, 0], np.uint16)) == [0, 0]
        assert shown(grey(tmp_path / "32768.png", [0, 32768], np.uint16)) == [0, 128]
        assert shown(grey(tmp_path / "int32.tif", [0, 32768, 65535], np.int32)) == [0, 128, 255]
        assert shown(grey(tmp_path / "big.tif", [0, 32768, 65535], ">u2")) == [0, 128, 255]
        for maximum in (1, 3, 100, 255, 1000, 4095):
            values = np.array([0, maximum // 3, maximum], ">u2" if maximum > 255 else np.uint8)
            (tmp_path / "a.pgm").write_bytes(b"P5 3 1 %d\n" % maximum + values.tobytes())
            want = [round(value / maximum * 255) for value in values.tolist()]
            assert np.abs(np.array(shown(tmp_path / "a.pgm")) - want).max() <= 1
            assert io.read_label_png(tmp_path / "a.pgm").tolist() == [values.tolist()] if maximum < 900 else True


@pytest.mark.parametrize(
    ("name", "dtype", "values", "window"),
    [
        ("a.tif", np.float32, [-np.inf, 0, 0.5, 1, np.inf], (0, 1)),
        ("a.tif", np.int32, [-5, 0, 35_000, 70_000, 90_000], (0, 70_000)),
        ("a.png", np.uint16, [0, 100, 200, 300, 65535], (100, 300)),
        ("a.png", np.uint8, [0, 100, 150, 200, 255], (100, 200)),
    ],
)
def test_windows(tmp_path: Path, name: str, dtype: type, values: list[float], window: tuple[float, float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = shown(grey(tmp_path / name, values, dtype), window=window)
    want = ((np.array(values) - window[0]) / (window[1] - window[0])).clip(0, 1) * 255
    np.testing.assert_array_equal(found, np.rint(want))


def test_a_window_of_any_sequence(tmp_path: Path) -> None:
    path = grey(tmp_path / "a.png", [0, 100, 200], np.uint8)
    for window in (np.array([100, 200]), iter([100, 200]), ("100", "200")):
        assert shown(path, window=window) == [0, 0, 255]


def test_windows_that_do_not_fit(tmp_path: Path) -> None:
    for array, mode in ((UPRIGHT, "RGB"), (np.zeros((2, 2, 2), np.uint8), "LA")):
        with pytest.raises(ValueError, match=rf"window must be None for a file with colours .* for mode {mode}"):
            pixels(io.read_image(save(tmp_path / "a.png", array), window=(0, 255)))
    with pytest.raises(ValueError, match="must hold numbers, got NaN values"):
        shown(grey(tmp_path / "nan.tif", [0, np.nan], np.float32), window=(0, 1))
    path = grey(tmp_path / "float.tif", [0, 0.5], np.float32)
    with pytest.raises(ValueError, match=r"floating point values from 0 to 0\.5 in .*: pass window=\(low, high\)"):
        shown(path)
    # Marks have no window, and are not told to take one.
    with pytest.raises(ValueError, match=r"read_marks: path must hold 8 or 16 bits .* to 70000 in '.*b\.tif'$"):
        io.read_marks(grey(tmp_path / "b.tif", [0, 70_000], np.int32), kind="trimap")


def test_sixteen_bits_with_a_transparent_value(tmp_path: Path) -> None:
    chunks = formats.png_chunks(grey(tmp_path / "a.png", [0, 1000, 40000], np.uint16).read_bytes())
    (tmp_path / "a.png").write_bytes(formats.png([chunks[0], (b"tRNS", struct.pack(">H", 1000)), *chunks[1:]]))
    assert shown(tmp_path / "a.png") == [0, 255, 156]


def with_transparent_color(path: Path, depth: int, color: int, key: tuple[int, ...], rows: list[bytes]) -> Path:
    """A PNG of 4 pixels a row; color is 0 for grey, 2 for RGB."""
    header = struct.pack(">IIBBBBB", 4, len(rows), depth, color, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", header), (b"tRNS", struct.pack(f">{len(key)}H", *key)), (b"IDAT", pixels), (b"IEND", b"")]
    path.write_bytes(formats.png(chunks))
    return path


@pytest.mark.parametrize(("depth", "grey"), [(1, (0, 255, 0, 0)), (2, (0, 85, 170, 255)), (4, (0, 119, 136, 255))])
def test_a_transparent_grey_of_few_bits(tmp_path: Path, depth: int, grey: tuple[int, ...]) -> None:
    stored = [value * (2**depth - 1) // 255 for value in grey]
    row = (sum(value << depth * (3 - place) for place, value in enumerate(stored)) << 16 - 4 * depth).to_bytes(2, "big")
    for key in stored:
        path = with_transparent_color(tmp_path / "a.png", depth, 0, (key,), [row])
        want = [255 if value == key else 255 * value // (2**depth - 1) for value in stored]
        assert shown(path) == shown(path, window=(0, 2**depth - 1)) == want


def test_a_layer_that_an_optimizer_stored_as_grey_of_two_bits(tmp_path: Path) -> None:
    """Black and white strokes on transparent pixels, which have a grey between them."""
    rows = [[b"\x00", b"\xff", b"\x55"][min(row // 4, 2)] for row in range(12)]
    path = with_transparent_color(tmp_path / "a.png", 2, 0, (1,), rows)
    image = np.full((12, 4, 3), 90, np.uint8)
    want = np.repeat([0, 1, 255], 4)[:, None].repeat(4, axis=1)
    np.testing.assert_array_equal(io.read_marks(path, image, kind="scribbles"), want)
    with pytest.raises(ValueError, match="looks like scribbles or labels"):
        io.guess_kind(path, image)


def test_a_transparent_color_of_sixteen_bits(tmp_path: Path) -> None:
    key, other = (60000, 30000, 0), (60000, 0, 30000)
    path = with_transparent_color(tmp_path / "a.png", 16, 2, key, [struct.pack(">12H", *key, *other, *key, *other)])
    assert pixels(io.read_image(path))[0].tolist() == [[255, 255, 255], [234, 0, 117]] * 2


def test_ppm_of_sixteen_bits(tmp_path: Path) -> None:
    values = np.array([0, 0, 0, 4095, 2048, 0], ">u2").tobytes()
    (tmp_path / "a.ppm").write_bytes(b"P6 2 1 4095\n" + values)
    assert pixels(io.read_image(tmp_path / "a.ppm")).tolist() == [[[0, 0, 0], [255, 128, 0]]]
    (tmp_path / "b.ppm").write_bytes(b"P6 2 1 65535\n" + values)
    with pytest.warns(io.ValueRangeWarning, match="of 16 bits a channel, which are 0 to 16 of 255"):
        pixels(io.read_image(tmp_path / "b.ppm"))
