"""Refuses marks without unmarked pixels, and says what their values may mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from closedform_wsss._common import IGNORE_INDEX

_SHOWN = 6

Marks = npt.NDArray[np.uint8]


def check_unmarked_pixels(marks: Marks, path: Path) -> None:
    """Refuses marks of every pixel, because the result would be the marks themselves.

    Raises:
        ValueError: Names the labels, the number of pixels of each, and what they may mean.
    """
    if (marks == IGNORE_INDEX).any():
        return
    values, counts = np.unique(marks, return_counts=True)
    shown = [f"{value} ({count} pixels)" for value, count in zip(values, counts, strict=True)]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    raise ValueError(
        f"MARKS must leave pixels unmarked, {IGNORE_INDEX}, for the solver to fill, "
        f"got {', '.join(shown[:_SHOWN])}{more} in {path}: {_cure(marks, values, counts)}"
    )


def _cure(marks: Marks, values: Marks, counts: npt.NDArray[np.intp]) -> str:
    if len(values) < 3:
        return "a mask needs a band of unmarked pixels along its edge"
    frequent = int(values[counts.argmax()])
    unmarked = f"if {frequent} means unmarked, --unmarked {frequent}"
    if values.tolist() == [0, 1, 2] and not _touch(marks, 0, 2):
        return f"if this is a trimap of 0 background, 1 unknown and 2 foreground, --remap 0:0,1:255,2:1; {unmarked}"
    return f"{unmarked}; where every pixel has its label, there is nothing to solve"


def _touch(marks: Marks, one: int, other: int) -> bool:
    """Whether pixels of two labels are neighbours somewhere."""
    pairs = ((marks[1:], marks[:-1]), (marks[:, 1:], marks[:, :-1]))
    return any(bool((((a == one) & (b == other)) | ((a == other) & (b == one))).any()) for a, b in pairs)
