"""The numbers of classes that have names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from closedform_wsss._common import IGNORE_INDEX

Classes: TypeAlias = Sequence[str] | Mapping[str, int]

IGNORED = "__ignore__"  # labelme's name of pixels without a class


def class_numbers(
    fn: str, classes: Classes | None, listed: Sequence[str] | None, used: Collection[str]
) -> dict[str, int]:
    """The number of each class, in ascending order.

    Args:
        fn: The public function, for messages.
        classes: Names in class order, or a number for each name.
        listed: The names of the file's own list.
        used: The names of the shapes that occur.

    Raises:
        TypeError: ``classes`` is of another type.
        ValueError: A name occurs twice, a number is out of range, or a shape has a name that has no number.
    """
    if classes is None:
        numbers = _numbered(fn, listed if listed is not None else sorted(used))
    elif isinstance(classes, Mapping):
        numbers = _checked(fn, classes)
    elif isinstance(classes, Sequence) and not isinstance(classes, str):
        numbers = _numbered(fn, classes)
    else:
        raise TypeError(f"{fn}: classes must be a list of names or a dictionary of numbers, got {classes!r:.80}")
    unknown = sorted(set(used) - numbers.keys() - {IGNORED})
    if unknown:
        raise ValueError(
            f"{fn}: classes must name every class that is drawn, got none for {listing(unknown)}; drawn are "
            f"{listing(sorted(used))}; the number {IGNORE_INDEX} leaves a class unmarked"
        )
    return {IGNORED: IGNORE_INDEX} | numbers if IGNORED in used and IGNORED not in numbers else numbers


def _numbered(fn: str, names: Sequence[str]) -> dict[str, int]:
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"{fn}: classes must be names, got {names!r:.80}")
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise ValueError(f"{fn}: classes must be different names, got {listing(twice)} more than once")
    kept = [name for name in names if name != IGNORED]
    if len(kept) > IGNORE_INDEX:
        raise ValueError(f"{fn}: classes must be at most {IGNORE_INDEX} names, got {len(kept)}")
    return {name: number for number, name in enumerate(kept)}


def _checked(fn: str, classes: Mapping[str, int]) -> dict[str, int]:
    for name, number in classes.items():
        if not isinstance(name, str) or not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"{fn}: classes must give names integers, got {name!r}: {number!r}")
        if not 0 <= number <= IGNORE_INDEX:
            raise ValueError(f"{fn}: classes must be in 0..{IGNORE_INDEX}, got {name!r}: {number}")
    return dict(sorted(classes.items(), key=lambda item: item[1]))


def is_background(name: str) -> bool:
    """Whether a name is one of the usual ones of the background, such as ``_background_``."""
    return name.strip(" _").lower() in ("background", "bg")


def listing(names: Collection[str]) -> str:
    """Names in quotes, at most 20 of them."""
    shown = ", ".join(repr(name) for name in list(names)[:20])
    return f"{shown}, ... ({len(names)})" if len(names) > 20 else shown
