"""Checks of what is drawn: items with classes, for an image of a size."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Iterator
from typing import Any

from closedform_wsss._common import IGNORE_INDEX


def checked_shape(fn: str, shape: Any) -> tuple[int, int]:
    """``(H, W)`` of marks, which may be empty."""
    try:
        height, width = shape
    except (TypeError, ValueError):
        raise ValueError(f"{fn}: shape must be (H, W), got {shape!r}") from None
    if not (isinstance(height, numbers.Integral) and isinstance(width, numbers.Integral)):
        raise TypeError(f"{fn}: shape must be (H, W), integers, got {shape!r}")
    if height < 0 or width < 0:
        raise ValueError(f"{fn}: shape must be (H, W), got {shape!r}")
    return int(height), int(width)


def with_classes(fn: str, name: str, items: Any, wanted: str) -> Iterator[tuple[str, list[Any], int]]:
    """How messages name each item, what it has before its class, and its class.

    Args:
        fn: The public function.
        name: The argument.
        items: Its value.
        wanted: What an item is: "(points, class)".
    """
    if not isinstance(items, Iterable):
        raise TypeError(f"{fn}: {name} must hold {wanted} for each, got {type(items).__name__}")
    for index, item in enumerate(items):
        parts = list(item) if isinstance(item, Iterable) and not isinstance(item, str) else []
        if len(parts) != wanted.count(",") + 1:
            raise ValueError(f"{fn}: {name}[{index}] must be {wanted}, got {item!r:.80}")
        *before, label = parts
        if not _is_class(label):
            raise ValueError(f"{fn}: {name}[{index}] must have a class in 0..{IGNORE_INDEX - 1}, got {label!r}")
        yield f"{name}[{index}]", before, int(label)


def _is_class(label: Any) -> bool:
    return isinstance(label, numbers.Real) and 0 <= float(label) < IGNORE_INDEX and float(label).is_integer()
