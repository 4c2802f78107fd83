"""Labels and maps of volumes to NIfTI files."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from closedform_wsss._arrays import as_array
from closedform_wsss.io._files.save import atomic
from closedform_wsss.io._types import PathLike
from closedform_wsss.io._volumes.nifti import check_name, nibabel_for
from closedform_wsss.io._volumes.volume import Volume, check_volume, from_slices

_INTEGERS = (np.uint8, np.int16, np.int32)


def write_volume(path: PathLike, values: Tensor | npt.NDArray[Any], volume: Volume) -> None:
    """Writes labels or maps of a volume to a NIfTI file with the volume's orientation and spacing, atomically.

    Args:
        path: A file .nii or .nii.gz; one that is there is replaced.
        values: ``(S, H, W)``, or ``(S, 1, H, W)``: integers, stored exactly in the smallest of uint8, int16 and int32
            that holds them, or floating point, stored as float32. For a matte of one class, ``alpha[:, 1]``.
        volume: As from :func:`read_volume`.

    Raises:
        ImportError: nibabel is missing.
        OSError: The folder is missing or may not be written to.
        TypeError: ``volume`` is not a :class:`Volume`, or the values are not numbers.
        ValueError: The values have another shape than the volume, or an integer does not fit; the name ends otherwise.

    Example:
        >>> import nibabel, pathlib, tempfile, torch
        >>> import numpy as np
        >>> from closedform_wsss.io import read_volume, write_volume
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> nibabel.save(nibabel.Nifti1Image(np.zeros((64, 48, 9)), np.diag([0.8, 0.8, 5, 1])), folder / "mr.nii")
        >>> volume = read_volume(folder / "mr.nii")
        >>> write_volume(folder / "labels.nii.gz", torch.ones(9, 48, 64, dtype=torch.int64), volume)
        >>> labels = nibabel.load(folder / "labels.nii.gz")
        >>> labels.shape, labels.get_data_dtype().name, labels.affine.diagonal().round(3).tolist()
        ((64, 48, 9), 'uint8', [0.8, 0.8, 5.0, 1.0])
    """
    fn = "write_volume"
    nibabel = nibabel_for(fn)
    name = check_name(fn, path)
    check_volume(fn, volume)
    array = as_array(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{fn}: values must be a tensor or an array of numbers, got {type(values).__name__}")
    wanted = tuple(volume.values[:, 0].shape)
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != wanted:
        raise ValueError(
            f"{fn}: values must be (S, H, W) = {wanted} like the volume, got shape {array.shape}: write each class of "
            "a matte by itself, alpha[:, 1]"
        )
    array = array.astype(_stored_type(fn, array), copy=False)
    header = volume.header.copy()
    header.extensions.clear()  # what programs noted about the image
    header.set_data_dtype(array.dtype)
    header["cal_min"] = header["cal_max"] = 0  # the image's window of a viewer
    kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    # The header keeps both of its transforms with their codes, because the affine is its own.
    content = kind(from_slices(array, volume.axis), volume.affine, header).to_bytes()
    with atomic(path) as file:
        file.write(gzip.compress(content, mtime=0) if name.lower().endswith(".gz") else content)


def _stored_type(fn: str, array: npt.NDArray[Any]) -> type[np.generic]:
    """The type that a file stores values in."""
    if array.dtype.kind == "f":
        return np.float32
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for kind in _INTEGERS:
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return kind
    raise ValueError(f"{fn}: values must fit into 32 bits with a sign, got integers from {low} to {high}")
