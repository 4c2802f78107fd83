"""Folders of files that belong together by their names."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from closedform_wsss.cli.common.pattern import name_of_image, stem_pattern
from closedform_wsss.cli.common.walk import walk

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, ".gif", ".jp2", ".avif", ".jfif", ".heic")  # those of names, too
CAM_SUFFIXES = (".npy", ".npz", ".pt", ".pth")
LABEL_SUFFIXES = (".png",)
CHANNEL = "_0000"  # nnU-Net puts it after the name of a case, in the name of its first image


def files_by_stem(
    argument: str, folder: Path, suffixes: tuple[str, ...], pattern: str | None = None
) -> dict[str, Path]:
    """The files with one of the suffixes, by their names without it, sorted.

    The names are in the composed form of Unicode, because macOS writes accents as separate characters and other systems
    do not. Broken links count as files, so that reading them fails with their name.

    Args:
        argument: The command's name for the folder, for messages.
        folder: Its sub-folders are not searched.
        suffixes: In lower case; the suffixes of files may be in capitals.
        pattern: Such as ``{stem}_cam.npy``: other files are left out, and the names are what stands for the stem.

    Raises:
        OSError: The folder is missing, is a file, or may not be read.
        ValueError: It holds no such file, or two with the same stem.
    """
    present = _files(folder)
    names = None if pattern is None else stem_pattern(pattern)
    found: dict[str, Path] = {}
    for path in present:
        if path.suffix.lower() not in suffixes:
            continue
        name = composed(path.stem) if names is None else name_of_image(composed(path.name), names)
        if name is None:
            continue
        stem = name
        if stem in found:
            raise ValueError(
                f"{argument} must hold one file for each image, got {found[stem].name} and {path.name} in {folder}"
            )
        found[stem] = path
    if not found and pattern is not None and present:
        like = next((path for path in present if path.suffix.lower() in suffixes), present[0])
        raise ValueError(f"--pattern must fit files in {argument}, got {pattern} for {like.name} in {folder}")
    if not found:
        counts = Counter(path.suffix.lower() or "without suffix" for path in present)
        other = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(3)) or "no file at all"
        cure = _cure(argument, folder, suffixes, counts)
        raise ValueError(f"{argument} must be a folder of files {', '.join(suffixes)}, got {other} in {folder}{cure}")
    return dict(sorted(found.items()))


def check_apart(results: Iterable[Path], inputs: Mapping[str, Path | None]) -> None:
    """Refuses inputs that are in a folder for results: ``--overwrite`` would delete them before they are read.

    Args:
        results: The folders for results.
        inputs: A file or a folder by the name of its argument; None counts for nothing.

    Raises:
        ValueError: One is such a folder, or inside of it.
    """
    for folder in results:
        for argument, path in inputs.items():
            if path is not None and folder.resolve() in (path.resolve(), *path.resolve().parents):
                raise ValueError(
                    f"-o must not make the folder of {argument} one for results, got {folder}: choose another folder"
                )


def count_below(folder: Path, suffixes: tuple[str, ...], without: Collection[Path] = ()) -> tuple[int, int]:
    """The number of sub-folders, at any depth, with files that have one of the suffixes, and of these files.

    The sub-folders ``without``, and what is below them, do not count.
    """
    left_out = {path.resolve() for path in without}
    folders = files = 0
    for where, below, names in walk(folder):
        below[:] = [name for name in below if (where / name).resolve() not in left_out]
        fitting = sum(Path(name).suffix.lower() in suffixes for name in names)
        if fitting and where != folder:
            folders, files = folders + 1, files + fitting
    return folders, files


def files_of_other_formats(folder: Path, suffixes: tuple[str, ...]) -> dict[str, int]:
    """The number of image files with each suffix that is not among these."""
    others = Counter(path.suffix.lower() for path in _files(folder))
    return {suffix: others[suffix] for suffix in PICTURE_SUFFIXES if others[suffix] and suffix not in suffixes}


def by_case(files: dict[str, Path], others: Mapping[str, Path]) -> dict[str, Path]:
    """The files by the names of nnU-Net's cases, ``a`` for ``a_0000.png``, if only so they have names of the others."""
    cases = {stem.removesuffix(CHANNEL): path for stem, path in files.items() if stem.endswith(CHANNEL)}
    return cases if cases.keys() & others.keys() and not files.keys() & others.keys() else files


def file_of(argument: str, files: Mapping[str, Path], stem: str, cure: str) -> Path:
    """The file of an image, by its name or that of its case of nnU-Net.

    Raises:
        ValueError: There is none; the message ends with the cure.
    """
    case = stem.removesuffix(CHANNEL)
    for name in (stem, case, f"{case}{CHANNEL}"):
        if name in files:
            return files[name]
    near = ", ".join(nearest_names(stem, files))
    raise ValueError(
        f"{argument} must hold a file for every image, got none for {stem}{f' (it has {near})' if near else ''}; {cure}"
    )


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """Up to three similar names: longer or shorter at one end, in another case, or with a few other letters."""
    names = list(known)
    part = [other for other in names if _is_part(name.lower(), other.lower()) or _is_part(other.lower(), name.lower())]
    ranked = [*sorted(part, key=lambda other: abs(len(other) - len(name))), *get_close_matches(name, names)]
    return list(dict.fromkeys(ranked))[:3]


def composed(text: str) -> str:
    """Text in the composed form, in which names are compared."""
    return unicodedata.normalize("NFC", text)


def _is_part(short: str, long: str) -> bool:
    return long.startswith(short) or long.endswith(short)


def _files(folder: Path) -> list[Path]:
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in visible if path.is_file() or (path.is_symlink() and not path.exists()))


def _cure(argument: str, folder: Path, suffixes: tuple[str, ...], present: Counter[str]) -> str:
    folders, files = count_below(folder, suffixes)
    if files:
        return (
            f": sub-folders are not searched ({files} such files in {folders}); pass one of them, or collect the "
            "files or links to them in one folder"
        )
    if argument.strip("-").lower() == "marks" and (present[".json"] or present[".xml"]):
        return ": closedform-wsss marks turns files of annotation tools into label maps"
    # Only folders of label maps accept one image format and not the others.
    if ".png" in suffixes and ".jpg" not in suffixes and any(present[suffix] for suffix in PICTURE_SUFFIXES):
        lossy = ", from the labels, because JPEG alters them" if present[".jpg"] or present[".jpeg"] else ""
        return f": labels are read from PNG files, so export them as PNG{lossy}"
    return ""
