"""Arrays out of pickles, not by NumPy's own functions, which believe what a pickle says about memory.

There a dtype may claim that plain numbers are pointers to objects, which are then followed, and an array may have any
size. Here a dtype is a type code and a byte order, and an array just as large as the bytes or the list that it comes
with.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

_CODE = re.compile(r"[biufc]\d{1,2}|[SU]\d{1,5}|O\d?")


class PickledDtype:
    """A dtype that a pickle describes, as far as it is believed."""

    def __init__(self, code: str) -> None:
        if not _CODE.fullmatch(code):
            raise ValueError(f"dtype {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        # Behind the byte order there are fields, sizes and flags: of other kinds of dtype, or lies.
        self.dtype = self.dtype.newbyteorder(state[1])


class PickledArray(np.ndarray):
    """An array that a pickle fills."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, described, fortran, values = state
        # NumPy compares the length of bytes with the shape itself, but not that of a list.
        if described.dtype.hasobject and not (isinstance(values, list) and len(values) == math.prod(shape)):
            raise ValueError(f"an array {shape} of other than so many objects")
        super().__setstate__((version, shape, described.dtype, fortran, values))


# What stands in for the functions that pickles name. Each is a function, and not a class, because a pickle can set
# attributes of what it names.


def dtype(code: str, align: bool, copy: bool) -> PickledDtype:
    """``numpy.dtype``."""
    return PickledDtype(code)


def reconstruct(kind: object, shape: object, code: object) -> PickledArray:
    """``numpy._core.multiarray._reconstruct``: an array to fill, empty whatever its first shape."""
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
