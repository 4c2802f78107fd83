"""Names of classes, from ``--names``."""

from __future__ import annotations

from pathlib import Path

from closedform_wsss.io import VOC_CLASSES
from closedform_wsss.io._files.text_file import read_text


def class_names(source: str) -> list[str]:
    """The names in a file, one a line, background first; or those of PASCAL VOC for "voc".

    Raises:
        OSError, ValueError: See ``read_text``.
    """
    names = list(VOC_CLASSES) if source == "voc" else read_text("--names", Path(source)).splitlines()
    return [name.strip() for name in names if name.strip()]
