"""Files of arrays: ``.npy``, ``.npz``, and what ``torch.save`` writes. No code that a file may hold is run."""

from __future__ import annotations

import io
import math
import os
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import torch

from closedform_wsss._arrays import as_array
from closedform_wsss.io._maps.cam_pickle import load_pickled_item, read_header

MAX_BYTES = 1 << 31  # of one array: a file of a few bytes can state any size


def load_item(file: IO[bytes]) -> Any:
    """What a file holds: an array, a tensor, or a dictionary or list of them; of a ``.npz`` an :class:`Archive`.

    Args:
        file: Open, at its start; it must stay open while an archive is read.

    Raises:
        ValueError: It is none of these files, is damaged, states more than it holds, or its pickle asks for anything
            but data. The message says what it is instead.
    """
    start = file.read(6)
    file.seek(0)
    if start == b"\x93NUMPY":
        shape, dtype = read_header(file)
        file.seek(0)
        if dtype.hasobject:
            return load_pickled_item(file)
        _check_size("an array", shape, dtype, os.fstat(file.fileno()).st_size)
        array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array
    if start[:2] == b"PK":
        archive = zipfile.ZipFile(file)
        if any(name.endswith("/data.pkl") for name in archive.namelist()):
            return _load_torch(archive, file)
        return Archive(archive)
    if start[:1] == b"\x80":
        raise ValueError("a plain pickle, as torch before 1.6 wrote too (save it again with numpy.save or torch.save)")
    raise ValueError("an empty file" if not start else f"a file that starts with {start!r}")


class Archive(Mapping[str, npt.NDArray[Any]]):
    """The arrays of a ``.npz``, each read when it is asked for."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = [name.removesuffix(".npy") for name in archive.namelist()]

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        info = self._archive.getinfo(f"{name}.npy")
        with self._archive.open(info) as member:
            shape, dtype = read_header(member)
        _check_size(name, shape, dtype, info.file_size)
        with self._archive.open(info) as member:
            array: npt.NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


def fault_of(error: Exception) -> str:
    """What is wrong with a file, of the exception at its reading: a damaged one may raise any."""
    return str(error) if isinstance(error, ValueError) else f"a damaged file ({type(error).__name__}: {error})"


def loaded(value: Any) -> npt.NDArray[Any]:
    """A value from a pickle as an array, if it is not too large."""
    size = _nbytes(value, {})
    if size > MAX_BYTES:
        raise ValueError(f"an array of {size} bytes")
    return as_array(value)


def _check_size(what: str, shape: tuple[int, ...], dtype: np.dtype[Any], available: int) -> None:
    """Refuses an array that is larger than the file that should hold it."""
    if math.prod(shape) * max(dtype.itemsize, 1) > min(available, MAX_BYTES):
        raise ValueError(f"{what} of shape {shape} and type {dtype} in {available} bytes")


def _load_torch(archive: zipfile.ZipFile, file: IO[bytes]) -> Any:
    members = archive.infolist()
    if any(info.compress_type != zipfile.ZIP_STORED for info in members):  # a few bytes could grow to any size
        raise ValueError("a compressed file of torch, which torch does not write,")
    file.seek(0)
    try:
        return torch.load(io.BytesIO(file.read()), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # torch's own message would say how to run the code anyway.
        raise ValueError(
            "a file of torch that is damaged or holds more than tensors and containers: save cam.cpu(), or a "
            "dictionary of tensors,"
        ) from None


def _nbytes(value: Any, known: dict[int, int]) -> int:
    """The size of nested lists as an array.

    A pickle can hold one list many times in another list, so each list is visited once. ``known`` holds the results.
    """
    if not isinstance(value, (list, tuple)):
        return int(getattr(value, "nbytes", 8))
    if id(value) not in known:
        known[id(value)] = sum(_nbytes(part, known) for part in value)
    return known[id(value)]
