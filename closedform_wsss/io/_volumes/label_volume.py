"""Marks and labels of volumes from NIfTI files."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss._warn import warn_user
from closedform_wsss.io._labels.remap_labels import Remap, check_mapping, check_unmarked, remap_marks
from closedform_wsss.io._tensors import label_tensor
from closedform_wsss.io._types import PathLike
from closedform_wsss.io._volumes.nifti import open_nifti
from closedform_wsss.io._volumes.volume import Volume, as_slices, check_volume, from_slices

# Of a voxel: rounding of affines in files stays below, other grids do not.
_SAME_GRID = 0.1
_NEARLY_ALL = 0.9  # of the voxels: no strokes of one class


def read_label_volume(
    path: PathLike, volume: Volume, *, unmarked: int | None = None, remap: Remap | None = None
) -> Tensor:
    """Reads the marks or labels of a volume from a NIfTI file, slice by slice like the volume.

    A file whose axes are in another order or direction, as programs store them, is turned to those of the volume.

    Args:
        path: A file .nii or .nii.gz that holds integers, in any type.
        volume: The volume that they belong to, as from :func:`read_volume`.
        unmarked: The label that means unmarked, mostly 0 (ITK-SNAP, 3D Slicer). Default 255.
        remap: New labels for the stored ones, applied first: see :func:`remap_labels`. If 0 is unmarked and the first
            class is stored as 1, ``"reduce_zero"``.

    Returns:
        int64 ``(S, H, W)``.

    Raises:
        ImportError: nibabel is missing.
        OSError: The file is missing or may not be read.
        TypeError: ``volume`` is not a :class:`Volume`; ``unmarked`` or ``remap`` is of another type.
        ValueError: The file is no NIfTI file, is damaged or truncated, does not lie on the grid of the volume, holds
            fractions, labels outside 0 to 255 that ``remap`` does not name, or both 255 and ``unmarked``.

    Warns:
        UserWarning: With ``unmarked`` or ``"reduce_zero"``, more than 90 % of the voxels are marks of one class.

    Example:
        >>> import nibabel, pathlib, tempfile
        >>> import numpy as np
        >>> from closedform_wsss.io import read_label_volume, read_volume
        >>> folder, affine = pathlib.Path(tempfile.mkdtemp()), np.diag([0.8, 0.8, 5, 1])
        >>> nibabel.save(nibabel.Nifti1Image(np.zeros((64, 48, 9), np.int16), affine), folder / "mr.nii.gz")
        >>> scribbles = np.zeros((64, 48, 9), np.uint8)
        >>> scribbles[10:50, 5, 4], scribbles[30:40, 20, 4] = 1, 2
        >>> nibabel.save(nibabel.Nifti1Image(scribbles, affine), folder / "scribbles.nii.gz")
        >>> volume = read_volume(folder / "mr.nii.gz")
        >>> marks = read_label_volume(folder / "scribbles.nii.gz", volume, remap="reduce_zero")
        >>> marks.shape, marks.unique().tolist()
        (torch.Size([9, 48, 64]), [0, 1, 255])
    """
    fn = "read_label_volume"
    check_volume(fn, volume)
    check_unmarked(fn, unmarked)
    if remap is not None:
        check_mapping(fn, "remap", remap)
    image, array = open_nifti(fn, path, None)
    name = os.fspath(path)
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and (array == np.rint(array)).all()):
            raise ValueError(f"{fn}: path must hold integers, got fractions or NaN in {name!r}")
        array = array.astype(np.int64)
    array = _on_grid(fn, name, array, np.asarray(image.affine, np.float64), volume)
    codes = as_slices(array, volume.axis)
    marks = remap_marks(fn, codes, remap, unmarked, name)
    if remap == "reduce_zero" or unmarked is not None:  # these are marks, and not the labels of all voxels
        _warn_of_one_class(fn, codes, marks, name)
    return label_tensor(marks)


def _warn_of_one_class(fn: str, codes: npt.NDArray[Any], marks: npt.NDArray[np.uint8], name: str) -> None:
    """Warns of marks of one class nearly everywhere: that is the code of unmarked voxels."""
    counts = np.bincount(marks.ravel(), minlength=IGNORE_INDEX + 1)[:IGNORE_INDEX]
    label = int(counts.argmax())
    if counts[label] > _NEARLY_ALL * marks.size:
        code = codes[marks == label].flat[0]
        warn_user(
            f"{fn}: {counts[label] / marks.size:.1%} of the voxels in {name!r} are marks of class {label}, stored as "
            f"{code}: if {code} means unmarked, pass unmarked={code}, without remap",
            UserWarning,
        )


def _on_grid(
    fn: str, name: str, array: npt.NDArray[Any], affine: npt.NDArray[np.float64], volume: Volume
) -> npt.NDArray[Any]:
    """The array of a file with the order and direction of the volume's axes.

    Raises:
        ValueError: Its voxels are elsewhere.
    """
    from nibabel import orientations

    size = from_slices(np.empty(volume.values[:, 0].shape), volume.axis).shape
    ways = (orientations.io_orientation(matrix) for matrix in (affine, volume.affine))
    turn = orientations.ornt_transform(*ways)
    turned = orientations.apply_orientation(array, turn)
    affine = affine @ orientations.inv_ornt_aff(turn, array.shape)
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(size) - 1)
    apart = np.abs(corners @ (affine - volume.affine)[:3, :3].T + (affine - volume.affine)[:3, 3]).max()
    if turned.shape != size or not apart < _SAME_GRID * min(volume.spacing):
        what = f"shape {array.shape}" if turned.shape != size else f"voxels up to {apart:.3g} mm from its own"
        raise ValueError(
            f"{fn}: path must hold labels on the grid of the volume, {size} voxels, got {what} in {name!r}: resample "
            "them to it, or, if only the affine of the file is wrong, store them with that of the volume"
        )
    return np.asarray(turned)
