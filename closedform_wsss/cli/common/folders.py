"""Folders of files that belong together by their names."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
CAM_SUFFIXES = (".npy", ".npz")
LABEL_SUFFIXES = (".png",)


def files_by_stem(argument: str, folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The files with one of the suffixes, by their names without it, sorted.

    The names are in Unicode's composed form: macOS writes accents as characters of their own, other systems do not, and
    one name must not become two. Links that lead nowhere are among the files, so that reading them fails.

    Args:
        argument: The command's name for the folder, for messages.
        folder: Looked into, but not below.
        suffixes: In lower case; files may write them in capitals.

    Raises:
        OSError: The folder is missing, is a file, or may not be read.
        ValueError: It holds no such file, or two with one stem.
    """
    present = _files(folder)
    found: dict[str, Path] = {}
    for path in present:
        if path.suffix.lower() not in suffixes:
            continue
        stem = composed(path.stem)
        if stem in found:
            raise ValueError(
                f"{argument} must hold one file for each image, got {found[stem].name} and {path.name} in {folder}"
            )
        found[stem] = path
    if not found:
        counts = Counter(path.suffix.lower() or "without suffix" for path in present)
        other = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(3)) or "no file at all"
        cure = _cure(folder, suffixes, counts)
        raise ValueError(f"{argument} must be a folder of files {', '.join(suffixes)}, got {other} in {folder}{cure}")
    return dict(sorted(found.items()))


def files_below(folder: Path, suffixes: tuple[str, ...]) -> tuple[int, int]:
    """How many sub-folders, at any depth, hold files with one of the suffixes, and how many files these are."""
    folders = files = 0
    for where, below, names in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        fitting = sum(Path(name).suffix.lower() in suffixes for name in names if not name.startswith("."))
        if fitting and Path(where) != folder:
            folders, files = folders + 1, files + fitting
    return folders, files


def files_of_other_formats(folder: Path, suffixes: tuple[str, ...]) -> dict[str, int]:
    """How many image files have which suffix that is not among these."""
    others = Counter(path.suffix.lower() for path in _files(folder))
    return {suffix: others[suffix] for suffix in (*IMAGE_SUFFIXES, ".gif") if others[suffix] and suffix not in suffixes}


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """Up to three names that may have been meant: with more or less before or behind, in another case, or alike."""
    names = list(known)
    part = [other for other in names if _is_part(name.lower(), other.lower()) or _is_part(other.lower(), name.lower())]
    ranked = [*sorted(part, key=lambda other: abs(len(other) - len(name))), *get_close_matches(name, names)]
    return list(dict.fromkeys(ranked))[:3]


def composed(text: str) -> str:
    """Text in the form in which names are compared."""
    return unicodedata.normalize("NFC", text)


def _is_part(short: str, long: str) -> bool:
    return long.startswith(short) or long.endswith(short)


def _files(folder: Path) -> list[Path]:
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in visible if path.is_file() or (path.is_symlink() and not path.exists()))


def _cure(folder: Path, suffixes: tuple[str, ...], present: Counter[str]) -> str:
    folders, files = files_below(folder, suffixes)
    if files:
        return (
            f": sub-folders are not looked into ({files} such files in {folders}); pass one of them, or bring the "
            "files or links to them together in one folder"
        )
    # Only folders of label maps take one image format and not another.
    if ".png" in suffixes and ".jpg" not in suffixes and any(present[suffix] for suffix in (*IMAGE_SUFFIXES, ".gif")):
        lossy = ", from the labels, since JPEG alters them" if present[".jpg"] or present[".jpeg"] else ""
        return f": labels are read from PNG files, so export them as PNG{lossy}"
    return ""
