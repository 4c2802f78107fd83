"""Volumes from NIfTI files, as a batch of slices."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from closedform_wsss._checks.options import check_count, check_option
from closedform_wsss.io._pictures.unit_range import to_unit_range
from closedform_wsss.io._types import PathLike
from closedform_wsss.io._volumes.nifti import open_nifti


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume as a batch of slices, and its place in the world.

    Attributes:
        values: float32 ``(S, 1, H, W)``.
        spacing: Millimetres from slice to slice, from row to row and from column to column.
        axis: The axis of the file that the slices lie along.
        affine: float64 ``(4, 4)``, from indices of the file's array to millimetres right, anterior and superior, as
            nibabel has it.
        header: nibabel's header of the file, which :func:`write_volume` copies.
    """

    values: Tensor
    spacing: tuple[float, float, float]
    axis: int
    affine: npt.NDArray[np.float64]
    header: Any

    def __repr__(self) -> str:
        spacing = " x ".join(f"{side:.3g}" for side in self.spacing)
        return f"Volume(values={tuple(self.values.shape)}, spacing={spacing} mm, axis={self.axis})"


def read_volume(
    path: PathLike,
    *,
    window: tuple[float, float] | None = None,
    percentiles: tuple[float, float] | None = None,
    axis: int = 2,
    frame: int | None = None,
) -> Volume:
    """Reads a NIfTI file as a batch of slices, as the functions take it. Needs nibabel: the extra ``nifti``.

    ``volume.values`` are the slices along ``axis``. With the default they are the array of SimpleITK's
    ``GetArrayFromImage``, and the transpose of nibabel's ``get_fdata()``, with a channel: nothing is turned or
    mirrored. The file's slope and intercept are applied.

    Args:
        path: A file .nii or .nii.gz, of NIfTI-1 or NIfTI-2.
        window: ``(low, high)``, the values that become 0 and 1, for computed tomography: ``(-160, 240)`` Hounsfield
            units show soft tissue.
        percentiles: The same by percentiles of the whole volume, for magnetic resonance, whose values have no unit:
            ``(1, 99)``. Without either, the values stay as they are, and :func:`to_unit_range` maps them.
        axis: 0, 1 or 2. Choose the direction with the largest spacing, which mostly is 2, the last (default).
        frame: Of a file with several frames, which one, from 0. Default: such files are an error.

    Returns:
        A :class:`Volume`.

    Raises:
        ImportError: nibabel is missing.
        OSError: The file is missing or may not be read.
        ValueError: The file is no NIfTI file, is damaged or truncated, holds colours or complex numbers, has an affine
            that gives voxels no place, or has several frames and no ``frame`` is given; with a window or percentiles,
            it holds NaN values; an option has another value.

    Example:
        >>> import nibabel, pathlib, tempfile
        >>> import numpy as np
        >>> from closedform_wsss.io import read_volume
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> array = np.random.default_rng(0).integers(-1000, 1000, (64, 48, 9)).astype(np.int16)
        >>> nibabel.save(nibabel.Nifti1Image(array, np.diag([0.8, 0.8, 5, 1])), folder / "ct.nii.gz")
        >>> volume = read_volume(folder / "ct.nii.gz", window=(-160, 240))
        >>> volume
        Volume(values=(9, 1, 48, 64), spacing=5 x 0.8 x 0.8 mm, axis=2)
    """
    fn = "read_volume"
    check_option(fn, "axis", axis, (0, 1, 2))
    if frame is not None:
        check_count(fn, "frame", frame, 0)
    image, array = open_nifti(fn, path, frame)
    if window is not None or percentiles is not None:
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise ValueError(
                f"{fn}: path must hold numbers, got NaN values in {os.fspath(path)!r}: read it without window and "
                "percentiles, and replace them, as by torch.nan_to_num"
            )
        array = to_unit_range(array, window=window, percentiles=percentiles)
    affine = np.asarray(image.affine, np.float64)
    sides = _first(np.linalg.norm(affine[:3, :3], axis=0)[::-1], 2 - axis)
    values = torch.from_numpy(np.array(as_slices(array, axis), np.float32, order="C"))
    return Volume(values[:, None], (float(sides[0]), float(sides[1]), float(sides[2])), axis, affine, image.header)


def as_slices(array: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """``(X, Y, Z)`` as slices along an axis; within a slice x runs along the rows if it is still there."""
    return np.moveaxis(array.transpose(2, 1, 0), 2 - axis, 0)


def from_slices(slices: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """The inverse of :func:`as_slices`."""
    return np.moveaxis(slices, 0, 2 - axis).transpose(2, 1, 0)


def _first(values: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """Three values with that of an axis first."""
    return np.concatenate([values[axis : axis + 1], np.delete(values, axis)])


def check_volume(fn: str, volume: object) -> None:
    """As from :func:`read_volume`."""
    if not isinstance(volume, Volume):
        raise TypeError(f"{fn}: volume must be a Volume, as from read_volume, got {type(volume).__name__}")
