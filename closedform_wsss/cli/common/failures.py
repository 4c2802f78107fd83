"""Images that fail: a line on stderr for each, or the end of the run if all of them fail for one reason."""

from __future__ import annotations

import re
from pathlib import PurePath

from closedform_wsss.cli.common.progress import note

_FIRST = 3
# What differs between images: names in quotes, paths and numbers, and lists of them, which differ in length.
_ONE = r"(?:'[^']*'|\S*[/\\]\S*|\d+(?:\.\d+)?)"
_VARYING = re.compile(rf"{_ONE}(?:, {_ONE})*")


class Failures:
    """The images that failed.

    If the first images of a run fail for one reason, it is a mistake in the command, and thousands of lines with it
    would help nobody. So the first lines wait until an image succeeds or fails for another reason, or the run ends: the
    object is a context that the run is in.

    Args:
        total: The number of images.
        stops: Whether a mistake in the command is possible: not if some images were done before, by the same command.

    Attributes:
        count: How many failed.
    """

    def __init__(self, total: int, *, stops: bool = True) -> None:
        self.count = 0
        self._waiting: list[tuple[str, str]] | None = [] if stops and total > _FIRST else None

    def add(self, name: object, reason: str) -> None:
        """An image that failed.

        Raises:
            ValueError: The first images all failed for this reason.
        """
        self.count += 1
        if self._waiting is None:
            note(f"{name}: {reason}")
            return
        self._waiting.append((str(name), reason))
        if len({_alike(name, said) for name, said in self._waiting}) > 1:
            self.flush()
        elif len(self._waiting) == _FIRST:
            name, reason = self._waiting[0]
            self._waiting = None
            raise ValueError(f"each of the first {_FIRST} images fails for this reason, {name}: {reason}")

    def __enter__(self) -> Failures:
        return self

    def __exit__(self, *error: object) -> None:
        self.flush()

    def flush(self) -> None:
        """Prints the lines that wait, because an image succeeded."""
        for name, reason in self._waiting or ():
            note(f"{name}: {reason}")
        self._waiting = None


def reason_of(error: Exception) -> str:
    """Why an image failed, in one line. No exception of one image may end a run over ten thousand images."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror or error}"
    text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _alike(name: str, reason: str) -> str:
    """A reason without what differs between images. The name of a file may hold spaces."""
    own = re.escape(PurePath(name).stem)
    return _VARYING.sub("", re.sub(rf"(?<=[/\\]){own}|{own}(?=\.\w)", "", reason))
