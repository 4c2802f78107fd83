"""Arrays out of pickles, without NumPy's own functions, because these trust what a pickle says about memory.

In NumPy's functions a dtype may say that plain numbers are pointers to objects, and these pointers are followed. An
array may have any size. Here a dtype is only a type code and a byte order, and an array is as large as the bytes or the
list that it comes with.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

_CODE = re.compile(r"[biufc]\d{1,2}|[SU]\d{1,5}|O\d?")


class PickledDtype:
    """The part that is accepted of a dtype that a pickle describes."""

    def __init__(self, code: str) -> None:
        if not _CODE.fullmatch(code):
            raise ValueError(f"dtype {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        # The rest are fields, sizes and flags. They belong to other kinds of dtype, or are false.
        self.dtype = self.dtype.newbyteorder(state[1])


class PickledArray(np.ndarray):
    """An array that a pickle fills."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, described, fortran, values = state
        # NumPy itself compares the shape with the length of bytes, but not with that of a list.
        if described.dtype.hasobject and not (isinstance(values, list) and len(values) == math.prod(shape)):
            raise ValueError(f"an array {shape} with another number of objects")
        super().__setstate__((version, shape, described.dtype, fortran, values))


# These replace the functions that pickles name. Each is a function and not a class, because a pickle can set attributes
# of what it names.


def dtype(code: str, align: bool, copy: bool) -> PickledDtype:
    """``numpy.dtype``."""
    return PickledDtype(code)


def reconstruct(kind: object, shape: object, code: object) -> PickledArray:
    """``numpy._core.multiarray._reconstruct``: an array to fill, empty whatever its first shape is."""
    return PickledArray(0, np.int8)


def ndarray(shape: tuple[int, ...], described: PickledDtype, buffer: bytearray) -> npt.NDArray[Any]:
    """``numpy.ndarray``: an array on a buffer."""
    return frombuffer(buffer, described, shape, "C")


def frombuffer(buffer: bytearray, described: PickledDtype, shape: tuple[int, ...], order: Any) -> npt.NDArray[Any]:
    """``numpy._core.numeric._frombuffer``; NumPy itself refuses objects."""
    return np.frombuffer(buffer, described.dtype).reshape(shape, order=order)


def scalar(described: PickledDtype, data: bytes) -> Any:
    """``numpy._core.multiarray.scalar``."""
    return np.frombuffer(data, described.dtype, 1)[0]


def array(item: object, described: PickledDtype) -> npt.NDArray[Any]:
    """``numpy.array`` of one object."""
    boxed = np.empty((), object)
    boxed[()] = item
    return boxed
