"""NIfTI files, opened by nibabel: checked, with one frame, in the order of their axes."""

from __future__ import annotations

import gzip
import math
import os
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from closedform_wsss.io._types import PathLike

SUFFIXES = (".nii", ".nii.gz")
# Deflate makes at most 1032 bytes of one.
_LARGEST_RATIO = 1032


def nibabel_for(fn: str) -> Any:
    """The package, which is an extra."""
    try:
        import nibabel
    except ImportError as error:
        raise ImportError(f"{fn}: nibabel must be installed for NIfTI files: pip install nibabel") from error
    return nibabel


def check_name(fn: str, path: PathLike) -> str:
    """A name that ends in .nii or .nii.gz."""
    name = os.fspath(path)
    if not name.lower().endswith(SUFFIXES):
        raise ValueError(f"{fn}: path must end in .nii or .nii.gz, got {name!r}")
    return name


def open_nifti(fn: str, path: PathLike, frame: int | None) -> tuple[Any, npt.NDArray[Any]]:
    """nibabel's image, and its numbers ``(X, Y, Z)``: scaled by the file's slope and intercept, integers without them.

    Raises:
        ImportError: nibabel is missing.
        OSError: The file is missing or may not be read.
        ValueError: The file is no NIfTI file, is damaged or truncated, holds colours or complex numbers, has an affine
            that gives voxels no place, or has several frames and ``frame`` does not choose one.
    """
    nibabel = nibabel_for(fn)
    name = check_name(fn, path)
    try:
        with open(path, "rb") as stored:
            try:
                file: Any = gzip.GzipFile(fileobj=stored) if name.lower().endswith(".gz") else stored
                image = _image(nibabel, file)
                _check_claim(image, os.fstat(stored.fileno()).st_size, packed=file is not stored)
                index = _frame(image.shape, frame)
                values = np.asanyarray(image.dataobj[index])
                # To the end, where gzip compares its checksum: nibabel stops at the last voxel.
                while file.read(1 << 20):
                    pass
            except _FrameError as error:
                raise ValueError(f"{fn}: {error} in {name!r}") from None
            except Exception as error:  # nibabel raises what its parts raise
                reason = " ".join(str(error).split()) or type(error).__name__
                raise ValueError(f"{fn}: path must be a complete NIfTI file, got {name!r} ({reason})") from error
    except IsADirectoryError as error:
        raise ValueError(f"{fn}: path must be a NIfTI file, got the directory {name!r}") from error
    if values.dtype.kind not in "iuf":
        kind = "colours" if values.dtype.names else "complex numbers"
        raise ValueError(f"{fn}: path must hold one real number a voxel, got {kind} in {name!r}")
    _check_affine(fn, name, np.asarray(image.affine, np.float64)[:3])
    values = values.reshape(values.shape[:3] + (1,) * (3 - values.ndim))
    return image, values.astype(values.dtype.newbyteorder("="), copy=False)


class _FrameError(ValueError):
    """``frame`` does not choose a volume."""


def _image(nibabel: Any, file: IO[bytes]) -> Any:
    """nibabel's image of an open file, whose numbers are not read yet."""
    head = file.read(nibabel.Nifti2Header.sizeof_hdr)
    file.seek(0)
    for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        if kind.header_class.may_contain_header(head):
            return kind.from_stream(file)
    raise ValueError("it does not begin with a header of NIfTI" if head else "it is empty")


def _check_claim(image: Any, size: int, *, packed: bool) -> None:
    """Refuses a header that claims more data than the file can hold, before memory is allocated for them."""
    shape = image.shape
    if not shape or 0 in shape:
        raise ValueError(f"its shape is {shape}")
    claimed = image.get_data_dtype().itemsize * math.prod(shape)
    if claimed > (size * _LARGEST_RATIO if packed else size - image.dataobj.offset):
        raise ValueError(f"it is too short for its shape {shape}")


def _check_affine(fn: str, name: str, affine: npt.NDArray[np.float64]) -> None:
    """Refuses one ``(3, 4)`` with NaN, or with which voxels share their places: spacings would be NaN or 0."""
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:, :3]) < 3:
        raise ValueError(
            f"{fn}: path must have an affine that gives each voxel its place, got {affine.tolist()} in {name!r}: "
            "store it with the sizes of its voxels, as in nibabel.Nifti1Image(image.get_fdata(), "
            "numpy.diag([1, 1, 5, 1]))"
        )


def _frame(shape: tuple[int, ...], frame: int | None) -> tuple[Any, ...]:
    """The index of a volume."""
    frames, got = math.prod(shape[3:]), f"for shape {shape}"
    if frames == 1 and not frame:
        return (..., *(0,) * len(shape[3:]))
    if len(shape) != 4:
        raise _FrameError(f"path must hold a volume, or volumes of several frames, got one {got}")
    if frame is None:
        raise _FrameError(f"frame must choose one of {frames} frames, from 0 to {frames - 1}, got None {got}")
    if frame >= frames:
        raise _FrameError(f"frame must be from 0 to {frames - 1}, got {frame} {got}")
    return (..., frame)
