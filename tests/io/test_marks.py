"""Images, trimaps, label maps, points, and which kind a file is; scribbles and XML have files of their own."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pictures import BLACK, BLUE, RED, bars, photo, pixels, save
from helpers.scribblesup import annotation
from PIL import Image

from closedform_wsss import io

# --- read_image


def test_read_image_modes(tmp_path: Path) -> None:
    rgb = photo(5, 7)
    grey = rgb[..., 0]
    np.testing.assert_array_equal(pixels(io.read_image(save(tmp_path / "rgb.png", rgb))), rgb)
    three = np.repeat(grey[..., None], 3, 2)
    np.testing.assert_array_equal(pixels(io.read_image(save(tmp_path / "grey.png", grey))), three)
    # Every 8-bit value times 257 is the same grey in 16 bits.
    wide = grey.astype(np.uint16) * 257
    np.testing.assert_array_equal(pixels(io.read_image(save(tmp_path / "wide.png", wide))), three)
    np.testing.assert_array_equal(pixels(io.read_image(save(tmp_path / "wide.tif", wide.astype(np.int32)))), three)
    between = np.array([[0, 128, 129, 65535 - 129, 65535 - 128, 65535]], np.uint16)
    assert pixels(io.read_image(save(tmp_path / "between.png", between)))[0, :, 0].tolist() == [
        0,
        0,
        1,
        254,
        255,
        255,
    ]
    palette = Image.fromarray(rgb).quantize(35)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(pixels(io.read_image(tmp_path / "palette.png")), np.array(palette.convert("RGB")))
    bilevel = np.array([[True, False]])
    assert pixels(io.read_image(save(tmp_path / "1.png", bilevel))).tolist() == [[[255] * 3, [0] * 3]]


def test_read_image_lays_transparent_pixels_over_white(tmp_path: Path) -> None:
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)
    assert pixels(io.read_image(save(tmp_path / "a.png", rgba))).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_read_image_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pixels(io.read_image(tmp_path / "missing.png"))
    with pytest.raises(ValueError, match="read_image: path must be an image file, got the directory"):
        pixels(io.read_image(tmp_path))
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match="that Pillow can read"):
        pixels(io.read_image(tmp_path / "text.png"))
    whole = save(tmp_path / "whole.png", photo()).read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"half\.png"):
        pixels(io.read_image(tmp_path / "half.png"))
    with pytest.raises(ValueError, match="8 or 16 bits"):
        pixels(io.read_image(save(tmp_path / "float.tif", np.zeros((2, 2), np.float32))))
    with pytest.raises(ValueError, match="8 or 16 bits"):
        pixels(io.read_image(save(tmp_path / "int.tif", np.full((2, 2), 70000, np.int32))))


# --- trimaps


def test_trimap() -> None:
    trimap = np.array([[0, 16, 102], [128, 239, 255]], np.uint8)
    assert io.from_trimap(trimap).tolist() == [[0, 255, 255], [255, 255, 1]]
    assert io.from_trimap(np.full((1, 3), 128, np.uint8)).tolist() == [[255] * 3]
    assert io.from_trimap(np.zeros((0, 3), np.uint8)).shape == (0, 3)


@pytest.mark.parametrize("value", [1, 15, 240, 254])
def test_trimap_with_compression_noise_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match=f"from_trimap: .* got {value}:"):
        io.from_trimap(np.array([[0, value, 255]], np.uint8))


def test_trimap_errors() -> None:
    with pytest.raises(TypeError, match="got bool"):
        io.from_trimap(np.zeros((2, 2), bool))
    with pytest.raises(ValueError, match="must be \\(H, W\\), got shape"):
        io.from_trimap(np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ValueError, match="must be \\(H, W\\) or \\(N, H, W\\), got shape"):
        io.from_trimap(torch.zeros(3, dtype=torch.uint8))
    with pytest.raises(TypeError, match="an array or a tensor of integers, got list"):
        io.from_trimap([[0, 255]])
    for value in (-1, 256, 1000):
        with pytest.raises(ValueError, match=f"from_trimap: .* got {value}:"):
            io.from_trimap(torch.tensor([[0, value, 255]]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_trimaps_in_tensors(dtype: torch.dtype) -> None:
    batch = torch.tensor([[[0, 128, 255]], [[255, 60, 0]]], dtype=dtype)
    want = torch.tensor([[[0, 255, 1]], [[1, 255, 0]]])
    assert torch.equal(io.from_trimap(batch), want) and torch.equal(io.from_trimap(batch[1]), want[1])


# --- arrays of other libraries


def test_from_array_is_a_view_where_it_can_be() -> None:
    image = photo(5, 7)
    tensor = io.from_array(image)
    assert tensor.shape == (3, 5, 7) and tensor.dtype == torch.uint8
    tensor[1, 2, 3] = 77
    assert image[2, 3].tolist()[1] == 77
    for other in (Image.fromarray(image), image[::-1][::-1], image.copy()):
        np.testing.assert_array_equal(pixels(io.from_array(other)), image)
    np.testing.assert_array_equal(pixels(io.from_array(image[::-1, ::-2])), image[::-1, ::-2])
    image.flags.writeable = False
    io.from_array(image)[0, 0, 0] += 1  # on a copy
    assert io.from_array(image)[0, 0, 0] == image[0, 0, 0]


def test_from_array_of_grey_and_floating_point() -> None:
    grey = photo(5, 7)[..., 0]
    assert torch.equal(io.from_array(grey), io.from_array(grey[..., None]))
    assert io.from_array(grey).shape == (1, 5, 7)
    big_endian = (grey / 255).astype(">f8")
    assert io.from_array(big_endian).dtype == torch.float64
    np.testing.assert_array_equal(io.from_array(big_endian)[0], grey / 255)


def test_from_array_shows_pillow_images_of_every_mode() -> None:
    """The array of a palette image holds indices, and that of CMYK or HSV no red, green and blue."""
    picture = Image.fromarray(np.full((5, 7, 3), (200, 40, 40), np.uint8))
    for mode in ("CMYK", "HSV", "YCbCr", "RGBX"):
        found = pixels(io.from_array(picture.convert(mode)))
        assert np.abs(found.astype(int) - (200, 40, 40)).max() <= 3, mode
    few = picture.quantize(4)
    np.testing.assert_array_equal(pixels(io.from_array(few)), np.asarray(few.convert("RGB")))
    few.info["transparency"] = int(np.asarray(few)[0, 0])
    assert io.from_array(few).shape == (4, 5, 7) and not io.from_array(few)[3].any()
    assert io.from_array(few.convert("PA")).shape == (4, 5, 7)
    assert set(io.from_array(picture.convert("1")).unique().tolist()) <= {0, 255}
    for mode, channels in (("L", 1), ("LA", 2), ("RGBA", 4), ("F", 1)):
        layout = np.asarray(picture.convert(mode)).reshape(5, 7, channels)
        np.testing.assert_array_equal(io.from_array(picture.convert(mode)).permute(1, 2, 0), layout)
    with pytest.raises(TypeError, match="got int32"):
        io.from_array(picture.convert("I"))


def test_errors_of_from_array() -> None:
    with pytest.raises(TypeError, match=r"pixels must be uint8 or floating point, got uint16: .*to_unit_range"):
        io.from_array(np.zeros((2, 2), np.uint16))
    with pytest.raises(ValueError, match=r"from_array: pixels must be .* or \(H, W\), got shape \(1, 2, 2, 3\)"):
        io.from_array(np.zeros((1, 2, 2, 3), np.uint8))
    with pytest.raises(ValueError, match=r"got shape \(3, 20, 30\) with the channels first: pass numpy.moveaxis"):
        io.from_array(np.zeros((3, 20, 30), np.uint8))
    assert io.from_array(np.zeros((3, 20, 4), np.uint8)).shape == (4, 3, 20)  # three rows


# --- label maps


def test_palette_is_that_of_voc() -> None:
    palette = io.voc_palette()
    first = [BLACK, (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)]
    assert [tuple(color) for color in palette[:7].tolist()] == first
    assert palette[20].tolist() == [0, 64, 128] and palette[255].tolist() == [224, 224, 192]
    assert len(np.unique(palette, axis=0)) == 256


def test_label_png_round_trip(tmp_path: Path) -> None:
    want = np.arange(256, dtype=np.int64).reshape(16, 16)
    io.write_label_png(tmp_path / "labels.png", want)
    with Image.open(tmp_path / "labels.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.array(image.convert("RGB")), io.voc_palette().reshape(16, 16, 3))
    got = io.read_label_png(tmp_path / "labels.png")
    assert got.dtype == torch.int64
    np.testing.assert_array_equal(got, want)
    assert [path.name for path in tmp_path.iterdir()] == ["labels.png"]


def test_label_png_in_other_modes(tmp_path: Path) -> None:
    want = np.array([[0, 15, 255], [20, 1, 2]], np.uint8)
    read = io.read_label_png
    np.testing.assert_array_equal(read(save(tmp_path / "grey.png", want)), want)
    np.testing.assert_array_equal(read(save(tmp_path / "wide.png", want.astype(np.uint16))), want)
    colors = io.voc_palette()[want]
    np.testing.assert_array_equal(read(save(tmp_path / "rgb.png", colors)), want)
    np.testing.assert_array_equal(read(save(tmp_path / "rgba.png", colors, "RGBA")), want)
    np.testing.assert_array_equal(read(save(tmp_path / "la.png", want, "LA")), want)
    assert read(save(tmp_path / "1.png", np.array([[True, False]]))).tolist() == [[1, 0]]
    # Indices count even where the palette is another one.
    other = Image.fromarray(want)
    other.putpalette(bytes(range(255, -1, -1)) * 3)
    other.save(tmp_path / "other.png")
    np.testing.assert_array_equal(read(tmp_path / "other.png"), want)


def test_label_png_errors(tmp_path: Path) -> None:
    grey = np.zeros((4, 5), np.uint8)
    with pytest.raises(ValueError, match=r"lossless format such as PNG.* got JPEG"):
        io.read_label_png(save(tmp_path / "labels.jpg", grey))
    colors = np.zeros((4, 5, 3), np.uint8)
    colors[2, 3] = 7
    with pytest.raises(ValueError, match=r"colour \(7, 7, 7\) at x=3, y=2"):
        io.read_label_png(save(tmp_path / "color.png", colors))
    with pytest.raises(ValueError, match="got transparent"):
        io.read_label_png(save(tmp_path / "layer.png", np.zeros((2, 2, 4), np.uint8)))
    with pytest.raises(ValueError, match="got 0 to 256"):
        io.read_label_png(save(tmp_path / "wide.png", np.array([[0, 256]], np.uint16)))
    for bad in ([[-1]], [[256]], [0], np.zeros((0, 3), int)):
        with pytest.raises(ValueError, match="write_label_png"):
            io.write_label_png(tmp_path / "bad.png", np.array(bad))
    with pytest.raises(TypeError, match="must be integers, got float64"):
        io.write_label_png(tmp_path / "bad.png", [[0.5]])
    assert not (tmp_path / "bad.png").exists()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    io.write_label_png(tmp_path / "labels.png", [[1]])

    def fail(self: Image.Image, file: BytesIO, **_: object) -> None:
        file.write(b"half a file")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        io.write_label_png(tmp_path / "labels.png", [[2]])
    monkeypatch.undo()
    assert io.read_label_png(tmp_path / "labels.png").tolist() == [[1]]
    assert len(list(tmp_path.iterdir())) == 1


def test_errors_of_writers_name_the_file_and_not_a_temporary_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name, kind in (("missing/labels.png", FileNotFoundError), ("folder", IsADirectoryError)):
        with pytest.raises(kind) as caught:
            io.write_label_png(tmp_path / name, [[1]])
        assert caught.value.filename == str(tmp_path / name) and caught.value.filename2 is None
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_files_written_at_once_have_the_usual_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda index: io.write_label_png(tmp_path / f"{index}.png", [[1]]), range(200)))
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}


# --- points


def test_points_draw_discs() -> None:
    marks = io.from_points([(4, 3, 1)], (7, 9), radius=2)
    y, x = np.mgrid[:7, :9]
    np.testing.assert_array_equal(marks, np.where((x - 4) ** 2 + (y - 3) ** 2 <= 4, 1, 255))
    assert (io.from_points([(0, 0, 3), (8.4, 6, 0)], (7, 9), radius=0) != 255).sum() == 2
    assert io.from_points([(-0.4, 1.4, 1)], (2, 2), radius=0).tolist() == [[255, 255], [1, 255]]
    assert (io.from_points([], (2, 3)) == 255).all()


def test_overlapping_discs_go_to_the_nearest_point() -> None:
    points = [(2, 1, 0), (6, 4, 1), (5, 0, 2), (9, 7, 3)]
    marks = io.from_points(points, (8, 11), radius=4)
    for y in range(8):
        for x in range(11):
            distance = [(px - x) ** 2 + (py - y) ** 2 for px, py, _ in points]
            nearest = min(range(4), key=lambda i: (distance[i], i))
            assert marks[y, x] == (nearest if distance[nearest] <= 16 else 255)


def test_point_errors() -> None:
    for point in ((5, 0, 1), (-0.6, 0, 1), (0, 4, 1), (float("nan"), 0, 1)):
        with pytest.raises(ValueError, match=r"points\[0\] must lie inside"):
            io.from_points([point], (4, 5))
    for label in (-1, 255, 0.5):
        with pytest.raises(ValueError, match=r"class in 0\.\.254"):
            io.from_points([(0, 0, label)], (4, 5))
    with pytest.raises(ValueError, match="got 1 and 2 at x=1, y=1"):
        io.from_points([(1, 1, 1), (1, 1, 2)], (4, 5))
    with pytest.raises(ValueError, match="radius"):
        io.from_points([], (4, 5), radius=-1)


# --- one reader for all


def test_auto_tells_the_kinds_apart(tmp_path: Path) -> None:
    image = photo()
    size = image.shape[:2]
    scribbled, _ = bars(image, [RED, BLUE])
    label_map, trimap = np.full(size, 255, np.uint8), np.full(size, 102, np.uint8)
    label_map[:4], label_map[-4:] = 0, 3
    trimap[:4], trimap[-4:] = 0, 255
    io.write_label_png(tmp_path / "palette.png", label_map)
    layer = np.dstack([scribbled, np.where((scribbled != image).any(2), 255, 0).astype(np.uint8)])
    (tmp_path / "a.xml").write_text(annotation(("cat", [(1, 1)])))
    for name, array, kind in (
        ("scribbles", scribbled, "scribbles"),
        ("layer", layer, "scribbles"),
        ("palette", None, "labels"),
        ("grey labels", label_map, "labels"),
        ("colour labels", io.voc_palette()[label_map], "labels"),
        ("trimap", trimap, "trimap"),
        ("rgb trimap", np.dstack([trimap] * 3), "trimap"),
        ("a.xml", None, "scribblesup"),
    ):
        path = tmp_path / (name if name.endswith(".xml") else f"{name}.png")
        if array is not None:
            save(path, array)
        assert io.guess_kind(path, image) == kind, name
        if kind != "scribblesup":
            np.testing.assert_array_equal(io.read_marks(path, image), io.read_marks(path, image, kind=kind))
    np.testing.assert_array_equal(io.read_marks(tmp_path / "grey labels.png"), label_map)
    np.testing.assert_array_equal(io.read_marks(tmp_path / "rgb trimap.png"), io.from_trimap(trimap))


@pytest.mark.parametrize("values", [[0, 255], [0, 128], [0, 100, 150, 255], [0, 1, 128, 255], [0]])
def test_auto_refuses_to_guess(tmp_path: Path, values: list[int]) -> None:
    path = save(tmp_path / "marks.png", np.array([values], np.uint8))
    with pytest.raises(ValueError, match="kind must be given"):
        io.read_marks(path)


def test_auto_says_what_black_and_white_may_be(tmp_path: Path) -> None:
    mask = np.array([[0, 255, 255]], np.uint8)
    for name, stored in (("grey.png", mask), ("rgb.png", np.repeat(mask[..., None], 3, 2))):
        with pytest.raises(ValueError, match="nothing known: 0 and 255 alone may be class 0 and unmarked pixels"):
            io.read_marks(save(tmp_path / name, stored))
    with pytest.raises(ValueError, match=r"nothing known$"):
        io.read_marks(save(tmp_path / "other.png", np.array([[0, 100, 150, 255]], np.uint8)))


def test_auto_takes_colors_for_labels_if_all_are_of_the_palette(tmp_path: Path) -> None:
    colors = io.voc_palette().reshape(16, 16, 3)
    assert io.guess_kind(save(tmp_path / "all.png", colors)) == "labels"
    # 256 colours with one that is not of the palette, and 257.
    for rows in ([0, 16], [16]):
        more = np.concatenate([colors, colors[:1]])
        more[rows, 5] = (1, 0, 0)
        with pytest.raises(ValueError, match=r"^guess_kind: kind must be given to read_marks .* nothing known"):
            io.guess_kind(save(tmp_path / "more.png", more))


def test_auto_refuses_label_maps_that_look_like_the_image(tmp_path: Path) -> None:
    dark = np.full((6, 6, 3), 5, np.uint8)
    io.write_label_png(tmp_path / "labels.png", np.eye(6, dtype=int))
    with pytest.raises(ValueError, match="looks like scribbles or labels"):
        io.read_marks(tmp_path / "labels.png", dark)
    np.testing.assert_array_equal(io.read_marks(tmp_path / "labels.png", dark, kind="labels"), np.eye(6))


def test_read_marks_errors(tmp_path: Path) -> None:
    image = photo(6, 6)
    path = save(tmp_path / "trimap.png", np.array([[0, 128, 255]], np.uint8))
    with pytest.raises(ValueError, match=r"size of image \(H, W\) = \(6, 6\), got \(1, 3\)"):
        io.read_marks(path, image)
    with pytest.raises(ValueError, match="kind must be auto or one of"):
        io.read_marks(path, image, kind="maps")
    with pytest.raises(ValueError, match="image must be given"):
        io.read_marks(path, kind="scribbles")
    with pytest.raises(ValueError, match="a trimap must be grey"):
        io.read_marks(save(tmp_path / "color.png", image), kind="trimap")
