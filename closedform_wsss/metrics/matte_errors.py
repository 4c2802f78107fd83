"""Errors of alpha mattes: the four measures of the alpha matting benchmark.

All four compare a matte with the true one over the unknown region of a trimap, as defined in Rhemann, Rother, Wang,
Gelautz, Kohli and Rott, "A Perceptually Motivated Online Benchmark for Image Matting", CVPR 2009. The results are not
scaled. Papers often print the sums (SAD, gradient, connectivity) divided by 1000 and the mean squared error times 1000.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from torch import Tensor

from closedform_wsss._arrays import as_array

_Matte: TypeAlias = npt.NDArray[np.floating]
_Mask: TypeAlias = npt.NDArray[np.bool_]

_SIGMA = 1.4
_STEPS = 10  # thresholds 0.1, 0.2, ..., 1
_THETA = 0.15


def sad(preds: npt.ArrayLike | Tensor, target: npt.ArrayLike | Tensor, unknown: npt.ArrayLike | Tensor) -> float:
    """Sum of absolute differences, ``sum |preds - target|`` over the unknown pixels.

    The benchmark prints it divided by 1000.

    Args:
        preds: The matte, ``(H, W)`` floating, in 0..1. Clip the result of a solver first.
        target: The true matte, ``(H, W)`` floating, in 0..1.
        unknown: ``(H, W)`` bool, True where the trimap is unknown; at least one pixel. All three may be arrays or
            tensors, on any device and in any layout.

    Returns:
        The error, 0 or more.

    Raises:
        TypeError: ``preds`` or ``target`` is not floating or ``unknown`` not bool.
        ValueError: Shapes differ, values are NaN or outside 0..1, or nothing is unknown.

    Example:
        >>> from closedform_wsss.metrics import sad
        >>> sad([[0.0, 0.5, 1.0]], [[1.0, 0.25, 1.0]], [[False, True, True]])
        0.25
    """
    a, t, mask = _checked("sad", preds, target, unknown)
    return float(np.abs(a[mask].astype(np.float64) - t[mask]).sum())


def mse(preds: npt.ArrayLike | Tensor, target: npt.ArrayLike | Tensor, unknown: npt.ArrayLike | Tensor) -> float:
    """Mean squared error, the mean of ``(preds - target)^2`` over the unknown pixels.

    Unscaled; many papers print it times 1000.

    Args:
        preds: As in ``sad``.
        target: As in ``sad``.
        unknown: As in ``sad``.

    Returns:
        The error, in 0..1.

    Raises:
        TypeError, ValueError: As in ``sad``.

    Example:
        >>> from closedform_wsss.metrics import mse
        >>> mse([[0.0, 0.5, 1.0]], [[1.0, 0.0, 1.0]], [[False, True, True]])
        0.125
    """
    a, t, mask = _checked("mse", preds, target, unknown)
    return float(np.square(a[mask].astype(np.float64) - t[mask]).mean())


def gradient_error(
    preds: npt.ArrayLike | Tensor, target: npt.ArrayLike | Tensor, unknown: npt.ArrayLike | Tensor
) -> float:
    """Gradient error, ``sum (|grad preds| - |grad target|)^2`` over the unknown pixels.

    The gradient is computed with first derivatives of a Gaussian with sigma 1.4. Each filter has unit Euclidean norm
    and ends where the Gaussian falls below 0.01. The border is repeated. The benchmark prints the sum divided by 1000.

    Args:
        preds: As in ``sad``.
        target: As in ``sad``.
        unknown: As in ``sad``.

    Returns:
        The error, 0 or more.

    Raises:
        TypeError, ValueError: As in ``sad``.

    Example:
        >>> import numpy as np
        >>> from closedform_wsss.metrics import gradient_error
        >>> edge = np.repeat([[0.0, 0.0, 1.0, 1.0]], 4, axis=0)
        >>> gradient_error(edge, 1 - edge, np.ones((4, 4), bool)) < 1e-12
        True
    """
    a, t, mask = _checked("gradient_error", preds, target, unknown)
    return float(np.square(_gradient_size(a) - _gradient_size(t))[mask].sum())


def connectivity_error(
    preds: npt.ArrayLike | Tensor, target: npt.ArrayLike | Tensor, unknown: npt.ArrayLike | Tensor
) -> float:
    """Connectivity error, ``sum |phi(preds) - phi(target)|`` over the unknown pixels.

    For each threshold 0.1, 0.2, ..., 1 take the region where both mattes reach the threshold, and its largest
    4-connected part. Let l be the last threshold before the pixel leaves that part for the first time, or 0. The
    connectedness of a pixel with alpha a is ``phi(a) = 1 - d [d >= 0.15]`` with ``d = a - l``. So isolated pieces of
    foreground count as errors, and slightly wrong values do not. The benchmark prints the sum divided by 1000.

    Args:
        preds: As in ``sad``.
        target: As in ``sad``.
        unknown: As in ``sad``.

    Returns:
        The error, 0 or more.

    Raises:
        TypeError, ValueError: As in ``sad``.

    Example:
        >>> from closedform_wsss.metrics import connectivity_error
        >>> body = [[1.0, 1.0, 0.0, 0.0]]
        >>> with_island = [[1.0, 1.0, 0.0, 0.5]]
        >>> connectivity_error(with_island, body, [[True] * 4])
        0.5
    """
    a, t, mask = _checked("connectivity_error", preds, target, unknown)
    level = np.full(a.shape, np.nan)
    for step in range(1, _STEPS + 1):
        threshold = step / _STEPS
        # Thresholds in the type of the mattes, so that a stored 0.7 reaches the threshold 0.7 in float32 too.
        both = (a >= a.dtype.type(threshold)) & (t >= t.dtype.type(threshold))
        level[np.isnan(level) & ~_largest_part(both)] = (step - 1) / _STEPS
    level[np.isnan(level)] = 1.0
    return float(np.abs(_connectedness(a, level) - _connectedness(t, level))[mask].sum())


def _connectedness(alpha: _Matte, level: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    distance = alpha.astype(np.float64) - level
    return 1 - distance * (distance >= _THETA)


def _largest_part(region: _Mask) -> _Mask:
    """The largest 4-connected part of a region; if several are equal, the first."""
    parts, count = ndimage.label(region)
    if count == 0:
        return region
    sizes = np.bincount(parts.reshape(-1))
    return np.asarray(parts == 1 + sizes[1:].argmax())


def _gradient_size(alpha: _Matte) -> npt.NDArray[np.float64]:
    # The offset where a Gaussian of this sigma and unit area falls to 0.01.
    half = int(np.ceil(_SIGMA * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * _SIGMA * 0.01))))
    offset = np.arange(-half, half + 1)
    smooth = np.exp(-(offset**2) / (2 * _SIGMA**2))
    slope = -offset * smooth
    # The 2-D filter is their outer product, so it has unit norm if both have.
    smooth, slope = smooth / np.linalg.norm(smooth), slope / np.linalg.norm(slope)
    wide = alpha.astype(np.float64)
    along_x = ndimage.convolve1d(
        ndimage.convolve1d(wide, slope, axis=1, mode="nearest"), smooth, axis=0, mode="nearest"
    )
    along_y = ndimage.convolve1d(
        ndimage.convolve1d(wide, slope, axis=0, mode="nearest"), smooth, axis=1, mode="nearest"
    )
    return np.asarray(np.hypot(along_x, along_y))


def _checked(
    fn: str, preds: npt.ArrayLike | Tensor, target: npt.ArrayLike | Tensor, unknown: npt.ArrayLike | Tensor
) -> tuple[_Matte, _Matte, _Mask]:
    a, t, mask = as_array(preds), as_array(target), as_array(unknown)
    for name, array in (("preds", a), ("target", t)):
        if array.dtype.kind != "f":
            raise TypeError(
                f"{fn}: {name} must be of a floating type, in 0..1, got {array.dtype}{_to_fractions(name, array)}"
            )
    if mask.dtype != np.bool_:
        raise TypeError(f"{fn}: unknown must be bool, got {mask.dtype}{_to_mask(mask)}")
    if a.ndim != 2 or t.shape != a.shape or mask.shape != a.shape:
        raise ValueError(
            f"{fn}: preds, target and unknown must be (H, W), got shapes {a.shape}, {t.shape} and {mask.shape}: "
            "one matte of one image at a time"
        )
    if not mask.any():
        raise ValueError(f"{fn}: unknown must be True for at least one pixel, got none")
    for name, array in (("preds", a), ("target", t)):
        # This form also refuses NaN, for which every comparison is false.
        if not ((array >= 0) & (array <= 1)).all():
            raise ValueError(f"{fn}: {name} must be in 0..1, got {array.min()} to {array.max()}{_to_unit(name, array)}")
    return a, t, mask


def _to_fractions(name: str, array: npt.NDArray[np.generic]) -> str:
    """The cure for a matte that is not floating."""
    if array.dtype.kind not in "iub" or array.size == 0:
        return ""
    largest = int(array.max())
    if largest <= 1:
        return f": pass {name} as floating, {name} * 1.0"
    return f" up to {largest}: pass {name} / {255 if largest <= 255 else 65535}"


def _to_unit(name: str, array: _Matte) -> str:
    """The cure for a floating matte with values outside 0..1."""
    if np.isnan(array).any():
        return f": {np.isnan(array).sum()} values are NaN"
    if array.min() >= 0 and array.max() > 2:
        return f": pass {name} / {255 if array.max() <= 255 else 65535}, or clip it"
    return "; clip it first"


def _to_mask(mask: npt.NDArray[np.generic]) -> str:
    """The cure for an argument that is not a mask, but for example a trimap."""
    values = np.unique(mask).tolist() if mask.dtype.kind in "iuf" else []
    if values in ([0, 1], [1]):
        return ": pass unknown == 1"
    if values in ([0, 255], [0, 1, 255], [255]):
        return f" with the values {values}: pass unknown == 255, if 255 is what is unknown"
    if len(values) < 2:
        return ""
    return (
        f" with {len(values)} values from {values[0]} to {values[-1]}: of a trimap pass "
        f"(trimap > {values[0]}) & (trimap < {values[-1]})"
    )
