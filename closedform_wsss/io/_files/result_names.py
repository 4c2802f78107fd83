"""Names of results with folders in them: ``a`` needs the file ``a.png``, and ``a.png/b`` a folder of this name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath


class ResultNames:
    """The names that were given so far.

    Args:
        suffixes: Of the files that each name has.
    """

    def __init__(self, suffixes: Sequence[str]) -> None:
        self._suffixes = suffixes
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def add(self, name: str) -> str | None:
        """Adds a name, and gives an earlier one that has a file where this one needs a folder, or the other way."""
        files = [f"{name}{suffix}" for suffix in self._suffixes]
        folders = [str(folder) for folder in PurePosixPath(name).parents]
        found = [self._folders[file] for file in files if file in self._folders]
        found += [self._files[folder] for folder in folders if folder in self._files]
        self._files.update(dict.fromkeys(files, name))
        self._folders.update(dict.fromkeys(folders, name))
        return found[0] if found else None
