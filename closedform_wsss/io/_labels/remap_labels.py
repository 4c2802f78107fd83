"""New labels for the codes that a data set stores, and for its value of unmarked pixels."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from closedform_wsss._arrays import as_array
from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.io._tensors import label_tensor
from closedform_wsss.io._types import UInt8Array

Remap: TypeAlias = Mapping[int, int] | Literal["reduce_zero"]


def remap_labels(labels: npt.NDArray[Any] | Tensor, mapping: Remap) -> Tensor:
    """Replaces labels by others.

    Args:
        labels: Integers of any shape, an array or a tensor.
        mapping: The new label, 0 to 255, of each stored code. Codes that it does not name stay as they are.
            ``"reduce_zero"``: 0 becomes 255, 255 stays, and every other label becomes one less. ADE20K needs this: 0
            means unlabelled in its files, and 1 to 150 are the classes.

    Returns:
        int64, of the shape of ``labels`` and on their device.

    Raises:
        TypeError: ``labels`` is not an array or a tensor of integers, or the mapping holds anything but integers.
        ValueError: A new label is outside 0 to 255, or a label outside that range has no new one.

    Example:
        >>> import numpy as np
        >>> from closedform_wsss.io import remap_labels
        >>> remap_labels(np.array([[0, 1, 2]]), {0: 0, 1: 255, 2: 1})  # a trimap of 0, 1 and 2
        tensor([[  0, 255,   1]])
        >>> remap_labels(np.array([[0, 1, 150, 255]]), "reduce_zero")
        tensor([[255,   0, 149, 255]])
    """
    if not isinstance(labels, (Tensor, np.ndarray)):
        raise TypeError(f"remap_labels: labels must be an array or a tensor of integers, got {type(labels).__name__}")
    new = label_tensor(remapped(as_array(labels), mapping))
    return new.to(labels.device) if isinstance(labels, Tensor) else new


def remapped(labels: npt.NDArray[Any], mapping: Remap) -> UInt8Array:
    """``remap_labels`` of an array, as an array."""
    fn = "remap_labels"
    if labels.dtype.kind not in "biu":
        raise TypeError(f"{fn}: labels must be an array or a tensor of integers, got {labels.dtype}")
    check_mapping(fn, "mapping", mapping)
    codes, number = np.unique(labels, return_inverse=True)
    named = _reduced_zero(codes) if isinstance(mapping, str) else mapping
    new = [named.get(code, code) for code in codes.tolist()]
    outside = [code for code in new if not 0 <= code <= 255]
    if outside:
        raise ValueError(
            f"{fn}: labels must be in 0..255 or named by mapping, got {', '.join(map(str, outside[:5]))}"
            f"{', ...' if len(outside) > 5 else ''}"
        )
    return np.array(new, np.uint8)[number].reshape(labels.shape)


def remap_marks(fn: str, codes: npt.NDArray[Any], remap: Remap | None, unmarked: int | None, path: str) -> UInt8Array:
    """Marks from stored codes; ``unmarked`` becomes 255. ``fn`` and ``path`` are for messages.

    Raises:
        ValueError: ``remap`` makes a label of ``unmarked``, 255 would have two meanings, or see ``remap_labels``.
    """
    mapping = dict(_reduced_zero(np.unique(codes)) if isinstance(remap, str) else remap or {})
    if unmarked is not None:
        if mapping.get(unmarked, IGNORE_INDEX) != IGNORE_INDEX:
            raise ValueError(
                f"{fn}: remap must not make a label of unmarked={unmarked}, got {unmarked}: {mapping[unmarked]}"
            )
        if unmarked != IGNORE_INDEX and IGNORE_INDEX not in mapping and bool((codes == IGNORE_INDEX).any()):
            raise ValueError(
                f"{fn}: unmarked must be the only value that is unmarked, got {unmarked} and {IGNORE_INDEX}, which "
                f"is unmarked too, in {path!r}: remap={{{IGNORE_INDEX}: ...}} names what {IGNORE_INDEX} is, "
                f"remap={{{unmarked}: {IGNORE_INDEX}}} takes both for unmarked"
            )
        mapping[unmarked] = IGNORE_INDEX
    try:
        return remapped(codes, mapping)
    except ValueError as error:
        raise ValueError(f"{fn}: path must hold labels that fit remap, got {path!r} ({error})") from error


def check_unmarked(fn: str, unmarked: int | None) -> None:
    """An integer, or None."""
    if unmarked is not None and not _is_integer(unmarked):
        raise TypeError(f"{fn}: unmarked must be None or an integer, got {unmarked!r}")


def _is_integer(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _reduced_zero(codes: npt.NDArray[Any]) -> dict[int, int]:
    return {code: code if code == IGNORE_INDEX else code - 1 if code else IGNORE_INDEX for code in codes.tolist()}


def check_mapping(fn: str, name: str, mapping: Remap) -> None:
    """Integers to 0..255, or "reduce_zero"."""
    if isinstance(mapping, str) and mapping == "reduce_zero":  # not an array, which is compared element by element
        return
    if not isinstance(mapping, Mapping):
        raise TypeError(f"{fn}: {name} must be a dictionary of labels or 'reduce_zero', got {mapping!r}")
    for code, label in mapping.items():
        if not (_is_integer(code) and _is_integer(label)):
            raise TypeError(f"{fn}: {name} must hold integers, got {code!r}: {label!r}")
        if not 0 <= label <= 255:
            raise ValueError(f"{fn}: {name} must give labels in 0..255, got {code}: {label}")
