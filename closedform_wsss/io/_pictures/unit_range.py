"""Values of any range as [0, 1], the range of images for the losses and solvers."""

from __future__ import annotations

import math
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from closedform_wsss._checks import check_interval

_FN = "to_unit_range"
# float32 would round values of these types before the window is subtracted.
_WIDE = ("int32", "int64", "uint32", "uint64", "float64")

Values = TypeVar("Values", Tensor, npt.NDArray[Any])


def to_unit_range(
    x: Values, *, window: tuple[float, float] | None = None, percentiles: tuple[float, float] | None = None
) -> Values:
    """Maps a window of values to [0, 1] and clips the values outside.

    For images with other ranges: computed tomography, 12-bit microscopes, depth maps. Exactly one of ``window`` and
    ``percentiles`` says which values become 0 and 1. For data of one kind, such as a data set of CT slices, a window is
    better, because it is the same for all of them.

    Args:
        x: Numbers of any type and shape, a tensor or an array.
        window: ``(low, high)`` in the unit of the data, low below high. ``(-160, 240)`` Hounsfield units show soft
            tissue, ``(-1350, 150)`` lungs.
        percentiles: ``(low, high)`` in 0 to 100, low below high. They are taken over all values of ``x`` together. To
            give each image its own range, call the function once for each image.

    Returns:
        A tensor if ``x`` is a tensor, else an array, of the same shape; float64 if ``x`` is float64, else float32.
        If both percentiles have the same value: 1 above it and 0 elsewhere, so constant data become 0.

    Raises:
        TypeError: ``x`` is not a tensor or an array of real numbers.
        ValueError: Both options are given, or none, or one is out of range; ``x`` has NaN values; with ``percentiles``,
            ``x`` is empty or a percentile is infinite.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from closedform_wsss.io import to_unit_range
        >>> hounsfield = torch.tensor([[-1000.0, -160.0, 40.0, 240.0, 3000.0]])
        >>> to_unit_range(hounsfield, window=(-160, 240))
        tensor([[0.0000, 0.0000, 0.5000, 1.0000, 1.0000]])
        >>> to_unit_range(np.arange(5, dtype=np.uint16), percentiles=(0, 100)).tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if isinstance(x, np.ndarray):
        if x.dtype.kind not in "biuf":
            raise TypeError(f"{_FN}: x must be real numbers, got {x.dtype}")
        # torch accepts only the byte order of the machine.
        native = x.astype(x.dtype.newbyteorder("="))
        kind = np.float64 if native.dtype == np.float64 else np.float32
        wide = native.astype(np.float64 if native.dtype.name in _WIDE else np.float32)
        scaled = _scaled(torch.from_numpy(wide), window, percentiles).numpy().astype(kind)
        return cast("Values", scaled)
    if not isinstance(x, Tensor):
        raise TypeError(f"{_FN}: x must be a tensor or an array, got {type(x).__name__}")
    if x.is_complex():
        raise TypeError(f"{_FN}: x must be real numbers, got {x.dtype}")
    name = str(x.dtype).removeprefix("torch.")
    values = x.to(torch.float64 if name in _WIDE else torch.float32)
    return _scaled(values, window, percentiles).to(torch.float64 if x.dtype == torch.float64 else torch.float32)


def _scaled(values: Tensor, window: tuple[float, float] | None, percentiles: tuple[float, float] | None) -> Tensor:
    if (window is None) == (percentiles is None):
        raise ValueError(
            f"{_FN}: one of window and percentiles must be given, got {window} and {percentiles}: window=(low, "
            "high) in the data's unit, or percentiles=(1, 99)"
        )
    if bool(values.isnan().any()):
        raise ValueError(f"{_FN}: x must hold numbers, got NaN values: replace them, as by torch.nan_to_num")
    if window is not None:
        low, high = check_interval(_FN, "window", window)
    else:
        low, high = _percentiles(values, check_interval(_FN, "percentiles", percentiles, 0, 100))
    if low == high:
        return (values > high).to(values.dtype)
    return ((values - low) / (high - low)).clamp(0, 1)


def _percentiles(values: Tensor, percentiles: tuple[float, float]) -> tuple[float, float]:
    if values.numel() == 0:
        raise ValueError(f"{_FN}: x must hold values to take percentiles of, got shape {tuple(values.shape)}")
    # By NumPy, because torch.quantile takes at most 16 million values.
    with np.errstate(invalid="ignore"):  # between infinite values
        low, high = np.percentile(values.detach().cpu().resolve_neg().numpy(), percentiles)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{_FN}: percentiles must be those of finite values, got {low} and {high}: pass a window")
    return float(low), float(high)
