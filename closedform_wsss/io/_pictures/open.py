"""Decoded image files, turned upright, with what is known about the stored samples."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from closedform_wsss._warn import warn_user
from closedform_wsss.io._pictures.orientation import oriented, stored_orientation, warn_of_orientation
from closedform_wsss.io._types import PathLike

_LOSSY_FORMATS = frozenset({"JPEG", "MPO", "JPEG2000", "WEBP", "AVIF"})
_ANIMATED = frozenset({"GIF", "PNG", "WEBP"})  # MPO is a photograph with a preview
_UNPREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
_BITS, _COMPRESSION, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT = 258, 259, 262, 284, 339  # tags of TIFF
_JPEG = (6, 7)
_SIGNED, _SEPARATE = 2, 2


@dataclass(frozen=True)
class Opened:
    """A decoded file.

    Attributes:
        image: Turned upright unless the caller wanted the stored orientation. Pillow scales grey of 2 or 4 bits to 0 to
            255.
        path: The file, for messages.
        caller: The public function, for messages.
        format: Pillow's name of the file's format.
        lossy: Whether the format alters values. WebP and TIFF files may or may not.
        white: The stored value of white in a grey file, if the format states it: 1, 3, 15, 255, the maximum of a PGM,
            4095 with 12 bits. None for 16 bits and more, because files often use only some of the bits, and for signed
            samples.
        wide_color: 16 bits per channel; Pillow keeps the upper 8.
        white_is_zero: 0 is white in the stored samples (TIFF).
        signed, unsigned: The true type where Pillow uses another: int8 read as uint8, uint32 read as int32.
        pages: Of a TIFF file, those of one size, of which the first is read. Others are thumbnails, for example. Of an
            animation, its frames.
    """

    image: Image.Image
    path: str
    caller: str
    format: str
    lossy: bool
    white: int | None
    wide_color: bool
    white_is_zero: bool
    signed: bool
    unsigned: bool
    pages: int = 1

    @property
    def is_deep(self) -> bool:
        """Grey with samples that do not fit into 8 bits."""
        return self.signed or self.image.mode in ("I", "F") or self.image.mode.startswith("I;16")

    def samples(self) -> npt.NDArray[Any]:
        """The stored samples ``(H, W)`` of a grey file, not scaled. Pillow has inverted those of a white-is-zero TIFF
        up to 8 bits."""
        values: npt.NDArray[Any] = np.asarray(self.image)
        if self.image.mode == "1":
            return values.astype(np.uint8)
        if self.signed:
            return values.view(np.int8)
        if self.unsigned:
            return values.view(np.uint32)
        top = 255 if self.image.mode == "L" else 65535
        if self.white in (None, top) or (self.format == "TIFF" and self.is_deep):
            return values
        # Pillow scaled 0..white to 0..top. Steps are at least 1, so rounding restores each sample.
        return np.rint(values * (self.white / top)).astype(np.int32)


def open_image(path: PathLike, caller: str, *, orientation: str | None = None) -> Opened:
    """Decodes a whole image file and turns it upright.

    The pixels are decoded here and not at their first use, so that the error of a truncated file has its name.

    Args:
        path: An image file.
        caller: The public function that an error names.
        orientation: "apply" or "ignore" the orientation in the EXIF data; None: apply it, and warn.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: The file is not an image, or is damaged.
    """
    if orientation not in (None, "apply", "ignore"):
        raise ValueError(f"{caller}: orientation must be None, 'apply' or 'ignore', got {orientation!r}")
    name = os.fspath(path)
    try:
        with open(path, "rb") as file, decoding(name, caller):
            opened, turned = _decode(file, name, caller, ignore=orientation == "ignore")
    except IsADirectoryError as error:
        raise ValueError(f"{caller}: path must be an image file, got the directory {name!r}") from error
    if orientation is None and turned != 1:
        warn_of_orientation(caller, name, turned)
    if opened.pages > 1:
        what = "frames" if opened.format in _ANIMATED else "pages of one size"
        warn_user(
            f"{caller}: {name!r} holds {opened.pages} {what}, and the first is read: save each as a file, "
            "or all as NIfTI for closedform_wsss.io.read_volume",
            UserWarning,
        )
    return opened


@contextlib.contextmanager
def decoding(name: str, caller: str) -> Iterator[None]:
    """Names the file in the errors of Pillow, which may raise any exception.

    Raises:
        ValueError: In place of any of them.
    """
    try:
        yield
    except Exception as error:
        cure = ""
        if name.lower().endswith((".nii", ".nii.gz")):
            cure = ": closedform_wsss.io.read_volume reads NIfTI"
        elif isinstance(error, UnidentifiedImageError) and name.lower().endswith((".tif", ".tiff")):
            cure = ": of TIFF files it reads grey of 8, 16 or 32 bits a value, and colours of 8 or 16"
        elif isinstance(error, Image.DecompressionBombError):
            cure = ": cut it into tiles, or in Python raise PIL.Image.MAX_IMAGE_PIXELS"
        raise ValueError(
            f"{caller}: path must be an image file that Pillow can read, got {name!r} ({error}){cure}"
        ) from error


def check_lossless(opened: Opened) -> None:
    """Refuses formats that alter values, because the values are labels."""
    if opened.lossy:
        how = " with JPEG compression" if opened.format == "TIFF" else ""
        raise ValueError(
            f"{opened.caller}: path must be in a lossless format such as PNG, because its values are labels, "
            f"got {opened.format}{how} in {opened.path!r}"
        )


def _decode(file: IO[bytes], name: str, caller: str, *, ignore: bool) -> tuple[Opened, int]:
    """The decoded file, and the orientation that its EXIF data states."""
    with Image.open(file) as image:
        kind = image.format or ""
        # Read these first: Pillow drops them when it decodes the pixels.
        codec, rawmode, maximum = _tile(image)
        tags = getattr(image, "tag_v2", {})
        photometric, sample_format = tags.get(_PHOTOMETRIC, 0), tags.get(_SAMPLE_FORMAT, (1,))
        lossy = kind in _LOSSY_FORMATS and not (kind == "WEBP" and _is_lossless_webp(file))
        lossy |= kind == "TIFF" and tags.get(_COMPRESSION) in _JPEG
        if kind == "BMP":
            _check_bmp(file, rawmode)
        if kind == "TIFF" and codec == "raw":
            _check_planes(tags.get(_BITS, ()), tags.get(_PLANAR, 1))
        if codec == "libtiff":
            _expect_native_order(image)
        # Pillow turns TIFF files while it decodes them. In PNG files EXIF data may come after the pixels.
        orientation = stored_orientation(image) if kind == "TIFF" else 1
        frames = getattr(image, "n_frames", 1) if kind in _ANIMATED else 1
        image.load()
        if kind != "TIFF":
            orientation = stored_orientation(image)
        if kind == "PNG" and "transparency" in image.info:
            image.info["transparency"] = _as_decoded(image.info["transparency"], rawmode)
        upright = oriented(image, orientation, ignore=ignore)
    pages = _pages(file) if kind == "TIFF" else frames
    mode = upright.mode
    if mode in _UNPREMULTIPLIED:
        upright = upright.convert(_UNPREMULTIPLIED[mode])
    is_tiff = kind == "TIFF"
    signed = is_tiff and mode == "L" and sample_format == (_SIGNED,)
    white = maximum if codec.startswith("ppm") and maximum else _white(mode, rawmode)
    opened = Opened(
        image=upright,
        path=name,
        caller=caller,
        format=kind,
        lossy=lossy,
        white=None if signed else white,
        wide_color=not mode.startswith("I") and (";16" in rawmode or codec == "SGI16" or maximum > 255),
        white_is_zero=is_tiff and photometric == 0,
        signed=signed,
        unsigned=is_tiff and mode == "I" and sample_format == (1,) and "16" not in rawmode,
        pages=pages,
    )
    return opened, orientation


def _pages(file: IO[bytes]) -> int:
    """How many pages of a TIFF file have the size of the first; those after a damaged one do not count."""
    count = 0
    with contextlib.suppress(Exception):  # as its decoders, Pillow's parsers may raise any exception
        file.seek(0)
        with Image.open(file) as image:
            size = image.size
            for page in range(getattr(image, "n_frames", 1)):
                image.seek(page)
                count += image.size == size
    return max(count, 1)


def _tile(image: Image.Image) -> tuple[str, str, int]:
    """The codec of the pixels, Pillow's name of their layout, and the maximum that a PGM or PPM file states."""
    tile: Any = next(iter(getattr(image, "tile", ())), ("", None, None, ""))
    arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    rawmode = arguments[0] if arguments and isinstance(arguments[0], str) else ""
    second = arguments[1] if len(arguments) > 1 else None
    return tile[0], rawmode, second if tile[0].startswith("ppm") and isinstance(second, int) else 0


def _expect_native_order(image: Any) -> None:
    """libtiff gives numbers in the byte order of the machine. Pillow turns those with a sign, and floating point, of
    big-endian files a second time."""
    (tile,) = image.tile
    codec, box, offset, (rawmode, *rest) = tile
    native = (codec, box, offset, (re.sub(r"(;\d+)B(?=[SF])", r"\1N", rawmode), *rest))
    image.tile = [type(tile)(*native) if hasattr(tile, "_fields") else native]


def _white(mode: str, rawmode: str) -> int | None:
    if mode == "1":
        return 1
    if rawmode == "I;12":
        return 4095
    if mode == "L":
        return {"L;2": 3, "L;4": 15}.get(rawmode[:3], 255)
    return None


def _as_decoded(key: Any, rawmode: str) -> Any:
    """The transparent colour of a PNG in the 8 bits that Pillow makes of its samples: Pillow gives the stored one."""
    if rawmode in ("L;2", "L;4"):
        white = _white("L", rawmode) or 255
        return (key & white) * (255 // white)
    return tuple(channel >> 8 for channel in key) if rawmode == "RGB;16B" else key


def _is_lossless_webp(file: IO[bytes]) -> bool:
    """Whether the first frame has lossless compression."""
    file.seek(12)
    while len(head := file.read(8)) == 8 and head[:4] not in (b"VP8L", b"VP8 ", b"ANMF"):
        size = int.from_bytes(head[4:], "little")
        file.seek(size + size % 2, 1)
    return head[:4] == b"VP8L"


def _check_planes(bits: tuple[int, ...], planar: int) -> None:
    """Refuses uncompressed TIFF files with a plane for each channel of which Pillow takes bytes for values."""
    if planar == _SEPARATE and len(bits) > 1 and max(bits) > 8:
        raise ValueError(
            f"TIFF with a plane of {max(bits)} bits for each channel: save it with the channels of a pixel together "
            "(planarconfig='contig' of tifffile)"
        )


def _check_bmp(file: IO[bytes], rawmode: str) -> None:
    """Refuses BMP files with a grey palette that Pillow reads with a wrong number of bits a pixel."""
    expected = {"1": 1, "L": 8}.get(rawmode)
    file.seek(0)
    head = file.read(30)
    at = 24 if head[14:18] == b"\x0c\0\0\0" else 28
    bits = int.from_bytes(head[at : at + 2], "little")
    if expected is not None and bits != expected:
        raise ValueError(f"BMP of a grey palette with {bits} bits a pixel: save it as PNG")
