"""TIFF files of other byte orders, layouts and meanings of zero, as tifffile writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from closedform_wsss import io

tifffile = pytest.importorskip("tifffile")

GREY = np.random.default_rng(0).integers(0, 120, (40, 48))


def test_a_tiff_with_a_plane_of_sixteen_bits_for_each_channel(tmp_path: Path) -> None:
    """What tifffile makes of an array (3, H, W) by default. Pillow reads the low and the high bytes as pixels."""
    wide = np.random.default_rng(0).integers(0, 65536, (3, 8, 10)).astype(np.uint16)
    path = tmp_path / "a.tif"
    for order in "<>":
        tifffile.imwrite(path, wide, photometric="rgb", byteorder=order)
        with pytest.raises(ValueError, match=r"a.tif' \(TIFF with a plane of 16 bits for each .*planarconfig='contig'"):
            io.read_image(path)
        tifffile.imwrite(path, np.moveaxis(wide, 0, 2), photometric="rgb", planarconfig="contig", byteorder=order)
        np.testing.assert_array_equal(io.read_image(path), wide >> 8)
    tifffile.imwrite(path, wide, photometric="rgb", compression="zlib")
    np.testing.assert_array_equal(io.read_image(path), wide >> 8)
    tifffile.imwrite(path, (wide >> 8).astype(np.uint8), photometric="rgb")
    np.testing.assert_array_equal(io.read_image(path), wide >> 8)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.float32])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, {"compression": "zlib", "tile": (16, 16)}])
def test_every_byte_order_and_layout(
    tmp_path: Path, dtype: type[np.generic], order: str, how: dict[str, object]
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY.astype(dtype), byteorder=order, **how)
    np.testing.assert_array_equal(io.read_image(path, window=(0, 255))[0], GREY)
    if dtype != np.float32:
        np.testing.assert_array_equal(io.read_label_png(path), GREY)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_window_holds_the_stored_values_where_white_is_zero(tmp_path: Path, dtype: type[np.generic]) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY.astype(dtype), photometric="miniswhite")
    want = 255 - np.rint(((GREY - 20) / 80).clip(0, 1) * 255)
    np.testing.assert_array_equal(io.read_image(path, window=(20, 100))[0], want)


def test_labels_must_not_have_jpeg_compression(tmp_path: Path) -> None:
    path, labels = tmp_path / "a.tif", np.kron(GREY % 21, np.ones((7, 7))).astype(np.uint8)
    for compression in ("tiff_lzw", "tiff_deflate", "packbits"):
        Image.fromarray(labels).save(path, compression=compression)
        np.testing.assert_array_equal(io.read_label_png(path), labels)
    Image.fromarray(labels).save(path, compression="jpeg")
    with pytest.raises(ValueError, match=r"in a lossless format .*, got TIFF with JPEG compression in '.*a.tif'"):
        io.read_label_png(path)
    assert io.read_image(path).shape == (3, 280, 336)
