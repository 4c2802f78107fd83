"""Names of images in exports."""

from __future__ import annotations

import re

_DRIVE = re.compile(r"[A-Za-z]:")


def clean_name(stored: str) -> str:
    """The name of an image with ``/`` between folders, relative: it cannot lead out of a folder of results.

    Of an absolute path or a web address only the last part stays, because the folders before it are of another machine.

    Raises:
        ValueError: Nothing remains.
    """
    path = stored.strip().replace("\\", "/")
    absolute = path.startswith("/") or "://" in path or _DRIVE.match(path) is not None
    if "://" in path:
        path = path.split("?")[0].split("#")[0]
    parts = [part for part in path.split("/") if part not in ("", ".", "..") and not _DRIVE.fullmatch(part)]
    if not parts:
        raise ValueError(f"an image must have a name, got {stored!r:.80}")
    return parts[-1] if absolute else "/".join(parts)
