"""Masks from run lengths, as CVAT and COCO store them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from closedform_wsss.io._annotations.shapes import BoolArray


def from_counts(counts: Sequence[object], height: int, width: int, *, columns_first: bool) -> BoolArray:
    """The mask ``(height, width)`` of run lengths, which start with the number of zeros.

    Args:
        counts: Numbers of zeros and ones in turn, of JSON or as text.
        height, width: The size of the mask.
        columns_first: The runs go down the columns (COCO) and not along the rows (CVAT).

    Raises:
        ValueError: The runs are no whole numbers, or do not fill the mask.
    """
    numbers = [_run(count) for count in counts]
    if min(numbers, default=0) < 0:
        raise ValueError(f"the runs of a mask must not be negative, got {min(numbers)}")
    if sum(numbers) != height * width:
        raise ValueError(
            f"the runs of a mask must fill its {width} x {height} = {width * height} pixels, got {sum(numbers)}"
        )
    runs = np.array(numbers, np.int64)
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(width, height).T if columns_first else flat.reshape(height, width)


def _run(count: object) -> int:
    try:
        if isinstance(count, str) or (isinstance(count, (int, float)) and count == int(count)):
            return int(count)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"the runs of a mask must be whole numbers, got {count!r:.60}")


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
