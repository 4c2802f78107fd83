"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from PIL import Image

from closedform_wsss.labels._image import PathLike


def save_png(image: Image.Image, path: PathLike) -> None:
    """Writes a PNG under a temporary name beside ``path`` and then renames it.

    Raises:
        OSError: The folder is missing or may not be written to.
    """
    target = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            image.save(file, format="PNG")
        # mkstemp makes files that only their owner can read; give the usual permissions.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
