"""Class activation maps in the files that weakly-supervised projects exchange."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from closedform_wsss._arrays import as_array
from closedform_wsss._checks import check_option
from closedform_wsss.io._files.save import atomic
from closedform_wsss.io._maps.array_file import Archive, fault_of, load_item, loaded
from closedform_wsss.io._maps.cam_pickle import save_pickled_item
from closedform_wsss.io._types import PathLike

Classes: TypeAlias = npt.NDArray[np.int64]
Maps: TypeAlias = npt.NDArray[np.float32]

CAM_FORMATS = ("irn", "recam", "eps", "l2g", "clip_es", "puzzle_cam", "npz")

_SIPE = "IS_CAM"
# Under these names a dictionary with keys may have its maps. The best come first: full size, refined.
_MAPS = ("high_res", "attn_highres", "hr_cam", "rw", _SIPE, "highres", "cam", "strided_cam")
_FORMAT_OF_MAPS = {"attn_highres": "clip_es", "highres": "clip_es", "hr_cam": "puzzle_cam"}

_FORMATS = (
    ": it must be a .npy or .pt of maps, alone or in a dictionary as IRN, EPS, CLIP-ES or Puzzle-CAM write, or a .npz "
    "with cams and classes"
)
_PROBABILITIES = (
    "; if these are probabilities of all classes, closedform-wsss refine-predictions takes them, and eval needs "
    "--probabilities"
)
_IRN_STRIDE = 4  # IRN's random walk works on maps of a quarter of the image's size


def read_cam(
    path: PathLike, classes: Sequence[int] | npt.NDArray[np.integer] | Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Reads the class activation maps of one image.

    The content tells the format:

    * IRN and its successors (ReCAM, AdvCAM, AMN, LPCAM): a ``.npy`` dictionary ``{"keys": (K,), "cam": (K, h, w),
      "high_res": (K, H, W)}``, the keys 0-based without background, arrays or torch tensors. ``high_res`` is read, or
      ``cam`` if it is missing.
    * CLIP-ES: ``{"keys": (K,), "attn_highres": (K, H, W)}``, with keys as in IRN.
    * Puzzle-CAM: ``{"keys": (1 + K,), "cam": (K, h, w), "hr_cam": (K, H, W)}`` or, after its random walk, ``"rw"``
      in place of both. The first key is 0, the background, which has no map. The other keys are ids of a label map,
      1-based. Every dictionary whose first key is 0 and that has one map less than keys is read in this way.
    * SIPE: ``{"keys": (1 + K,), "IS_CAM": (1 + K, H, W)}``, with a map of the background too. That map is left out.
    * EPS, L2G and other successors of PSA (SEAM, MCTformer, S2C): a ``.npy`` dictionary
      ``{class: map (H, W)}``, the classes 0-based without background. (Files *after* a CRF look the same, but 0 is the
      background in them: do not pass those.)
    * npz: ``cams`` ``(K, h, w)``, and ``classes`` ``(K,)`` with ids of a label map, 1-based; 1 to K if missing, or
      the K ``classes`` of the call if one of these is above K.
    * Maps alone, in ``.npy`` or from ``torch.save``: ``(K, h, w)``, or ``(h, w)`` of one class, as pytorch-grad-cam
      gives them. ``classes`` must name them, in their order.

    What ``torch.save`` writes (``.pt``, ``.pth``) may also hold one of the dictionaries.

    If there are as many maps as keys, the keys are read as in IRN, except for SIPE: 0 is then the first foreground
    class, even if a project meant the background.

    Pickled code is never run: from the pickles in ``.npy`` files only arrays, tensors, numbers and containers are
    accepted. A file that states an array of more than 2 GiB, or more than it holds, is refused before memory is
    allocated.

    Args:
        path: The file.
        classes: ``(K,)`` integers, ids in a label map, >= 1, each once: the classes to read, in this order, such as the
            image-level labels of :func:`read_tags`. Default: all classes that the file names.

    Returns:
        ``(classes, maps)``: int64 ``(K,)``, the ids in a label map (1 is the first foreground class, 0 would be the
        background), in the order of the file; float32 ``(K, h, w)``, as stored, in any range. An image without classes
        has K = 0, and a size of 0 if the file states none.

    Raises:
        OSError: The file is missing or may not be read.
        TypeError: ``classes`` are not integers.
        ValueError: The file has none of these formats, is damaged, holds NaN or infinite values, holds a class twice
            or below the first, lacks one of ``classes``, or its pickle asks for anything but data; ``classes`` name one
            twice or below the first.

    Reference:
        Ahn, Cho, Kwak: Weakly supervised learning of instance segmentation with inter-pixel relations (IRN). CVPR 2019.
        -- Chen et al.: Class re-activation maps for WSSS (ReCAM). CVPR 2022. -- Lee et al.: Railroad is not a train:
        saliency as pseudo-pixel supervision for WSSS (EPS). CVPR 2021. -- Jiang et al.: L2G. CVPR 2022. -- Lin et al.:
        CLIP is also an efficient segmenter (CLIP-ES). CVPR 2023. -- Jo, Yu: Puzzle-CAM. ICIP 2021. -- Chen et al.:
        Self-supervised image-specific prototype exploration for WSSS (SIPE). CVPR 2022.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from closedform_wsss.io import read_cam
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "2007_000032.npy"
        ...     np.save(path, {0: np.ones((2, 3)), 14: np.zeros((2, 3))})  # aeroplane and person, as EPS writes them
        ...     classes, maps = read_cam(path)
        >>> classes, maps.shape
        (tensor([ 1, 15]), torch.Size([2, 2, 3]))
    """
    _, ids, maps = load_cam(path, classes)
    return ids, maps


def checked_cam(maps: npt.ArrayLike | Tensor, classes: npt.ArrayLike | Tensor) -> tuple[Tensor, Tensor]:
    """Classes and maps as ``read_cam`` gives them, from maps alone; the message of an error says what is wrong."""
    ids, values = _from_array(maps, _integers("classes", classes))
    return torch.from_numpy(ids), torch.from_numpy(values)


def load_cam(
    path: PathLike, classes: npt.ArrayLike | Tensor | None = None, all_classes: Sequence[int] = ()
) -> tuple[str, Tensor, Tensor]:
    """``read_cam`` with the format before its results: "irn" (SIPE's too), "eps", "clip_es", "puzzle_cam" or "npz".

    The format of maps alone, which name no classes, is "npz" too: it is the one to write.
    ``all_classes`` has the numbers of maps alone that are those of every class: without a background, then with it as
    the first.
    """
    item, wanted = None, None
    if classes is not None:
        wanted = _integers("read_cam: classes", classes)
        try:
            _check_ids(wanted)
        except ValueError as error:
            raise ValueError(f"read_cam: classes must be ids in a label map, got {error}") from error
    with open(path, "rb") as file:
        try:
            item = load_item(file)
            if isinstance(item, Archive):
                format, ids, maps = "npz", *_from_archive(item, wanted, all_classes)
            elif isinstance(item, dict):
                format, ids, maps = _from_dictionary(item)
            elif isinstance(item, (np.ndarray, Tensor, list, tuple)):
                format, ids, maps = "npz", *_from_array(item, wanted, all_classes)
            else:
                raise ValueError(f"a pickled {type(item).__name__}")
            ids, maps = _chosen(ids, maps, wanted)
        except Exception as error:
            cure = "" if isinstance(item, (np.ndarray, Tensor, list, tuple)) else _FORMATS
            raise ValueError(
                f"read_cam: path must hold class activation maps, got {fault_of(error)} in {os.fspath(path)!r}{cure}"
            ) from error
    return format, torch.from_numpy(ids), torch.from_numpy(maps)


def write_cam(
    path: PathLike, classes: npt.ArrayLike | Tensor, maps: npt.ArrayLike | Tensor, *, format: str = "irn"
) -> None:
    """Writes the class activation maps of one image in a format that other projects read.

    The file is complete or does not appear: it is written under another name first.

    Args:
        path: The file to make or replace. No suffix is added.
        classes: ``(K,)`` integers, the ids in a label map, >= 1, each once.
        maps: ``(K, h, w)`` floating point, stored as float32. For "irn", "recam" and "puzzle_cam" they have the size of
            the image: they become ``high_res`` or ``hr_cam``, and ``cam`` is their average at a quarter of the size.
            Both may be arrays, or tensors on any device.
        format: "irn" (default) or "recam", which are the same, "eps" or "l2g", which are the same, "clip_es",
            "puzzle_cam", or "npz"; see :func:`read_cam`.

    Raises:
        OSError: The file cannot be written.
        TypeError: Classes are not integers, or maps not floating point.
        ValueError: Shapes do not agree, a class is below 1 or occurs twice, or maps hold NaN or infinite values.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from closedform_wsss.io import write_cam
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "2007_000032.npy"
        ...     write_cam(path, [1, 15], np.zeros((2, 375, 500), np.float32))
        ...     stored = np.load(path, allow_pickle=True).item()
        >>> stored["keys"], tuple(stored["cam"].shape), stored["high_res"].shape
        (array([ 0, 14]), (2, 94, 125), (2, 375, 500))
    """
    fn = "write_cam"
    check_option(fn, "format", format, CAM_FORMATS)
    ids, values = _integers(f"{fn}: classes", classes), as_array(maps)
    if values.dtype.kind != "f":
        raise TypeError(f"{fn}: maps must be floating point, got {values.dtype}")
    try:
        ids, values = _checked(ids, values)
    except ValueError as error:
        raise ValueError(f"{fn}: classes and maps must be (K,) and (K, h, w), finite, got {error}") from error
    with atomic(path) as file:
        if format == "npz":
            np.savez_compressed(file, classes=ids, cams=values)
        elif format in ("eps", "l2g"):
            save_pickled_item(file, dict(zip((ids - 1).tolist(), values, strict=True)))
        elif format == "clip_es":
            save_pickled_item(file, {"keys": ids - 1, "attn_highres": values})
        elif format == "puzzle_cam":
            save_pickled_item(file, {"keys": np.pad(ids, (1, 0)), "cam": _quarter(values), "hr_cam": values})
        else:
            # IRN moves `cam` to the GPU, so it must be a tensor; `keys` may be an array.
            save_pickled_item(file, {"keys": ids - 1, "cam": _quarter(values), "high_res": values})


def _integers(name: str, values: npt.ArrayLike | Tensor) -> Classes:
    """A sequence, an array or a tensor ``(K,)`` of integers in int64; a larger unsigned number becomes negative."""
    try:
        found = as_array(values)
    except (TypeError, ValueError):  # rows of different lengths
        found = np.empty(0, object)
    if found.dtype.kind not in "iu" and (found.size or found.dtype.kind != "f"):  # an empty list is of float64
        raise TypeError(f"{name} must be integers, got {found.dtype}: {values!r:.80}")
    if found.ndim != 1:
        raise ValueError(f"{name} must be integers (K,), got {values!r:.80}")
    return found.astype(np.int64)


def _from_dictionary(item: dict[Any, Any]) -> tuple[str, Classes, Maps]:
    if "keys" in item:
        ids = loaded(item["keys"]).reshape(-1)
        name = next((name for name in _MAPS if item.get(name) is not None), None)
        if name is None and ids.size:
            raise ValueError(f"'keys' without {' or '.join(map(repr, _MAPS))}")
        # An image without classes has empty maps of any shape, or no maps.
        maps = loaded(item[name]) if name is not None else np.zeros((0, 0, 0), np.float32)
        return _FORMAT_OF_MAPS.get(name or "", "irn"), *_with_keys(ids, maps, name)
    if any(isinstance(key, str) for key in item):
        unnamed = ", without 'keys' that name classes" if any(name in item for name in _MAPS) else ""
        raise ValueError(f"a dictionary of {', '.join(sorted(map(repr, item)))}{unnamed}")
    planes = [loaded(plane) for plane in item.values()]
    if len({plane.shape for plane in planes}) > 1 or any(plane.ndim != 2 for plane in planes):
        raise ValueError(f"maps of shapes {', '.join(str(plane.shape) for plane in planes)}, not all (H, W)")
    stack = np.stack(planes) if planes else np.zeros((0, 0, 0), np.float32)
    return "eps", *_zero_based(np.array([as_array(key)[()] for key in item]), stack)


def _with_keys(ids: npt.NDArray[Any], maps: npt.NDArray[Any], name: str | None) -> tuple[Classes, Maps]:
    padded = ids.size > 0 and ids.dtype.kind in "iu" and int(ids[0]) == 0
    if name == _SIPE and maps.ndim == 3:
        if not padded or len(ids) != len(maps):
            raise ValueError(f"{_SIPE!r} without a background, 0, first: classes {ids.tolist()}, {len(maps)} maps")
        return _checked(ids[1:], maps[1:])
    if padded and maps.ndim == 3 and len(ids) == len(maps) + 1:
        return _checked(ids[1:], maps)
    if ids.size == 0 and maps.ndim == 2 and not maps.any():  # one plane of zeros means no map
        return _checked(ids, np.zeros((0, *maps.shape), np.float32))
    return _zero_based(ids, maps)


def _from_archive(archive: Archive, wanted: Classes | None, all_classes: Sequence[int]) -> tuple[Classes, Maps]:
    if "cams" not in archive:
        raise ValueError(f"no 'cams' among {', '.join(map(repr, archive)) or 'no arrays'}{_PROBABILITIES}")
    maps = archive["cams"]
    if "classes" in archive:
        return _checked(archive["classes"], maps)
    count = len(np.atleast_1d(maps))
    if wanted is not None and count in all_classes:
        return _of_all(maps, all_classes)
    if wanted is not None and (len(all_classes) > 1 or wanted.max(initial=0) > count):
        # All classes are known to be more or fewer, so these are maps of some of them.
        return _from_array(maps, wanted)
    return _checked(np.arange(1, 1 + count), maps)


def _of_all(maps: npt.NDArray[Any], all_classes: Sequence[int]) -> tuple[Classes, Maps]:
    """Maps alone of every class, without that of the background, which is the first of one more."""
    background = all_classes.index(len(maps))
    return _checked(np.arange(1, 1 + len(maps) - background), maps[background:])


def _from_array(item: Any, classes: Classes | None, all_classes: Sequence[int] = ()) -> tuple[Classes, Maps]:
    """Maps alone: ``(K, h, w)``, one map ``(h, w)``, a list of maps, or a batch of one."""
    maps = loaded(item)
    if maps.ndim == 4 and 1 in maps.shape[:2]:
        maps = maps.reshape(-1, *maps.shape[2:])
    maps = maps[None] if maps.ndim == 2 else maps
    if classes is None:
        raise ValueError(
            f"an array of shape {maps.shape}, which names no classes: pass classes (--classes-of of a command), or "
            f"write a dictionary or .npz{_PROBABILITIES}"
        )
    if maps.ndim == 3 and len(maps) != len(classes):
        if len(maps) in all_classes:
            return _of_all(maps, all_classes)
        raise ValueError(
            f"an array of {len(maps)} maps for {len(classes)} classes, {classes.tolist()}: it must hold a map of each "
            "of them, in this order, and none of the background, or maps of all classes, whose number --names of the "
            "commands says"
        )
    return _checked(classes, maps)


def _chosen(ids: Classes, maps: Maps, classes: Classes | None) -> tuple[Classes, Maps]:
    """The maps of these classes."""
    if classes is None:
        return ids, maps
    place = {label: n for n, label in enumerate(ids.tolist())}
    labels = classes.tolist()
    if absent := [label for label in labels if label not in place]:
        raise ValueError(f"no map of class {absent[0]} among {ids.tolist()}")
    chosen = [place[label] for label in labels]
    return _checked(ids[chosen], maps[chosen])


def _zero_based(ids: npt.NDArray[Any], maps: npt.NDArray[Any]) -> tuple[Classes, Maps]:
    # In int64, because 255 + 1 does not fit into uint8.
    return _checked(ids.astype(np.int64) + 1 if ids.dtype.kind in "iu" else ids, maps)


def _checked(ids: npt.NDArray[Any], maps: npt.NDArray[Any]) -> tuple[Classes, Maps]:
    """Classes >= 1 and their maps, checked; the message of an error says what is wrong."""
    if ids.size == 0 and maps.size == 0:
        height, width = maps.shape[-2:] if maps.ndim == 3 else (0, 0)
        return np.zeros(0, np.int64), np.zeros((0, height, width), np.float32)
    if ids.dtype.kind not in "iu":
        raise ValueError(f"classes of type {ids.dtype}")
    if maps.dtype.kind != "f":
        raise ValueError(f"maps of type {maps.dtype}, not floating point")
    if ids.ndim != 1 or maps.ndim != 3 or len(ids) != len(maps) or 0 in maps.shape:
        raise ValueError(f"classes of shape {ids.shape} and maps of shape {maps.shape}")
    ids = ids.astype(np.int64)  # a larger unsigned number becomes negative
    _check_ids(ids)
    with np.errstate(over="ignore"):  # float64 outside the range of float32 becomes infinite, and is refused
        # torch needs memory that can be written to, and no subclass of ndarray.
        values = np.require(maps, np.float32, ["C", "W", "E"])
    if not np.isfinite(values).all():
        raise ValueError(f"{'NaN' if np.isnan(values).any() else 'infinite'} values")
    return ids, values


def _check_ids(ids: Classes) -> None:
    """Each >= 1 and once; the message of an error says what is wrong."""
    if ids.min(initial=1) < 1:
        raise ValueError(f"a class below the first, {ids.min()} (the first is 1 in a label map, 0 in a dictionary)")
    if len(np.unique(ids)) < len(ids):
        raise ValueError(f"a class twice, {ids.tolist()}")


def _quarter(maps: Maps) -> Tensor:
    """``(K, H, W)`` -> ``(K, ceil(H / 4), ceil(W / 4))``."""
    size = tuple(-(-side // _IRN_STRIDE) for side in maps.shape[1:])
    if maps.size == 0:
        return torch.zeros(len(maps), *size, dtype=torch.float32, device="cpu")
    values = torch.from_numpy(maps)[None]
    return torch.nn.functional.interpolate(values, size, mode="bilinear", antialias=True)[0]
