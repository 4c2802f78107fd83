"""Reasons why the scores of ``eval`` mean less than they seem to."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.cli.eval.counts import EvalOptions, Total

_MANY = 0.5  # fraction of the pixels
_MAX_LEVELS = 9  # more grey levels would be less than 32 apart
_SHOWN = 5


def check_class_numbers(options: EvalOptions, total: Total) -> None:
    """Refuses GT with grey levels, evenly spaced from 0 to 255, in place of class numbers.

    The 255 of such masks would be ignored, so every prediction would be right for a mask of 0 and 255.

    Raises:
        ValueError: GT holds such levels, and no ``--remap`` is given.
    """
    labels, _ = _labels(options, total, skipped=True)
    levels = sorted([*labels, *[options.ignore_index] * (total.ignored > 0)])
    if options.remap is not None or not 2 <= len(levels) <= _MAX_LEVELS or (levels[0], levels[-1]) != (0, 255):
        return
    if np.abs(np.linspace(0, 255, len(levels)) - levels).max() > 1:
        return
    pairs = ",".join(f"{level}:{number}" for number, level in enumerate(levels) if number)
    raise ValueError(
        f"GT must hold class numbers, got the grey levels {', '.join(map(str, levels))}, of which 255 is ignored: "
        f"--remap {pairs} makes them classes; if 255 is to be ignored, say so by --remap 255:255"
    )


def input_warnings(
    options: EvalOptions, total: Total, names: list[str] | None, wrong: Collection[int] = ()
) -> list[str]:
    """The warnings, one line each. ``wrong`` are the classes that count in PRED and never occur in GT."""
    return [*_of_ignored(options, total), *_of_classes(options, total, names, wrong), *_of_masks(options, total)]


def _of_ignored(options: EvalOptions, total: Total) -> list[str]:
    found = []
    fraction = total.ignored / (total.ignored + total.counted)
    if fraction > _MANY:
        cure = "; if 255 is a class there, --remap 255:1" if options.ignore_index == 255 and not options.remap else ""
        found.append(f"{fraction:.1%} of the pixels of GT are ignored (--ignore-index {options.ignore_index}){cure}")
    if total.void:
        files = ", ".join(path.name for path in total.void[:_SHOWN])
        found.append(f"images in which no pixel counts: {files}{_more(total.void)}")
    return found


def _of_classes(options: EvalOptions, total: Total, names: list[str] | None, wrong: Collection[int]) -> list[str]:
    def called(label: int) -> str:
        return str(label) if names is None else f"{label} {names[label]}"

    labels, _ = _labels(options, total)
    if len(labels) == 1:
        return [f"class {called(labels[0])} alone occurs in GT: no score says how well other classes are found"]
    if options.num_classes is None:
        if not wrong:
            return []
        found = sorted(wrong)
        return [
            f"classes that never occur in GT: {', '.join(map(called, found[:_SHOWN]))}{_more(found)}; PRED has them, "
            "so each counts as 0 in the mean IoU"
        ]
    absent = [label for label in range(options.num_classes) if label not in labels]
    if not absent:
        return []
    return [
        f"classes that never occur in GT: {', '.join(map(called, absent[:_SHOWN]))}{_more(absent)}; one that PRED has "
        "counts as 0 in the mean IoU, others are left out"
    ]


def _of_masks(options: EvalOptions, total: Total) -> list[str]:
    _, guessed = _labels(options, total, skipped=True)
    if options.thresholds is not None or options.remap is not None or guessed != [0, IGNORE_INDEX]:
        return []
    return ["PRED holds 0 and 255 only, and 255 is taken as unlabelled: if it is a class, --remap 255:1"]


def _labels(options: EvalOptions, total: Total, *, skipped: bool = False) -> tuple[list[int], list[int]]:
    """The labels that count in GT and in PRED; with ``skipped`` also those of unlabelled pixels."""
    pairs: npt.NDArray[np.bool_] = np.any([half.any(axis=2) for half in total.halves], axis=0)
    if options.unlabelled == "skip" and not skipped:
        pairs[:, IGNORE_INDEX] = False
    return np.flatnonzero(pairs.any(axis=1)).tolist(), np.flatnonzero(pairs.any(axis=0)).tolist()


def _more(found: list[int] | list[Path]) -> str:
    return f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
