"""Class activation maps in the files that weakly-supervised projects exchange."""

from __future__ import annotations

import math
import os
import zipfile
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from closedform_wsss._checks import check_option
from closedform_wsss.labels._cam_pickle import load_pickled_item, read_header, save_pickled_item
from closedform_wsss.labels._image import PathLike
from closedform_wsss.labels._save import atomic

Classes: TypeAlias = npt.NDArray[np.int64]
Maps: TypeAlias = npt.NDArray[np.float32]

CAM_FORMATS = ("irn", "recam", "eps", "l2g", "npz")

_MAX_BYTES = 1 << 31  # of one array; a file of a few bytes can name any size
_IRN_STRIDE = 4  # IRN's random walk works on maps of a quarter of the image's size


def read_cam(path: PathLike) -> tuple[Classes, Maps]:
    """Reads the class activation maps of one image.

    The format is found out from the content:

    * IRN and ReCAM: a ``.npy`` dictionary ``{"keys": (K,), "cam": (K, h, w), "high_res": (K, H, W)}``, the keys 0-based
      without background, arrays or torch tensors. ``high_res`` is read, or ``cam`` if there is none.
    * EPS and L2G: a ``.npy`` dictionary ``{class: map (H, W)}``, the classes 0-based without background. (EPS's files
      *after* a CRF hold the background under 0 and look the same: do not pass those.)
    * npz: ``cams`` ``(K, h, w)``, and ``classes`` ``(K,)`` with the ids of a label map, 1-based; 1 to K if left out.

    Pickled code is never run: of the pickles in ``.npy`` files only arrays, tensors, numbers and containers are taken.
    A file that claims an array of more than 2 GiB, or than it holds, is refused before there is memory for it.

    Args:
        path: The file.

    Returns:
        ``(classes, maps)``: int64 ``(K,)``, the ids in a label map (1 for the first foreground class, 0 would be the
        background), in the file's order; float32 ``(K, h, w)``, as stored: a range is not enforced. An image without
        any class has K = 0, and a size of 0 where the file states none.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: It is none of these formats, is damaged, holds NaN or infinite values, classes twice or below the
            first, or a pickle that asks for anything but data.

    Reference:
        Ahn, Cho, Kwak: Weakly supervised learning of instance segmentation with inter-pixel relations (IRN). CVPR 2019.
        -- Chen et al.: Class re-activation maps for WSSS (ReCAM). CVPR 2022. -- Lee et al.: Railroad is not a train:
        saliency as pseudo-pixel supervision for WSSS (EPS). CVPR 2021. -- Jiang et al.: L2G. CVPR 2022.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "2007_000032.npy"
        ...     np.save(path, {0: np.ones((2, 3)), 14: np.zeros((2, 3))})  # aeroplane and person, as EPS writes them
        ...     classes, maps = read_cam(path)
        >>> classes, maps.shape
        (array([ 1, 15]), (2, 2, 3))
    """
    _, classes, maps = load_cam(path)
    return classes, maps


def load_cam(path: PathLike) -> tuple[str, Classes, Maps]:
    """``read_cam`` with the format, "irn", "eps" or "npz", before its results."""
    with open(path, "rb") as file:
        start = file.read(6)
        file.seek(0)
        try:
            if start == b"\x93NUMPY":
                return _from_dictionary(load_pickled_item(file))
            if start[:2] == b"PK":
                return "npz", *_from_npz(file)
            raise ValueError("an empty file" if not start else f"a file that starts with {start!r}")
        except Exception as error:  # a damaged zip can fail in any way
            got = error if isinstance(error, ValueError) else f"a damaged file ({type(error).__name__}: {error})"
            raise ValueError(
                "read_cam: path must be a .npy dictionary of EPS, L2G, IRN or ReCAM or a .npz with cams and classes, "
                f"got {got} in {os.fspath(path)!r}"
            ) from error


def write_cam(path: PathLike, classes: npt.ArrayLike, maps: npt.ArrayLike | Tensor, *, format: str = "irn") -> None:
    """Writes the class activation maps of one image so that the projects themselves can read them.

    The file appears whole or not at all: it is written under another name first.

    Args:
        path: The file to make or replace; its name is taken as it is.
        classes: ``(K,)`` integers, the ids in a label map, >= 1, each once.
        maps: ``(K, h, w)`` floating point, stored as float32. For "irn" and "recam" at the image's size: they become
            ``high_res``, and, averaged to a quarter of the size, ``cam``.
        format: "irn" (default) or "recam", which are the same, "eps" or "l2g", which are the same, or "npz"; see
            :func:`read_cam`.

    Raises:
        OSError: The file cannot be written.
        TypeError: Classes are not integers, or maps not floating point.
        ValueError: Shapes do not agree, a class is below 1 or occurs twice, or maps hold NaN or infinite values.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "2007_000032.npy"
        ...     write_cam(path, [1, 15], np.zeros((2, 375, 500), np.float32))
        ...     stored = np.load(path, allow_pickle=True).item()
        >>> stored["keys"], tuple(stored["cam"].shape), stored["high_res"].shape
        (array([ 0, 14]), (2, 94, 125), (2, 375, 500))
    """
    where = "write_cam"
    check_option(where, "format", format, CAM_FORMATS)
    ids, values = _array(classes), _array(maps)
    if ids.size and ids.dtype.kind not in "iu":
        raise TypeError(f"{where}: classes must be integers, got {ids.dtype}")
    if values.dtype.kind != "f":
        raise TypeError(f"{where}: maps must be floating point, got {values.dtype}")
    try:
        ids, values = _checked(ids, values)
    except ValueError as error:
        raise ValueError(f"{where}: classes and maps must be (K,) and (K, h, w), finite, got {error}") from error
    with atomic(path) as file:
        if format == "npz":
            np.savez_compressed(file, classes=ids, cams=values)
        elif format in ("eps", "l2g"):
            save_pickled_item(file, dict(zip((ids - 1).tolist(), values, strict=True)))
        else:
            # IRN moves `cam` to the GPU as it is, so that is a tensor; `keys` may be an array.
            save_pickled_item(file, {"keys": ids - 1, "cam": _quarter(values), "high_res": values})


def _from_dictionary(item: Any) -> tuple[str, Classes, Maps]:
    if not isinstance(item, dict):
        raise ValueError(f"a pickled {type(item).__name__}")
    if "keys" in item:
        ids = _loaded(item["keys"]).reshape(-1)
        found = next((item[name] for name in ("high_res", "cam") if item.get(name) is not None), None)
        if found is None and ids.size:
            raise ValueError("'keys' without 'high_res' or 'cam'")
        # An image without classes has empty maps of any shape, or none.
        maps = _loaded(found) if found is not None else np.zeros((0, 0, 0), np.float32)
        return "irn", *_zero_based(ids, maps)
    if any(isinstance(key, str) for key in item):
        raise ValueError(f"a dictionary of {', '.join(sorted(map(repr, item)))}")
    planes = [_loaded(plane) for plane in item.values()]
    if len({plane.shape for plane in planes}) > 1 or any(plane.ndim != 2 for plane in planes):
        raise ValueError(f"maps of shapes {', '.join(str(plane.shape) for plane in planes)}, not all (H, W)")
    stack = np.stack(planes) if planes else np.zeros((0, 0, 0), np.float32)
    return "eps", *_zero_based(np.array([_array(key)[()] for key in item]), stack)


def _from_npz(file: Any) -> tuple[Classes, Maps]:
    with zipfile.ZipFile(file) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if "cams" not in names:
            raise ValueError(f"no 'cams' among {', '.join(map(repr, names)) or 'no arrays'}")
        maps = _member(archive, "cams")
        classes = _member(archive, "classes") if "classes" in names else np.arange(1, 1 + len(np.atleast_1d(maps)))
    return _checked(classes, maps)


def _member(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    """An array of an archive, if it can be as large as its header says."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:
        shape, dtype = read_header(member)
    size = math.prod(shape) * max(dtype.itemsize, 1)
    if size > min(info.file_size, _MAX_BYTES):
        raise ValueError(f"{name} of shape {shape} and type {dtype} in {info.file_size} bytes")
    with archive.open(info) as member:
        array: npt.NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return array


def _zero_based(ids: npt.NDArray[Any], maps: npt.NDArray[Any]) -> tuple[Classes, Maps]:
    # In int64, where the largest uint8 has a successor.
    return _checked(ids.astype(np.int64) + 1 if ids.dtype.kind in "iu" else ids, maps)


def _checked(ids: npt.NDArray[Any], maps: npt.NDArray[Any]) -> tuple[Classes, Maps]:
    """Classes >= 1 and their maps; a message says what is wrong."""
    if ids.size == 0 and maps.size == 0:
        height, width = maps.shape[-2:] if maps.ndim == 3 else (0, 0)
        return np.zeros(0, np.int64), np.zeros((0, height, width), np.float32)
    if ids.dtype.kind not in "iu":
        raise ValueError(f"classes of type {ids.dtype}")
    if maps.dtype.kind != "f":
        raise ValueError(f"maps of type {maps.dtype}, not floating point")
    if ids.ndim != 1 or maps.ndim != 3 or len(ids) != len(maps) or 0 in maps.shape:
        raise ValueError(f"classes of shape {ids.shape} and maps of shape {maps.shape}")
    ids = ids.astype(np.int64)  # an unsigned number beyond becomes negative
    if ids.min() < 1:
        raise ValueError(f"a class below the first, {ids.min()} (the first is 1 in a label map, 0 in a dictionary)")
    if len(np.unique(ids)) < len(ids):
        raise ValueError(f"a class twice, {ids.tolist()}")
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, and is refused
        values = np.ascontiguousarray(maps, dtype=np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"{'NaN' if np.isnan(values).any() else 'infinite'} values")
    return ids, values


def _loaded(value: Any) -> npt.NDArray[Any]:
    """What a pickle holds as an array, if that has a size which it may have."""
    size = _nbytes(value, {})
    if size > _MAX_BYTES:
        raise ValueError(f"an array of {size} bytes")
    return _array(value)


def _nbytes(value: Any, known: dict[int, int]) -> int:
    """The size that lists and what is in them have as an array.

    A pickle can hold one list many times, in another such list, so each is looked at once, and is ``known`` then.
    """
    if not isinstance(value, (list, tuple)):
        return int(getattr(value, "nbytes", 8))
    if id(value) not in known:
        known[id(value)] = sum(_nbytes(part, known) for part in value)
    return known[id(value)]


def _array(value: Any) -> npt.NDArray[Any]:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = value.float() if value.dtype == torch.bfloat16 else value
    return np.asarray(value)


def _quarter(maps: Maps) -> Tensor:
    """``(K, H, W)`` -> ``(K, ceil(H / 4), ceil(W / 4))``."""
    size = tuple(-(-side // _IRN_STRIDE) for side in maps.shape[1:])
    if maps.size == 0:
        return torch.zeros(len(maps), *size)
    values = torch.from_numpy(maps)[None]
    return torch.nn.functional.interpolate(values, size, mode="bilinear", antialias=True)[0]
