"""Grey samples of more than 8 bits, or of any range, as 8 bits; checks of channels that were cut to 8 bits."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from closedform_wsss._warn import warn_user
from closedform_wsss.io._pictures.open import Opened
from closedform_wsss.io._types import UInt8Array
from closedform_wsss.io._warnings import ValueRangeWarning

Window: TypeAlias = tuple[float, float]

_CURE = (
    ": pass window=(low, high), the values of black and white, the same for all files (--window on the command line)"
)
_DIM, _USELESS = 128, 16  # with upper bytes below 128 half of the grey levels are lost, below 16 nearly all


def grey_as_bytes(opened: Opened, window: Window | None, *, warns: bool = True) -> UInt8Array:
    """The samples of a grey file as uint8 ``(H, W)``.

    ``window`` becomes 0 and 255. Without it 0 is black. White is the value that the format states, or, for 16 bits, the
    largest number with as many bits as are in use.

    Args:
        opened: A grey file.
        window: The values of black and white.
        warns: Whether to warn if fewer than 16 bits are in use.

    Raises:
        ValueError: The file holds NaN values, or values outside 16 bits and no window is given.
    """
    values = opened.samples()
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise ValueError(f"{opened.caller}: path must hold numbers, got NaN values in {opened.path!r}")
    if window is not None:
        low, high = window
        if opened.white_is_zero and not opened.is_deep and opened.white:
            values = opened.white - values  # as stored: Pillow has inverted them
        fraction = (values.astype(np.float64) - low) / (high - low)
        grey = np.rint(fraction.clip(0, 1) * 255).astype(np.uint8)
    else:
        white = opened.white or _assumed_white(opened, values, warns)
        grey = ((values.astype(np.int64) * 510 + white) // (2 * white)).clip(0, 255).astype(np.uint8)
    # Without a window Pillow has inverted values of up to 8 bits already.
    return 255 - grey if opened.white_is_zero and (opened.is_deep or window is not None) else grey


def check_wide_color(opened: Opened, colors: UInt8Array) -> None:
    """Warns of, or refuses, colour of 16 bits a channel with small values: Pillow gives the upper 8 bits only."""
    top = int(colors.max(initial=0))
    if not opened.wide_color or colors.size == 0 or top >= _DIM:
        return
    what = f"the upper 8 of 16 bits a channel, which are 0 to {top} of 255"
    if top < _USELESS:
        raise ValueError(
            f"{opened.caller}: path must hold colours that use all of their 16 bits, got {what}, "
            f"in {opened.path!r}: store 8 bits a channel, or spread the values over all 16"
        )
    warn_user(
        f"{opened.caller}: only {what}, were read from {opened.path!r}, so grey levels are lost: store 8 bits a "
        "channel, or spread the values over all 16",
        ValueRangeWarning,
    )


def _assumed_white(opened: Opened, values: npt.NDArray[Any], warns: bool) -> int:
    cure = _CURE if warns else ""  # callers without warnings have no window option either
    if values.dtype.kind == "f":
        raise ValueError(
            f"{opened.caller}: path must hold 8 or 16 bits per channel, got floating point{_range(values)} in "
            f"{opened.path!r}{cure}"
        )
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high > 65535 or opened.signed:
        raise ValueError(
            f"{opened.caller}: path must hold 8 or 16 bits per channel without a sign, got values from {low} to "
            f"{high} in {opened.path!r}{cure}"
        )
    bits = max(high.bit_length(), 8)
    if bits < 16 and high and warns:
        warn_user(
            f"{opened.caller}: {opened.path!r} holds 16 bits a pixel, but values of {values.min()} to {high}; "
            f"{bits} bits were assumed, with {(1 << bits) - 1} as white{cure}",
            ValueRangeWarning,
        )
    return (1 << bits) - 1


def _range(values: npt.NDArray[Any]) -> str:
    return f" values from {values.min():.6g} to {values.max():.6g}" if values.size else ""
