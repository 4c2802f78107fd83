"""Checks of numbers and options. Numbers of NumPy are accepted too."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor


def shown(value: Any) -> str:
    """In one line what an option got: of a tensor or an array the shape, not all of its values."""
    if isinstance(value, (np.ndarray, Tensor)):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    return repr(value)


def described(value: Any) -> str:
    """The same with its type."""
    return shown(value) if isinstance(value, (np.ndarray, Tensor)) else f"{type(value).__name__} {value!r}"


def check_option(fn: str, name: str, value: Any, options: Sequence[Any]) -> None:
    """One of a few values."""
    # Arrays are compared element by element.
    if isinstance(value, (np.ndarray, Tensor)) or value not in options:
        raise ValueError(f"{fn}: {name} must be one of {', '.join(map(repr, options))}, got {shown(value)}")


# Options of which float32 can still hold the square or the inverse.
MAX_NUMBER = 1e18


def _number(value: Any) -> float:
    """Infinity for an integer that is too large."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def check_positive(fn: str, name: str, value: Any) -> float:
    """A finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{fn}: {name} must be a number > 0, got {described(value)}")
    number = _number(value)
    if not 0 < number < math.inf:
        raise ValueError(f"{fn}: {name} must be a finite number > 0, got {value!r}")
    if not 1 / MAX_NUMBER <= number <= MAX_NUMBER:
        raise ValueError(f"{fn}: {name} must be from {1 / MAX_NUMBER:g} to {MAX_NUMBER:g}, got {value!r}")
    return number


def check_not_negative(fn: str, name: str, value: Any) -> float:
    """A finite number, zero or above."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{fn}: {name} must be a number >= 0, got {described(value)}")
    number = _number(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{fn}: {name} must be a finite number >= 0, got {value!r}")
    if number > MAX_NUMBER:
        raise ValueError(f"{fn}: {name} must be at most {MAX_NUMBER:g}, got {value!r}")
    return number


def check_integer(fn: str, name: str, value: Any) -> int:
    """An integer that a label can be: they are compared in int64."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{fn}: {name} must be an integer, got {described(value)}")
    if not -(2**63) <= int(value) < 2**63:
        raise ValueError(f"{fn}: {name} must be in the range of int64, got {value}")
    return int(value)


def check_count(fn: str, name: str, value: Any, minimum: int) -> int:
    """An integer that is not below the minimum."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{fn}: {name} must be an integer >= {minimum}, got {described(value)}")
    if int(value) < minimum:
        raise ValueError(f"{fn}: {name} must be an integer >= {minimum}, got {value!r}")
    return int(value)


def check_names(fn: str, name: str, value: Any) -> None:
    """A sequence of different texts, not one text, which is a sequence of letters."""
    is_sequence = isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str)
    if not is_sequence or not all(isinstance(text, str) for text in value):
        raise TypeError(f"{fn}: {name} must be a sequence of names, got {type(value).__name__} {value!r:.60}")
    if len(set(value)) < len(value):
        twice = next(str(text) for place, text in enumerate(value) if text in list(value)[:place])
        raise ValueError(f"{fn}: {name} must be different names, got {twice!r} more than once")


def check_probability(fn: str, name: str, value: Any) -> float:
    """A number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{fn}: {name} must be a number in [0, 1], got {described(value)}")
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{fn}: {name} must be a number in [0, 1], got {value!r}")
    return number


def check_interval(
    fn: str, name: str, value: Any, least: float = -math.inf, most: float = math.inf
) -> tuple[float, float]:
    """Two finite numbers in [least, most], the first below the second."""
    try:
        low, high = map(_number, value)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and least <= low < high <= most):
        within = f" in {least:g} to {most:g}" if math.isfinite(most) else ""
        raise ValueError(f"{fn}: {name} must be (low, high), finite{within}, low below high, got {shown(value)}")
    return low, high


def check_radius(fn: str, radius: Any, height: int, width: int) -> int:
    """A window of 2 radius + 1 pixels that fits into the image. Radius 1 always fits: windows shrink in tiny images."""
    radius = check_count(fn, "radius", radius, 1)
    if radius > 1 and 2 * radius + 1 > min(height, width):
        raise ValueError(
            f"{fn}: radius must leave a window of 2 * radius + 1 pixels inside the image, got radius {radius} "
            f"(window {2 * radius + 1}) for an image of {height} x {width}"
        )
    return radius
