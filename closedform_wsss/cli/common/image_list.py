"""The images that a list in a text file names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from closedform_wsss.cli.common.folders import CAM_SUFFIXES, PICTURE_SUFFIXES, composed, nearest_names
from closedform_wsss.io._files.text_file import read_text

# Suffixes of names in lists. Another ending after a dot is part of the name, as in scan.1 and scan.2.
_SUFFIXES = (*PICTURE_SUFFIXES, *CAM_SUFFIXES, ".dcm", ".mat", ".xml", ".json", ".txt")
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
_ABSENT = re.compile(r"\S+[\s;,]+-1")
_SHOWN = 80  # characters of a line in an error


@dataclass
class ImageList:
    """The images that a list names, each once and sorted, and warnings about the list."""

    stems: list[str]
    warnings: list[str] = field(default_factory=list)


def read_image_list(
    option: str, path: Path, argument: str, known: Collection[str], beside: Collection[str]
) -> ImageList:
    """Reads a list of images, one a line.

    A line is the name of an image, with or without a suffix, or a path that ends in such a name. Other lines are
    columns with tabs, semicolons, commas or spaces between them. One column names an image, or several name the same.
    A sign that occurs in names of files is not a separator. With spaces, the other columns must not look like parts of
    a longer name: they are numbers, or they come after the name of an image with its suffix. Empty lines, and lines
    that start with ``#`` and name no image, are skipped.

    Args:
        option: The option, for messages.
        path: The file.
        argument: The command's name for the folder of images, for messages.
        known: The stems of its files, in the composed form of Unicode.
        beside: The stems of other files that belong to them.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: The file is not text, names no image, or a line names no image or several.
    """
    reader = _LineReader(known, beside)
    stems: list[str] = []
    unknown: list[tuple[int, str]] = []
    absent = 0
    for number, line in enumerate(composed(read_text(option, path)).splitlines(), 1):
        text = line.strip()
        if not text:
            continue
        found = reader.stems(line)
        if len(found) > 1:
            raise ValueError(
                f"{option} must name one image in each line, got {len(found)}, {' and '.join(sorted(found)[:3])}, in "
                f"line {number} of {path}: {text[:_SHOWN]}"
            )
        if found:
            stems += found
            absent += _ABSENT.fullmatch(text) is not None and text not in known
        elif not text.startswith("#"):
            unknown.append((number, text))
    if unknown:
        raise ValueError(f"{option} must name images in {argument}, got {_describe(unknown, path, reader)}")
    if not stems:
        raise ValueError(f"{option} must name images in {argument}, got no name in {path}")
    warnings = []
    repeated = [stem for stem, count in Counter(stems).items() if count > 1]
    if repeated:
        names = ", ".join(repeated[:3])
        warnings.append(
            f"{option} names images more than once, {len(repeated)} of them, such as {names}: each counts once"
        )
    if absent:
        warnings.append(
            f"{option} has lines that end in -1, {absent} of them, which says in PASCAL VOC's lists of one class that "
            "the class is absent: columns are not read, and these images are measured too"
        )
    return ImageList(sorted(set(stems)), warnings)


class _LineReader:
    def __init__(self, known: Collection[str], beside: Collection[str]) -> None:
        self.known = known
        self.separators = [sign for sign in "\t;, " if not any(sign in name for name in (*known, *beside))]

    def stems(self, line: str) -> set[str]:
        """The images that a line names."""
        whole = self._named(line) or self._named(line.strip())
        if line.strip().startswith("#") or (whole and not re.search(r"[/\\]", line)):
            return whole
        # A line with slashes may be columns: the paths of an image and of another file.
        for separator in self.separators:
            columns = [part.strip() for part in line.strip().split(None if separator == " " else separator)]
            named = {column: stems for column in columns if (stems := self._named(column))}
            spaced = separator == " " or f"{separator} " in line
            if len(columns) > 1 and named and (not spaced or _are_columns(columns, named)):
                return whole.union(*named.values())
        return whole

    def _named(self, text: str) -> set[str]:
        """The images that a name or path may mean, with and without its suffix."""
        if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
            text = text[1:-1]
        name = text.rsplit("/", 1)[-1]
        return self._with_or_without_suffix(name) or self._with_or_without_suffix(name.rsplit("\\", 1)[-1])

    def _with_or_without_suffix(self, name: str) -> set[str]:
        forms = {name, Path(name).stem} if _has_suffix(name) else {name}
        return {form for form in forms if form in self.known}


def _has_suffix(name: str) -> bool:
    return name.lower().endswith(_SUFFIXES)


def _are_columns(columns: list[str], named: dict[str, set[str]]) -> bool:
    """Whether words with spaces between them are columns, and not parts of one unknown name."""
    place = next(place for place, column in enumerate(columns) if column in named)
    ends = _has_suffix(columns[place])  # after a name with its suffix, anything may follow
    return all(
        column in named or _NUMBER.fullmatch(column) or (ends and _has_suffix(column))
        for column in (columns[:place] if ends else columns)
    )


def _describe(unknown: list[tuple[int, str]], path: Path, reader: _LineReader) -> str:
    number, text = unknown[0]
    said = f"{text[:_SHOWN]} in line {number} of {path}"
    if len(unknown) > 1:
        said += f", and {len(unknown) - 1} more lines"
    name = re.split(r"[/\\]", text)[-1]
    near = nearest_names(Path(name).stem if _has_suffix(name) else name, reader.known)
    if near:
        said += f"; the nearest are {', '.join(near)}"
    if " " in text and " " not in reader.separators:
        said += "; names of files hold spaces, so columns must be separated by tabs"
    return said
