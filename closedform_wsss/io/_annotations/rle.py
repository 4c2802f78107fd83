"""Masks from run lengths, as CVAT and COCO store them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from closedform_wsss.io._annotations.shapes import BoolArray


def from_counts(counts: Sequence[int], height: int, width: int, *, columns_first: bool) -> BoolArray:
    """The mask ``(height, width)`` of run lengths, which start with the number of zeros.

    Args:
        counts: Numbers of zeros and ones in turn.
        height, width: The size of the mask.
        columns_first: The runs go down the columns (COCO) and not along the rows (CVAT).

    Raises:
        ValueError: The runs do not fill the mask.
    """
    runs = np.asarray(counts, np.int64)
    if (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(
            f"the runs of a mask must fill its {width} x {height} = {width * height} pixels, got {runs.sum()}"
        )
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(width, height).T if columns_first else flat.reshape(height, width)


def counts_of_string(text: str) -> list[int]:
    """The run lengths of COCO's compressed string.

    Each count is a signed number in groups of 5 bits, the lowest first. A group is a character from ``0`` on; 32 is
    added if another group follows. From the fourth count on, the difference to the count two places before is stored.

    Raises:
        ValueError: A character is out of range, or the last number has no end.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise ValueError(f"the string of a mask must have characters from '0' to 'o', got {character!r}")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the string of a mask must end with a whole number, got a part of one: is the file complete?")
    return counts
