"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from PIL import Image

from closedform_wsss.labels._image import PathLike


@contextlib.contextmanager
def atomic(path: PathLike) -> Iterator[IO[bytes]]:
    """Opens ``.<name>.<random>.tmp`` beside ``path`` for writing, and renames it to ``path`` if all went well.

    Raises:
        OSError: The folder is missing or may not be written to.
    """
    target = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        # mkstemp makes files that only their owner can read; give the usual permissions.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def save_png(image: Image.Image, path: PathLike) -> None:
    """Writes a PNG, atomically."""
    with atomic(path) as file:
        image.save(file, format="PNG")
