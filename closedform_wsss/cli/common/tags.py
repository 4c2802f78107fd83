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

    Attributes:
        all_classes: The numbers of maps in a file that are those of every class: without a background, then with it.
            Without names the highest class that occurs may not be the last one, so only that many maps are sure.

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
        highest = max((max(classes, default=0) for classes in self._classes.values()), default=0)
        self.all_classes: tuple[int, ...] = (highest,) if listed is None else (len(listed) - 1, len(listed))

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
