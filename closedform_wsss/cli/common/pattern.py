"""The names of the files of marks."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

_STEM = "{stem}"


def files_below(folder: Path, results: Path) -> list[str]:
    """The paths of all files in a folder and its sub-folders, relative with ``/``, sorted. Hidden ones and the folder
    ``results`` are left out."""
    found = []
    for where, below, names in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".") and Path(where, name).resolve() != results]
        found += [Path(where, name).relative_to(folder).as_posix() for name in names if not name.startswith(".")]
    return sorted(found)


def stem_pattern(text: str) -> re.Pattern[str]:
    """A pattern such as ``{stem}_mask.png``, in which ``*`` and ``?`` stand for any signs, as an expression.

    Raises:
        ValueError: It has no ``{stem}``, or several.
    """
    if text.count(_STEM) != 1:
        raise ValueError(f"--pattern must have one {_STEM}, as in {_STEM}_mask.png, got {text!r}")
    before, after = text.replace("\\", "/").split(_STEM)
    return re.compile(f"{_expression(before)}(?P<stem>[^/]+){_expression(after)}")


def name_of_image(path: str, pattern: re.Pattern[str] | None) -> str | None:
    """The name, without suffix, of the image that a file of marks belongs to, in the same folder; None if the file does
    not fit the pattern.

    Args:
        path: Relative, with ``/``.
        pattern: For the name of the file, or for the end of its path. None: the name without its suffix is that of the
            image.
    """
    pure = PurePosixPath(path)
    if pattern is None:
        return pure.with_suffix("").as_posix()
    parts = pure.parts
    for start in range(len(parts) - 1, -1, -1):
        match = pattern.fullmatch("/".join(parts[start:]))
        if match:
            return PurePosixPath(*parts[:start], match["stem"]).as_posix()
    return None


def _expression(glob: str) -> str:
    return "".join({"*": "[^/]*", "?": "[^/]"}.get(sign, re.escape(sign)) for sign in glob)
