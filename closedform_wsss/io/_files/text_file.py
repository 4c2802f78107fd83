"""Text files of any system."""

from __future__ import annotations

import codecs
from pathlib import Path


def read_text(option: str, path: Path) -> str:
    """Text in UTF-8, or in UTF-16 with a byte order mark, as PowerShell writes it. The mark is left out.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: It has another encoding; the error names the option.
    """
    data = path.read_bytes()
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{option} must be a text file in UTF-8, got {path} ({error})") from error
    if "\0" in text:
        raise ValueError(f"{option} must be a text file in UTF-8, got zero bytes in {path}: save it again as UTF-8")
    return text
