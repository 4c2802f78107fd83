"""Names of results with folders in them: ``a`` needs the file ``a.png``, and ``a.png/b`` a folder of this name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath


def result_file(what: str, folder: Path, name: str, suffix: str) -> Path:
    """The file of a result in a folder.

    Raises:
        ValueError: The name may lead out of the folder, or is one of several for a file. Its message begins with
            ``what``, such as "refine_folder: names".
    """
    parts = Path(name).parts
    if not parts or ".." in parts or Path(name).is_absolute() or str(PurePosixPath(name)) != name:
        raise ValueError(f"{what} must be relative paths without './', '//' or '..', got {name!r}")
    return folder / f"{name}{suffix}"


class ResultNames:
    """The names that were given so far.

    Args:
        what: As of :func:`result_file`.
        suffixes: Of the files that each name has.
    """

    def __init__(self, what: str, suffixes: Sequence[str]) -> None:
        self._what, self._suffixes = what, suffixes
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def add(self, name: str) -> None:
        """Adds a name.

        Raises:
            ValueError: It was given before, or has a file where another name needs a folder, or the other way.
        """
        files = [f"{name}{suffix}" for suffix in self._suffixes]
        folders = [str(folder) for folder in PurePosixPath(name).parents]
        if files[0] in self._files:
            raise ValueError(f"{self._what} must differ, got {name!r} twice")
        found = [self._folders[file] for file in files if file in self._folders]
        found += [self._files[folder] for folder in folders if folder in self._files]
        if found:
            raise ValueError(f"{self._what} must not be folders of others, got {found[0]!r} and {name!r}")
        self._files.update(dict.fromkeys(files, name))
        self._folders.update(dict.fromkeys(folders, name))
