"""The option that gives the stored values of label maps their class numbers."""

from __future__ import annotations

import argparse

_VOID = 255
_REDUCE_ZERO = "reduce_zero"


def remap(text: str) -> dict[int, int]:
    """An argument such as ``0:0,255:1``: the new value of each stored one that is named.

    ``reduce_zero`` is short for what data sets such as ADE20K need, whose 0 means unlabelled: 0 becomes 255, and 1 to
    254 become one less.
    """
    if text == _REDUCE_ZERO:
        return {0: _VOID, **{value: value - 1 for value in range(1, _VOID)}}
    mapping: dict[int, int] = {}
    for pair in text.split(","):
        stored, colon, value = pair.partition(":")
        numbers = [part.strip() for part in (stored, value)]
        if not colon or not all(part.isascii() and part.isdigit() and int(part) <= 255 for part in numbers):
            raise argparse.ArgumentTypeError(
                f"must be pairs of values from 0 to 255, such as 0:0,255:1, or {_REDUCE_ZERO}, got {text!r}"
            )
        if int(stored) in mapping:
            raise argparse.ArgumentTypeError(f"must name each value once, got {int(stored)} twice in {text!r}")
        mapping[int(stored)] = int(value)
    return mapping
