"""The classes of each image, from ``--classes-of``."""

from __future__ import annotations

from pathlib import Path

from closedform_wsss.cli.common.folders import composed, nearest_names
from closedform_wsss.cli.common.names import class_names
from closedform_wsss.io import read_tags


class Tags:
    """A table of tags, or none.

    Args:
        file: ``--classes-of``. None: no image has tags.
        names: ``--names``, of the classes in the table.

    Raises:
        OSError, ValueError: See ``read_tags`` and ``class_names``.
    """

    def __init__(self, file: Path | None, names: str | None) -> None:
        if names is not None and file is None:
            raise ValueError("--names names the classes of --classes-of, which is missing")
        self._file = file
        listed = None if names is None else class_names(names)
        self._classes = (
            {} if file is None else {composed(stem): classes for stem, classes in read_tags(file, listed).items()}
        )

    def of(self, stem: str) -> tuple[int, ...] | None:
        """The classes of an image; None if there is no table.

        Raises:
            ValueError: The table lacks the image.
        """
        if self._file is None:
            return None
        if stem not in self._classes:
            near = ", ".join(nearest_names(stem, self._classes))
            raise ValueError(
                f"--classes-of must name every image, got no line for {stem} in {self._file}"
                f"{f' (it has {near})' if near else ''}; --list names the images to take"
            )
        return self._classes[stem]
