"""Pickled dictionaries of arrays: read without running code that a pickle may hold, written for every NumPy."""

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

from closedform_wsss.io._maps import array_pickle


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype at the start of a ``.npy`` file.

    Raises:
        ValueError: It is no such file, or it is damaged.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"a .npy file of the unknown version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, _, dtype = read(file)
    except Exception as error:  # NumPy parses the text as Python: any exception may come
        raise ValueError(f"a damaged .npy header ({type(error).__name__}: {error})") from error
    return shape, dtype


def load_pickled_item(file: IO[bytes]) -> Any:
    """The one Python object in a ``.npy`` file of dtype object.

    ``numpy.load(allow_pickle=True)`` runs any code that the file asks for. This function accepts only NumPy arrays,
    dtypes and scalars, torch tensors and plain containers.

    Args:
        file: Open, at its start; of dtype object.

    Raises:
        ValueError: It holds several objects, is damaged, or asks for anything else.
    """
    shape, _ = read_header(file)
    if shape != ():
        raise ValueError(f"an array {shape} of objects in place of one dictionary")
    try:
        pickled = file.read()
        _check_memo(pickled)
        array = _Unpickler(io.BytesIO(pickled)).load()
    except _Refused:
        raise
    except Exception as error:  # a damaged pickle may raise any exception
        raise ValueError(f"a damaged pickle ({type(error).__name__}: {error})") from error
    if not (isinstance(array, np.ndarray) and array.shape == ()):
        raise ValueError(f"a pickled {type(array).__name__} in place of one dictionary")
    return array.item()


def save_pickled_item(file: IO[bytes], item: dict[Any, Any]) -> None:
    """Writes a dictionary that ``numpy.load(allow_pickle=True).item()`` returns, tensors (float32) as tensors.

    Equal content gives equal bytes, and every version of NumPy can read them.
    """
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(file, header)
    _Pickler(file, protocol=4).dump(np.array(item, dtype=object))


def _check_memo(pickled: bytes) -> None:
    """Refuses a pickle with more object numbers than bytes: the table of objects is allocated at once."""
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
        # NumPy 2 would name functions that NumPy 1 does not have, and torch would write a tensor's memory address.
        if isinstance(obj, np.ndarray):
            if obj.dtype.hasobject:
                return np.array, (obj.item(), obj.dtype)
            return np.ndarray, (obj.shape, obj.dtype, bytearray(obj.tobytes()))
        if isinstance(obj, Tensor):
            return torch.Tensor, (obj.numpy(),)
        return NotImplemented


def _load_storage(data: bytes) -> Any:
    """The values of a tensor. torch stores them in its own format, which may hold any pickle again."""
    # In torch's zip format, and in a bytearray, a few bytes can grow to any size. torch writes neither of them here.
    if data.startswith(b"PK") or b"bytearray" in data:
        raise _Refused("a pickled tensor in a form that torch does not give it,")
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # torch's own message would say how to run the code anyway.
        raise _Refused("a pickled tensor that is damaged or asks for code to run, which is refused,") from None


def _latin1(text: str, encoding: str) -> bytes:
    """Old pickle protocols write bytes as Latin-1 text."""
    if encoding != "latin1":
        raise _Refused(f"a pickle with bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _bytearray(data: bytes | str = b"", encoding: str = "latin1") -> bytearray:
    """Takes content only: from a number ``bytearray`` would make that many zeros."""
    return bytearray(_latin1(data, encoding) if isinstance(data, str) else memoryview(data))


def _rebuild_tensor(*arguments: Any) -> Any:
    # Our own function, because a pickle can set attributes of what it names.
    return torch._utils._rebuild_tensor_v2(*arguments)


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    """The tensor of a ``torch.nn.Parameter``, without its other attributes."""
    if not isinstance(data, Tensor):
        raise _Refused(f"a pickled parameter of type {type(data).__name__}")
    return data


_NUMBERING = ("PUT", "BINPUT", "LONG_BINPUT")
# A pickle calls only these functions, never the ones that it names.
_REPLACED: dict[tuple[str, str], Callable[..., Any]] = {
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", array_pickle.reconstruct),
            ("multiarray", "scalar", array_pickle.scalar),
            ("numeric", "_frombuffer", array_pickle.frombuffer),
        )
    },
    ("numpy", "array"): array_pickle.array,
    ("numpy", "dtype"): array_pickle.dtype,
    ("numpy", "ndarray"): array_pickle.ndarray,
    ("torch", "Tensor"): torch.from_numpy,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
    ("torch.storage", "_load_from_bytes"): _load_storage,
    ("_codecs", "encode"): _latin1,
    # The protocols that Python 2 could read call it __builtin__.
    ("__builtin__", "bytearray"): _bytearray,
    ("builtins", "bytearray"): _bytearray,
    ("collections", "OrderedDict"): collections.OrderedDict,
}
