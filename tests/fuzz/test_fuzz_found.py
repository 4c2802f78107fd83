"""Files that were built, or found by ``test_fuzz_readers``, to break a reader: each is refused for what is wrong.

All are read with little memory left, so a file that names a size which it does not have is found out.
"""

from __future__ import annotations

import pickle
import resource
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import fuzz_formats as formats
from PIL import Image

from closedform_wsss import io

MAPS = np.ones((2, 3, 4), np.float32)
SPARE = 1 << 30  # bytes that a reader may take
HUGE = 10**11
reconstruct = np.array(0).__reduce__()[0]


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + SPARE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def refused(read: Callable[[Path], Any], path: Path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    started = time.perf_counter()
    with pytest.raises(ValueError, match=message) as caught:
        read(path)
    assert time.perf_counter() - started < 5
    assert repr(str(path)) in str(caught.value) and "MemoryError" not in str(caught.value)


# --- images


def claimed_size(width: int, height: int) -> bytes:
    chunks = formats.png_chunks(formats.encoded(Image.new("RGB", (3, 3)), "PNG"))
    header = struct.pack(">II", width, height) + chunks[0][1][8:]
    return formats.png([(b"IHDR", header), *chunks[1:]])


def with_chunk(at: int, kind: bytes, content: bytes) -> bytes:
    chunks = formats.png_chunks(formats.encoded(Image.new("RGB", (3, 3)), "PNG"))
    return formats.png([*chunks[:at], (kind, content), *chunks[at:]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (claimed_size(50_000, 50_000), "read_image: path must be an image file .*exceeds limit of"),
        (claimed_size(2**31 - 1, 2**31 - 1), "read_image: path must be an image file "),
        (with_chunk(1, b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8))), "read_image: .*too large"),
        (
            with_chunk(-1, b"iCCP", b"name\0"),
            r"read_image: path must be an image file .*\(index out of range\)",
        ),
        (formats.encoded(Image.new("F", (3, 3)), "TIFF"), "read_image: path must hold 8 or 16 bits .* floating point"),
        (formats.encoded(Image.new("I", (3, 3), 70_000), "TIFF"), "read_image: path must hold 8 or 16 .* to 70000"),
    ],
    ids=["50000 x 50000", "2^31 x 2^31", "100 MB of text", "half a profile", "floating point", "32 bits"],
)
def test_images(tmp_path: Path, data: bytes, message: str) -> None:
    refused(io.read_image, tmp_path / "a.png", data, message)


def test_marks_say_which_file(tmp_path: Path) -> None:
    path, image = tmp_path / "a.png", formats.IMAGE
    grey = formats.encoded(Image.new("L", image.shape[1::-1], 3), "PNG")
    refused(lambda p: io.read_marks(p, kind="trimap"), path, grey, "read_marks: path must hold a trimap, .* got 3:")
    same = formats.encoded(Image.fromarray(image), "PNG")
    refused(lambda p: io.read_scribbles(p, image), path, same, "read_scribbles: .*no pixel that differs")
    deep = formats.encoded(Image.new("I", (3, 3), 70_000), "TIFF")
    refused(io.read_marks, path, deep, "read_marks: path must hold 8 or 16 bits .* to 70000")
    refused(lambda p: io.read_marks(p, kind="scribbles"), path, same, "read_marks: image must be given .* got None")


# --- XML


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"<!DOCTYPE a [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]><a>&b;</a>",
            "read_scribblesup_xml: path must hold XML.*document type declaration",
        ),
        (b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "path must hold XML.*document type declaration"),
        (b"<?xml version='1.0' encoding='nosuch'?><a/>", "path must hold XML.*unknown encoding"),
        (b"<?xml version='1.0' encoding='shift_jis'?><a/>", "path must hold XML.*multi-byte encodings"),
        (b"<a>" * 300_000, "path must hold XML.*no element found|unclosed"),
        (b"<a>" * 300_000 + b"</a>" * 300_000, "size/width must be a number"),
        (formats.XML.replace(b"50", b"999999").replace(b"33", b"999999"), "size must be that of an image"),
    ],
    ids=["laughs", "outside file", "encoding", "multi-byte", "nested", "nested and closed", "size"],
)
def test_xml(tmp_path: Path, data: bytes, message: str) -> None:
    refused(io.read_scribblesup_xml, tmp_path / "a.xml", data, message)


def test_lines_to_far_away_end_soon(tmp_path: Path) -> None:
    far = b"".join(b"<point><X>%d</X><Y>%d</Y></point>" % (x, -x) for x in [-999_999, 999_999] * 500)
    path = tmp_path / "a.xml"
    path.write_bytes(formats.XML.replace(b"<point><X>48</X><Y>2</Y></point>", far))
    started = time.perf_counter()
    assert io.read_scribblesup_xml(path).shape == (33, 50)
    assert time.perf_counter() - started < 10


# --- CAMs: zip files


def header(shape: tuple[int, ...], descr: str = "<f4") -> str:
    return f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}"


def claimed_member(size: int, cams: bytes) -> bytes:
    """A zip whose directory says that its one member unpacks to so many bytes."""
    data = bytearray(formats.zipped(zipfile.ZIP_STORED, cams=cams))
    struct.pack_into("<I", data, data.index(b"PK\1\2") + 24, size)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (formats.zipped(cams=formats.npy(b"12", header((1, 10**6, 10**5)))), r"cams of shape \(1, 1000000, 100000\)"),
        (claimed_member(3 << 30, formats.npy(b"12", header((1, 1 << 14, 3 << 14)))), r"cams of shape .* in 3221225472"),
        (formats.zipped(cams=formats.npy(b"", header((10**18,), "|V0"))), r"cams of shape \(10+,\)"),
        (formats.zipped(cams=formats.npy(b"", header((2**62, 8)))), "cams of shape"),
        (formats.zipped(cams=b"\x93NUMPY\x01"), "got "),
        (formats.zipped(zipfile.ZIP_LZMA, cams=formats.plain_npy(MAPS))[:60] + bytes(900), "not a zip file"),
        (formats.npz(cams=MAPS, classes=np.array([1, 2**64 - 1], np.uint64)), "a class below the first, -1"),
    ],
    ids=["100 GB", "3 GB packed", "of nothing", "overflow", "no header", "no directory", "class 2^64 - 1"],
)
def test_zip_files(tmp_path: Path, data: bytes, message: str) -> None:
    refused(io.read_cam, tmp_path / "a.npz", data, f"read_cam: path must hold .*{message}")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED])
def test_damaged_streams(tmp_path: Path, method: int) -> None:
    cams = formats.plain_npy(np.random.default_rng(0).random((2, 30, 30), np.float32))
    data = bytearray(formats.zipped(method, cams=cams))
    data[200:400] = bytes(200)
    refused(io.read_cam, tmp_path / "a.npz", bytes(data), "read_cam: path must hold .*got a damaged file")


# --- CAMs: headers and pickles


def test_headers(tmp_path: Path) -> None:
    for text, message in (
        (header((HUGE,), "|O"), "objects in place of one dictionary"),
        (header((HUGE, HUGE)), r"an array of shape \(.*\) and type float32 in \d+ bytes"),
        ("{'descr': '|O', 'fortran_order': (", "a damaged .npy header"),
        ("-" * 3000 + "1", "a damaged .npy header"),
        ("(" * 9000, "a damaged .npy header"),
    ):
        refused(io.read_cam, tmp_path / "a.npy", formats.npy(b"", text), f"read_cam: path must hold .*{message}")


class Calls:
    """Pickles as a call of any function, with a state to set afterwards."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.reduced = (function, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def described(code: str, flags: int) -> Calls:
    return Calls(np.dtype, code, False, True, state=(3, "|", None, None, None, -1, -1, flags))


def filled(shape: tuple[int, ...], dtype: Any, values: Any) -> Calls:
    return Calls(reconstruct, np.ndarray, (0,), b"b", state=(1, shape, dtype, False, values))


def laughs() -> list[Any]:
    lists: list[Any] = [1.0] * 10
    for _ in range(9):
        lists = [lists] * 10
    return lists


PICKLES = {
    "bytearray of a size": (Calls(bytearray, HUGE), "TypeError"),
    "array of a size": (Calls(np.ndarray, (1, HUGE), np.dtype("f4")), "TypeError"),
    "array to fill of a size": (Calls(reconstruct, np.ndarray, (1, HUGE, 1), b"f"), "maps of type int8|maps of shape"),
    "array larger than its bytes": (filled((1, HUGE, 1), np.dtype("f4"), b"1234"), "a damaged pickle"),
    "number out of nothing": (Calls(np.float32(0).__reduce__()[0], np.dtype("V2000000000")), "a damaged pickle"),
    "lists of one list": (laughs(), "an array of 80000000000 bytes"),
    "tensor of one value": (torch.zeros(1).expand(1, 10**5, 10**6), "an array of 400000000000 bytes"),
    "array of pointers": (filled((1,), described("O8", 0), b"\x41" * 8), "objects"),
    "array of objects without any": (filled((10**6,), described("O8", 63), []), "objects"),
    "numbers with the flags of objects": (filled((1, 1, 1), described("f4", 63), b"1234"), None),
    "dtype of no plain kind": (filled((1,), Calls(np.dtype, "M8[s]", False, True), b"12345678"), "dtype 'M8"),
}


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickles_that_lie(tmp_path: Path, name: str, protocol: int) -> None:
    item, message = PICKLES[name]
    data = formats.npy(pickle.dumps(formats.boxed({"keys": [0], "cam": item}), protocol))
    path = tmp_path / "a.npy"
    if message is None:
        path.write_bytes(data)
        assert io.read_cam(path)[1].numpy().tobytes() == b"1234"
    else:
        refused(io.read_cam, path, data, f"read_cam: path must hold .*{message}")


def test_a_pointer_in_place_of_the_dictionary(tmp_path: Path) -> None:
    """Followed, it ends the process."""
    data = formats.npy(pickle.dumps(filled((), described("O8", 0), b"\x41" * 8)))
    refused(io.read_cam, tmp_path / "a.npy", data, "read_cam: path must hold .*a damaged pickle")


def test_a_table_of_objects_larger_than_the_pickle(tmp_path: Path) -> None:
    """Eight bytes that make Python allocate 64 GB."""
    data = formats.npy(pickle.PROTO + b"\x02N" + pickle.LONG_BINPUT + b"\xff" * 4 + b".")
    refused(io.read_cam, tmp_path / "a.npy", data, "object number 4294967295 in 9 bytes")


def test_tensors_that_grow(tmp_path: Path) -> None:
    """What torch would unpack by itself."""
    archive = BytesIO()
    torch.save(torch.zeros(3), archive)
    size = HUGE.to_bytes(5, "little")
    legacy = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    legacy += pickle.PROTO + b"\x02cbuiltins\nbytearray\n" + pickle.LONG1 + b"\x05" + size + b"\x85R."
    for data in (archive.getvalue(), legacy):
        item = {"keys": [0], "cam": Calls(torch.storage._load_from_bytes, data)}
        broken = formats.npy(pickle.dumps(formats.boxed(item), 2))
        refused(io.read_cam, tmp_path / "a.npy", broken, "read_cam: path must hold .*in a form that torch does not")


def test_bytes_larger_than_the_pickle(tmp_path: Path) -> None:
    for code in (pickle.BINBYTES8, pickle.BYTEARRAY8, pickle.BINUNICODE8):
        data = formats.npy(pickle.PROTO + b"\x05" + code + struct.pack("<Q", HUGE) + b".")
        refused(io.read_cam, tmp_path / "a.npy", data, "read_cam: path must hold .*a damaged pickle")


def test_pickles_change_no_function(tmp_path: Path) -> None:
    """A pickle may set attributes of what it names: not of anything that others use too."""
    rebuild = torch._utils._rebuild_tensor_v2
    before = rebuild.__defaults__
    named = pickle.PROTO + b"\x02ctorch._utils\n_rebuild_tensor_v2\n"
    data = formats.npy(named + b"N}U\x0c__defaults__)s\x86b.")
    refused(io.read_cam, tmp_path / "a.npy", data, "read_cam: path must hold")
    assert rebuild.__defaults__ == before


def test_the_largest_uint8_has_a_successor(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(formats.npy(pickle.dumps(formats.boxed({"keys": np.array([255, 0], np.uint8), "cam": MAPS}))))
    assert io.read_cam(path)[0].tolist() == [256, 1]


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (io.read_tags, "a.jpg,{}\n"),
        (io.read_tags, '{{"a": [{}]}}'),
        (io.read_label_colors, "road:128,{},128::\n"),
        (io.read_label_colors, "128 {} 128 road\n"),
    ],
)
def test_numbers_of_thousands_of_digits(tmp_path: Path, read: Callable[[Path], Any], text: str) -> None:
    """Python converts none of them, and its message names neither the reader nor the file."""
    path = tmp_path / "a.txt"
    path.write_text(text.format("1" * 5000))
    with pytest.raises(ValueError, match=rf"^{read.__name__}: .*a\.txt"):
        read(path)
