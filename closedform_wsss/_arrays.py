"""Arrays and tensors are accepted alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from closedform_wsss._checks import check_dense


def as_array(value: npt.ArrayLike | Tensor) -> npt.NDArray[Any]:
    """An array, or a tensor on any device, with or without a gradient, as an array; a list of tensors too."""
    if isinstance(value, (list, tuple)) and any(isinstance(part, Tensor) for part in value):
        return np.asarray([as_array(part) for part in value])
    if not isinstance(value, Tensor):
        return np.asarray(value)
    value = value.detach().cpu()
    # NumPy has no bfloat16 and no float8; float32 holds their values.
    narrow = value.is_floating_point() and value.dtype not in (torch.float16, torch.float32, torch.float64)
    return np.asarray(value.float() if narrow else value)


def as_tensor(fn: str, name: str, value: npt.ArrayLike | Tensor) -> Tensor:
    """A tensor as it is; an array as a tensor, a copy where torch cannot use its memory.

    Raises:
        TypeError: The values are not numbers, or the tensor is not dense.
    """
    if isinstance(value, Tensor):
        check_dense(fn, name, value)
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{fn}: {name} must be a tensor or an array of numbers, got {type(value).__name__}")
    return torch.from_numpy(np.require(array, array.dtype.newbyteorder("="), ["C", "W"]))
