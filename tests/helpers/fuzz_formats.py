"""Valid files of every format that ``closedform_wsss.io`` reads, and damages that only its format explains.

A damaged PNG gets its checksums anew, a damaged zip member its length, so the damage reaches the code behind.
"""

from __future__ import annotations

import pickle
import random
import struct
import zipfile
import zlib
from importlib.util import find_spec
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image

from helpers.pictures import BLACK, RED, WHITE, bars, photo

IMAGE = photo(60, 80)
PNG = b"\x89PNG\r\n\x1a\n"


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# --- images


def pictures() -> list[bytes]:
    """Image files of many formats and modes, 60 x 40 pixels."""
    rgb = Image.fromarray(photo(40, 60))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "on its side"
    files = [
        encoded(rgb, kind) for kind in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM", "WEBP", "TGA", "PCX", "ICO", "SGI")
    ]
    files += [encoded(rgb.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGBA", "I;16")]
    files += [encoded(rgb.convert(mode), "TIFF") for mode in ("CMYK", "F", "I", "LAB", "YCbCr")]
    files += [encoded(rgb, "TIFF", compression=name) for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits")]
    files += [encoded(rgb, kind, exif=exif) for kind in ("JPEG", "PNG", "TIFF", "WEBP")]
    return [*files, encoded(rgb, "JPEG", progressive=True), encoded(rgb.convert("CMYK"), "JPEG")]


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks (type, content) of an intact PNG."""
    chunks, at = [], len(PNG)
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return chunks


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of these chunks, with checksums that are right."""
    parts = [PNG]
    for kind, content in chunks:
        crc = zlib.crc32(kind + content)
        parts.append(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc))
    return b"".join(parts)


def forged_png(rng: random.Random, data: bytes) -> bytes:
    """A PNG one of whose chunks says something else, is missing, comes twice or in another place."""
    chunks = png_chunks(data)
    at = rng.randrange(len(chunks))
    kind, content = chunks[at]
    way = rng.randrange(6)
    if way == 0:
        del chunks[at]
    elif way == 1:
        chunks.insert(rng.randrange(len(chunks) + 1), chunks[at])
    elif way == 2:
        extra = rng.choice((b"tRNS", b"PLTE", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"cHRM", b"gAMA"))
        chunks.insert(rng.randrange(1, len(chunks) + 1), (extra, rng.randbytes(rng.randrange(40))))
    elif way == 3 and kind == b"IDAT":
        rows = bytearray(zlib.decompress(content) if len(content) > 8 else b"\0")
        rows[rng.randrange(len(rows))] = rng.randrange(256)
        chunks[at] = kind, zlib.compress(bytes(rows[: rng.randrange(len(rows) + 1)]))
    elif content:
        values = bytearray(content)
        values[rng.randrange(len(values))] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 127, 128, 255))
        chunks[at] = kind, bytes(values)
    return png(chunks)


# --- marks


def label_files() -> list[bytes]:
    """Label maps and trimaps."""
    labels = np.full((20, 30), 255, np.uint8)
    labels[3:9, 4:20], labels[12:15] = 1, 0
    trimap = np.full((20, 30), 128, np.uint8)
    trimap[:5], trimap[15:] = 0, 255
    palette = Image.fromarray(labels)
    palette.putpalette(bytes(range(256)) * 3)
    arrays = [labels, trimap, labels.astype(np.uint16), np.zeros((20, 30, 3), np.uint8)]
    files = [encoded(Image.fromarray(array), "PNG") for array in arrays]
    files += [encoded(Image.fromarray(array), "TIFF") for array in (trimap, labels.astype(np.int32))]
    return [*files, encoded(palette, "PNG"), encoded(palette, "GIF")]


def scribble_files() -> list[bytes]:
    """``IMAGE`` with strokes; the last is a transparent layer."""
    scribbled = Image.fromarray(bars(IMAGE, [BLACK, WHITE, RED])[0])
    layer = Image.new("RGBA", scribbled.size)
    layer.paste(RED, (5, 5, 40, 12))
    layer.paste(WHITE, (5, 30, 40, 37))
    return [encoded(scribbled, "PNG"), encoded(scribbled, "BMP"), encoded(layer, "PNG")]


XML = (
    b"<annotation><filename>a.jpg</filename><size><width>50</width><height>33</height><depth>3</depth></size>"
    b"<polygon><tag>cat</tag><point><X>3</X><Y>4</Y></point><point><X>30</X><Y>20</Y></point></polygon>"
    b"<polygon><tag>background</tag><point><X>48</X><Y>2</Y></point></polygon></annotation>"
)
_XML_PIECES = (
    b"<polygon>",
    b"</polygon>",
    b"<point>",
    b"<X>1</X>",
    b"<!DOCTYPE a>",
    b"<!ENTITY a 'b'>",
    b"&a;",
    b"&#0;",
    b"<![CDATA[",
    b"<?xml version='1.0' encoding='utf-16'?>",
    b"<?xml version='1.0' encoding='nosuch'?>",
    b"<?xml version='1.0' encoding='shift_jis'?>",
    b"\xff\xfe",
    b"\0",
    b"<size/>",
    b"<tag>",
)


def xml_files() -> list[bytes]:
    return [XML, b'<?xml version="1.0"?>\n' + XML, XML.decode().encode("utf-16")]


def forged_xml(rng: random.Random, data: bytes) -> bytes:
    """Markup put in at the beginning, or anywhere."""
    at = rng.choice((0, rng.randrange(len(data) + 1)))
    return data[:at] + rng.choice(_XML_PIECES) + data[at:]


# --- class activation maps


def npy(pickled: bytes, header: str = "{'descr': '|O', 'fortran_order': False, 'shape': (), }") -> bytes:
    """A .npy file with any header and any content behind it."""
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + pickled


def boxed(item: Any) -> np.ndarray:
    array = np.empty((), object)
    array[()] = item
    return array


def cam_dictionaries() -> list[dict[Any, Any]]:
    maps = np.random.default_rng(0).random((2, 6, 8)).astype(np.float32)
    return [
        {14: maps[0], 0: maps[1]},
        {np.int64(3): maps[0].astype(np.float64)},
        {"keys": np.array([14, 0]), "cam": maps[:, ::2, ::2].copy(), "high_res": maps},
        {"keys": torch.tensor([14, 0]), "cam": torch.from_numpy(maps), "high_res": torch.from_numpy(maps).half()},
        {"keys": [14, 0], "cam": maps.tolist()},
        {},
        {"keys": np.array([14, 0]), "attn_highres": maps.astype(np.float16)},
        {"keys": np.array([0, 1, 15]), "cam": torch.from_numpy(maps), "hr_cam": maps},
        {"keys": np.array([0, 15]), "IS_CAM": maps},
        {"keys": [14, 0], "cam": torch.nn.Parameter(torch.from_numpy(maps))},
    ]


def npz(*, compressed: bool = False, **arrays: np.ndarray) -> bytes:
    file = BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def zipped(method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    """A zip file with anything in place of arrays."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def plain_npy(array: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def cam_files() -> list[bytes]:
    """CAMs of every format, pickled by every protocol."""
    items = cam_dictionaries()
    files = [npy(pickle.dumps(boxed(item), protocol)) for item in items for protocol in (2, 3, 4, 5)]
    maps = np.random.default_rng(0).random((2, 6, 8)).astype(np.float32)
    arrays = {"cams": maps, "classes": np.array([15, 1])}
    files += [npz(**arrays), npz(compressed=True, **arrays), npz(cams=maps.astype(np.float16))]
    members = {name: plain_npy(array) for name, array in arrays.items()}
    return [*files, *(zipped(method, **members) for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))]


def probability_files() -> list[bytes]:
    """As nnU-Net writes them, and an array alone."""
    maps = np.random.default_rng(0).dirichlet(np.ones(3), (6, 8)).transpose(2, 0, 1).astype(np.float32)
    return [npz(probabilities=maps), npz(compressed=True, probabilities=maps), npz(softmax=maps.astype(np.float16))]


TAGS = [
    b"a.jpg,1,15\nb.jpg,1\n# c\n\nc.jpg,20\n",
    b"name,cat,dog\na.jpg,0,1\nb.jpg,1,1\n",
    b"a 1|15\nb 2\n",
    b'{"a": [1, 15], "b": [2]}',
]
COLOR_LISTS = [
    b"# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\n",
    b"0 0 0 Void\n128 64 128 Road\n",
    b"000000 background\n#804080 road\n",
]


def volume_files() -> list[bytes]:
    """NIfTI files of 16 bits and of floating point; none without nibabel."""
    if not find_spec("nibabel"):
        return []
    import nibabel

    values = np.random.default_rng(0).integers(-100, 200, (5, 6, 4))
    return [
        nibabel.Nifti1Image(values.astype(dtype), np.diag([0.8, 0.8, 5, 1])).to_bytes()
        for dtype in (np.int16, np.float32)
    ]


_HEADERS = (
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 6, 8), }",
    "{'descr': '<f8', 'fortran_order': True, 'shape': (1, 3, 3), }",
    "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }",
    "{'descr': '|V0', 'fortran_order': False, 'shape': (9, 9), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (), }",
    "{'descr': '<U9', 'fortran_order': False, 'shape': (3L, 1L), }",
)
_OPCODES = [
    code for name, code in vars(pickle).items() if isinstance(code, bytes) and len(code) == 1 and name.isupper()
]
_GLOBALS = (
    b"cos\nsystem\n",
    b"cbuiltins\neval\n",
    b"cbuiltins\nbytearray\n",
    b"cnumpy\nndarray\n",
    b"cnumpy\nload\n",
    b"ctorch\nload\n",
    b"ctorch\nTensor\n",
    b"cnumpy\ndtype\n",
)


def forged_npy(rng: random.Random, data: bytes) -> bytes:
    """A .npy with another header, its text damaged, or with pickle operations put in or exchanged."""
    body = data[10 + struct.unpack_from("<H", data, 8)[0] :]
    way = rng.randrange(3)
    if way == 0:
        header = list(rng.choice(_HEADERS))
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(header))
            header[at : at + rng.randrange(3)] = rng.choice(("(", ")", "'", "9999999999", "-", "\\", "{", "\n  ", "#"))
        return npy(body, "".join(header))
    at = rng.randrange(len(body))
    piece = rng.choice((rng.choice(_OPCODES), rng.choice(_GLOBALS)))
    return npy(body[:at] + piece + body[at + (way == 2) :])


def forged_npz(rng: random.Random, data: bytes) -> bytes:
    """A zip whose members are damaged inside, so that lengths and checksums fit."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        members = {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    members[name] = forged_npy(rng, members[name])
    return zipped(rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)), **members)
