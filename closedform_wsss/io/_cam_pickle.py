"""Pickled dictionaries of arrays: read without running what else a pickle may hold, written for any NumPy."""

from __future__ import annotations

import collections
import io
import pickle
import pickletools
from collections.abc import Callable
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from closedform_wsss.io import _array_pickle


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype at the beginning of a ``.npy`` file.

    Raises:
        ValueError: It is none, or is damaged.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"a .npy file of the unknown version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, _, dtype = read(file)
    except Exception as error:  # NumPy parses the text as Python, which fails in many ways
        raise ValueError(f"a damaged .npy header ({type(error).__name__}: {error})") from error
    return shape, dtype


def load_pickled_item(file: IO[bytes]) -> Any:
    """The one Python object in a ``.npy`` file of dtype object.

    ``numpy.load(allow_pickle=True)`` runs whatever code the file asks for. Here only NumPy arrays, dtypes and scalars,
    torch tensors and plain containers pass.

    Args:
        file: Open at its beginning.

    Raises:
        ValueError: It is not a ``.npy`` file of one object, is damaged, or asks for anything else.
    """
    shape, dtype = read_header(file)
    if not dtype.hasobject:
        raise ValueError(f"a plain array of shape {shape}, which names no classes,")
    if shape != ():
        raise ValueError(f"an array {shape} of objects in place of one dictionary")
    try:
        pickled = file.read()
        _check_memo(pickled)
        array = _Unpickler(io.BytesIO(pickled)).load()
    except _Refused:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise ValueError(f"a damaged pickle ({type(error).__name__}: {error})") from error
    if not (isinstance(array, np.ndarray) and array.shape == ()):
        raise ValueError(f"a pickled {type(array).__name__} in place of one dictionary")
    return array.item()


def save_pickled_item(file: IO[bytes], item: dict[Any, Any]) -> None:
    """Writes what ``numpy.load(allow_pickle=True).item()`` gives back, tensors (float32) as tensors.

    Equal content gives equal bytes, and NumPy of any version can read them.
    """
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(file, header)
    _Pickler(file, protocol=4).dump(np.array(item, dtype=object))


def _check_memo(pickled: bytes) -> None:
    """Refuses a pickle that numbers more objects than it has bytes: the table of them is allocated at once."""
    for code, number, _ in pickletools.genops(pickled):
        if code.name in _NUMBERING and int(number or 0) > len(pickled):
            raise ValueError(f"object number {number} in {len(pickled)} bytes")


class _Refused(ValueError):
    """The pickle asks for something that is not data."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _REPLACED:
            return _REPLACED[module, name]
        raise _Refused(
            f"a pickle that asks for {module}.{name}, which is refused since it may run code "
            "(arrays, tensors, numbers and containers are read),"
        )


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        # NumPy 2 by itself names functions that NumPy 1 lacks, and torch writes the address of a tensor in memory.
        if isinstance(obj, np.ndarray):
            if obj.dtype.hasobject:
                return np.array, (obj.item(), obj.dtype)
            return np.ndarray, (obj.shape, obj.dtype, bytearray(obj.tobytes()))
        if isinstance(obj, Tensor):
            return torch.Tensor, (obj.numpy(),)
        return NotImplemented


def _load_storage(data: bytes) -> Any:
    """The values of a tensor, which torch pickles in a format of its own that may hold any pickle again."""
    # torch's zip format, and its idea of a bytearray, grow to any size from a few bytes; torch writes neither here.
    if data.startswith(b"PK") or b"bytearray" in data:
        raise _Refused("a pickled tensor in a form that torch does not give it,")
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # torch's own message tells how to run the code all the same.
        raise _Refused("a pickled tensor that is damaged or asks for code to run, which is refused,") from None


def _latin1(text: str, encoding: str) -> bytes:
    """How old pickle protocols write bytes."""
    if encoding != "latin1":
        raise _Refused(f"a pickle with bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _bytearray(data: bytes | str = b"", encoding: str = "latin1") -> bytearray:
    """Of content only: of a number it would be that many zeros."""
    return bytearray(_latin1(data, encoding) if isinstance(data, str) else memoryview(data))


def _rebuild_tensor(*arguments: Any) -> Any:
    # A function of our own, since a pickle can set attributes of what it names.
    return torch._utils._rebuild_tensor_v2(*arguments)


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    """``torch.nn.Parameter``: its tensor alone, without what it may carry besides."""
    if not isinstance(data, Tensor):
        raise _Refused(f"a pickled parameter of type {type(data).__name__}")
    return data


_NUMBERING = ("PUT", "BINPUT", "LONG_BINPUT")
# Nothing that a pickle names is called itself, but what stands here.
_REPLACED: dict[tuple[str, str], Callable[..., Any]] = {
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _array_pickle.reconstruct),
            ("multiarray", "scalar", _array_pickle.scalar),
            ("numeric", "_frombuffer", _array_pickle.frombuffer),
        )
    },
    ("numpy", "array"): _array_pickle.array,
    ("numpy", "dtype"): _array_pickle.dtype,
    ("numpy", "ndarray"): _array_pickle.ndarray,
    ("torch", "Tensor"): torch.from_numpy,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
    ("torch.storage", "_load_from_bytes"): _load_storage,
    ("_codecs", "encode"): _latin1,
    # Named __builtin__ in the protocols that Python 2 could read.
    ("__builtin__", "bytearray"): _bytearray,
    ("builtins", "bytearray"): _bytearray,
    ("collections", "OrderedDict"): collections.OrderedDict,
}
