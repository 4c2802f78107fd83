"""The names of the files of marks."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath

from closedform_wsss.cli.common.walk import walk

_STEM = "{stem}"
_RECORD, _MADE = "marks.json", ("marks.json", "classes.txt", "sheet.png", "marks")  # of the command marks


def files_below(folder: Path, results: Path) -> list[str]:
    """The paths of all files in a folder and its sub-folders, relative with ``/``, sorted. Hidden ones, the folder
    ``results`` and what earlier runs of the command marks made are left out."""
    found = []
    for where, below, names in walk(folder):
        if _RECORD in names and _is_record(where / _RECORD):
            below[:], names = ([name for name in part if name not in _MADE] for part in (below, names))
        below[:] = [name for name in below if (where / name).resolve() != results]
        found += [(where / name).relative_to(folder).as_posix() for name in names]
    return sorted(found)


def _is_record(path: Path) -> bool:
    """Whether the command marks wrote this file, and no annotation tool."""
    try:
        record = json.loads(path.read_bytes())
        return "closedform_wsss" in record["marks"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


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
