"""Names of classes, from ``--names``."""

from __future__ import annotations

import re
from pathlib import Path

from closedform_wsss.io import VOC_CLASSES
from closedform_wsss.io._files.text_file import read_text

# A name with its number, as in road:1.
NUMBERED = re.compile(r"(.+):(\d+)")


def class_names(source: str) -> list[str]:
    """The names in a file, one a line, background first; a list with commas; or those of PASCAL VOC for "voc".

    Raises:
        OSError: See ``entries``.
        ValueError: See ``entries``; or the list gives numbers, as ``--names`` of marks does.
    """
    if source == "voc":
        return list(VOC_CLASSES)
    listed = "," in source and not is_file(source)
    names = entries(source, listed=listed)
    if listed and any(NUMBERED.fullmatch(name) for name in names):
        raise ValueError(f"--names must list all classes from 0 on, without numbers, got {source!r}")
    return names


def entries(source: str, *, listed: bool) -> list[str]:
    """The entries of a list with commas, or the lines of a file without those that are empty or start with #.

    Raises:
        OSError: See ``read_text``.
        ValueError: See ``read_text``; or an entry of the list is empty, and the others may have wrong numbers.
    """
    if not listed:
        lines = [line.strip() for line in read_text("--names", Path(source)).splitlines()]
        return [line for line in lines if line and not line.startswith("#")]
    names = [name.strip() for name in source.rstrip(", ").split(",")]
    if "" in names[:-1]:
        raise ValueError(f"--names must have a name before each comma, got {source!r}")
    return [name for name in names if name]


def is_file(text: str) -> bool:
    """Whether an option names a file: one that is there, or a text that can be nothing else."""
    return Path(text).is_file() or text.lower().endswith((".txt", ".csv")) or "/" in text or "\\" in text
