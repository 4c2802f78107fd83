"""Two folders of files that belong together by their names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from closedform_wsss.cli.common.folders import by_case, count_below, files_by_stem
from closedform_wsss.cli.common.image_list import read_image_list
from closedform_wsss.cli.common.progress import note


@dataclass(frozen=True)
class Inputs:
    """A folder on the command line.

    Attributes:
        argument: The name of the argument.
        folder: Its value.
        suffixes: Files with other suffixes are not read.
        content: What the files hold, in the plural.
        pattern: Of the names of the files, such as ``{stem}_cam.npy``. None: they are those of the images.
    """

    argument: str
    folder: Path
    suffixes: tuple[str, ...]
    content: str
    pattern: str | None = None

    def files(self) -> dict[str, Path]:
        """The files by the names of their images, without suffix."""
        return files_by_stem(self.argument, self.folder, self.suffixes, self.pattern)


@dataclass(frozen=True)
class Pairs:
    """Images with their other files, by name, sorted; and how many are alone on either side."""

    both: dict[str, tuple[Path, Path]]
    images_alone: int
    others_alone: int


def pairs_of(inputs: tuple[Inputs, Inputs], chosen: Path | None, results: Collection[Path]) -> Pairs:
    """The files of the images and of the other folder that have the same names, or are of the same case of nnU-Net.

    Args:
        inputs: The images, and the other files.
        chosen: A list of images, each of which must have its other file; the others are left out. None: all.
        results: The folders of results, which may be below the others.

    Raises:
        OSError: A folder or the list cannot be read.
        ValueError: The folders have no names in common, a listed image has no other file, or see ``files_by_stem`` and
            ``read_image_list``.
    """
    images, others = (source.files() for source in inputs)
    if chosen is None:
        known = (*(source.folder for source in inputs), *results)
        for source in inputs:
            folders, files = count_below(source.folder, source.suffixes, without=known)
            if files:
                note(
                    f"warning: {files} {source.content} in {folders} sub-folders of {source.argument} are left out: "
                    "sub-folders are not searched"
                )
    images = by_case(images, others)
    stems = sorted(images.keys() & others.keys())
    if not stems:
        raise ValueError(
            f"{inputs[0].argument} and {inputs[1].argument} must hold files of the same names, apart from the suffix, "
            f"got {next(iter(images.values())).name} and {next(iter(others.values())).name}"
            f"{_pattern_hint(inputs[1], images, others)}"
        )
    if chosen is None:
        return Pairs(
            {stem: (images[stem], others[stem]) for stem in stems}, len(images) - len(stems), len(others) - len(stems)
        )
    listed = read_image_list("--list", chosen, inputs[0].argument, images, others)
    for warning in listed.warnings:
        note(f"warning: {warning}")
    if absent := [stem for stem in listed.stems if stem not in others]:
        raise ValueError(
            f"{inputs[1].argument} must hold a file for each image of --list, got none for {len(absent)} of "
            f"{len(listed.stems)}, such as {absent[0]}"
        )
    return Pairs({stem: (images[stem], others[stem]) for stem in listed.stems}, 0, 0)


def _pattern_hint(source: Inputs, images: Mapping[str, Path], others: Mapping[str, Path]) -> str:
    """How to name files whose names are longer than those of their images."""
    if source.pattern is not None:
        return ""
    for stem in images:
        for longer, path in others.items():
            if stem in longer:
                pattern = f"{longer.replace(stem, '{stem}', 1)}{path.suffix}"
                return f": --pattern '{pattern}' says which image a file belongs to"
    return ""
