"""Files that are complete or do not appear."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from closedform_wsss.io._types import PathLike

_LONGEST = 255 - len(".") - len(".0a1b2c3d.tmp")  # bytes of a name that still fits into that of its temporary file


def name_of_temporary(name: str) -> str:
    """What stands between the first dot and the random part in the name of a temporary file or folder: the name of the
    result, without its end if that would become longer than file systems allow."""
    while len(os.fsencode(name)) > _LONGEST:
        name = name[:-1]
    return name


@contextlib.contextmanager
def atomic(path: PathLike) -> Iterator[IO[bytes]]:
    """Opens ``.<name>.<random>.tmp`` beside ``path`` for writing, and renames it to ``path`` if no error occurred.

    A device or a pipe, such as ``/dev/stdout``, is written to: a file in its place would take it from all programs.

    Raises:
        OSError: The folder is missing or may not be written to, or the disk is full. It names ``path``.
    """
    target = Path(path)
    if _is_stream(target):
        with open(target, "wb") as stream:
            yield stream
        return
    # mkstemp would make private files. To widen their mode one needs the umask, which no thread can read safely.
    temporary = os.path.abspath(target.parent / f".{name_of_temporary(target.name)}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, temporary):
            # The name that the caller knows: a write to a full disk has none. The constructor makes FileNotFoundError
            # and others of OSError.
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise


def _is_stream(path: Path) -> bool:
    """Whether the name stands for a device, a pipe, or what a process has open, and not for a file on a disk."""
    folder = Path(os.path.realpath(path.parent))
    is_open_file = folder in (Path("/dev"), Path("/dev/fd")) or Path("/proc") in folder.parents
    return path.exists() and not path.is_dir() and (is_open_file or not path.is_file())


def save_png(image: Image.Image, path: PathLike, *, compress_level: int = 6, pnginfo: PngInfo | None = None) -> None:
    """Writes a PNG, atomically."""
    with atomic(path) as file:
        image.save(file, format="PNG", compress_level=compress_level, pnginfo=pnginfo)
