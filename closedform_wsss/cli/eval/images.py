"""The images that ``eval`` measures, and their predictions."""

from __future__ import annotations

from pathlib import Path

from closedform_wsss.cli.common.folders import (
    CAM_SUFFIXES,
    LABEL_SUFFIXES,
    by_case,
    count_below,
    files_by_stem,
    files_of_other_formats,
    nearest_names,
)
from closedform_wsss.cli.common.image_list import ImageList, read_image_list

_PREDICTIONS = (*LABEL_SUFFIXES, *CAM_SUFFIXES)


def find_predictions(
    folder: Path, pattern: str | None, truths: dict[str, Path], *, arrays: bool
) -> tuple[dict[str, Path], bool]:
    """The files of predictions, and whether they are arrays. With ``arrays`` label maps beside arrays are not read, as
    nnU-Net writes both."""
    present = {path.suffix.lower() for path in folder.iterdir() if not path.name.startswith(".")}
    is_mixed = not present.isdisjoint(CAM_SUFFIXES) and not present.isdisjoint(LABEL_SUFFIXES)
    if is_mixed and not arrays and pattern is None:
        raise ValueError(
            f"PRED must hold label maps or arrays, got both in {folder}: --probabilities measures the arrays, "
            "--pattern '{stem}.png' the label maps"
        )
    found = files_by_stem("PRED", folder, CAM_SUFFIXES if is_mixed and arrays else _PREDICTIONS, pattern)
    kinds = {path.suffix.lower() in CAM_SUFFIXES for path in found.values()}
    if len(kinds) > 1:
        raise ValueError(f"PRED must hold label maps or arrays, got both in {folder}")
    return by_case(found, truths), kinds.pop()


def chosen_images(folder: Path, truths: dict[str, Path], predictions: dict[str, Path], names: Path | None) -> ImageList:
    """The images of GT, ``folder``, that a list names; without a list all, with warnings of files that are not read."""
    if names is not None:
        return read_image_list("--list", names, "GT", truths, predictions)
    warnings = []
    folders, files = count_below(folder, LABEL_SUFFIXES)
    if files:
        warnings.append(f"files .png in sub-folders of GT are not measured: {files} in {folders}")
    others = [f"{count} {suffix}" for suffix, count in files_of_other_formats(folder, LABEL_SUFFIXES).items()]
    if others:
        warnings.append(
            f"files of other formats in GT are not measured: {', '.join(others)}; labels are read from .png"
        )
    return ImageList(list(truths), warnings)


def check_pairs(
    stems: list[str], predictions: dict[str, Path], truths: dict[str, Path], *, folder: Path, allow_missing: bool
) -> list[str]:
    """The images without a prediction in ``folder``.

    Raises:
        ValueError: Some are missing without ``allow_missing``, all are missing, or a file would be measured against
            itself.
    """
    missing = [stem for stem in stems if stem not in predictions]
    if len(missing) == len(stems) or (missing and not allow_missing):
        near = ", ".join(nearest_names(missing[0], predictions))
        folders, files = count_below(folder, _PREDICTIONS)
        below = f"; sub-folders of PRED are not searched ({files} files in {folders})" if files else ""
        raise ValueError(
            f"PRED must hold a file for every image, got none for {len(missing)} of {len(stems)}, such as "
            f"{missing[0]}{f' (PRED has {near})' if near else ''}; --list names the images to measure, --allow-missing "
            f"leaves these out{below}"
        )
    same = [stem for stem in stems if stem in predictions and _same_file(predictions[stem], truths[stem])]
    if same:
        raise ValueError(
            f"PRED must hold other files than GT, got the same file for {len(same)} of {len(stems)} images, such as "
            f"{predictions[same[0]]}: the mean IoU of a file against itself is 1"
        )
    return missing


def _same_file(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)
