"""Folders of files that belong together by their names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
CAM_SUFFIXES = (".npy", ".npz")
LABEL_SUFFIXES = (".png",)


def files_by_stem(argument: str, folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The files with one of the suffixes, by their names without it, sorted.

    Args:
        argument: The command's name for the folder, for messages.
        folder: Looked into, but not below.
        suffixes: In lower case; files may write them in capitals.

    Raises:
        OSError: The folder is missing, is a file, or may not be read.
        ValueError: It holds no such file, or two with one stem.
    """
    present = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    found: dict[str, Path] = {}
    for path in present:
        if path.suffix.lower() not in suffixes:
            continue
        if path.stem in found:
            raise ValueError(
                f"{argument} must hold one file for each image, got {found[path.stem].name} and {path.name} in {folder}"
            )
        found[path.stem] = path
    if not found:
        counts = Counter(path.suffix.lower() or "without suffix" for path in present)
        other = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(3)) or "no file at all"
        raise ValueError(f"{argument} must be a folder of files {', '.join(suffixes)}, got {other} in {folder}")
    return found
