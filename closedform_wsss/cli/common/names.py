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
        OSError: See ``read_text``.
        ValueError: See ``read_text``; or the list gives numbers, as ``--names`` of marks does.
    """
    if source == "voc":
        return list(VOC_CLASSES)
    listed = "," in source and not is_file(source)
    names = source.split(",") if listed else read_text("--names", Path(source)).splitlines()
    names = [name.strip() for name in names if name.strip()]
    if listed and any(NUMBERED.fullmatch(name) for name in names):
        raise ValueError(f"--names must list all classes from 0 on, without numbers, got {source!r}")
    return names


def is_file(text: str) -> bool:
    """Whether an option names a file: one that is there, or a text that can be nothing else."""
    return Path(text).is_file() or text.lower().endswith((".txt", ".csv")) or "/" in text or "\\" in text
