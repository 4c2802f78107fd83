"""A photograph and marks to a matte and a cut-out, in one call."""

from __future__ import annotations

import os
import warnings
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from closedform_wsss import io
from closedform_wsss._arrays import as_tensor
from closedform_wsss._checks import check_image, check_interval, check_positive, hints
from closedform_wsss._warn import warn_user
from closedform_wsss.functional import ConvergenceWarning, Solution, estimate_foreground, solve_matting
from closedform_wsss.io import IGNORE_INDEX
from closedform_wsss.io._pictures.image import has_transparency, laid_over
from closedform_wsss.io._pictures.orientation import stored_orientation
from closedform_wsss.io._tensors import pixels_tensor

_FN = "matte"
_MAX_SHOWN = 5


class Matte:
    """The matte of a foreground; with its own colours, a cut-out. :func:`matte` makes it.

    Attributes:
        alpha: float32 ``(H, W)`` in [0, 1], a NumPy array.
        solution: How the solve went, and the mattes before ``levels`` and clipping: see
            :class:`~closedform_wsss.functional.Solution`.

    Example:
        >>> import numpy as np
        >>> import closedform_wsss
        >>> photo = np.full((8, 12, 3), 90, np.uint8)
        >>> photo[:, 6:] = 200
        >>> marks = np.full((8, 12), 255)
        >>> marks[4, 1], marks[4, 10] = 0, 1
        >>> result = closedform_wsss.matte(photo, marks)
        >>> result.alpha.shape, result.cutout.shape, result.solution.converged
        ((8, 12), (8, 12, 4), True)
    """

    alpha: npt.NDArray[np.float32]
    solution: Solution

    def __init__(self, image: Tensor, solution: Solution, levels: tuple[float, float] | None) -> None:
        """image: ``(1, D, H, W)``."""
        self._image = image
        alpha = solution.alpha[0, 1]
        self.solution = solution
        self.alpha = stretch(alpha, levels).clamp(0, 1).float().cpu().numpy()

    @cached_property
    def cutout(self) -> npt.NDArray[np.uint8]:
        """uint8 ``(H, W, 4)``: red, green, blue of the foreground alone, and alpha. Computed at the first use, by
        :func:`~closedform_wsss.functional.estimate_foreground`."""
        return cutout(self._image, torch.from_numpy(self.alpha).to(self._image.device))

    def __repr__(self) -> str:
        height, width = self.alpha.shape
        return f"Matte({height} x {width}, {self.solution!r})"


def matte(
    image: str | os.PathLike[str] | npt.ArrayLike | Image.Image | Tensor,
    marks: str | os.PathLike[str] | npt.ArrayLike | Image.Image | Tensor,
    *,
    levels: tuple[float, float] | None = None,
    eps: float = 1e-7,
    tol: float = 1e-3,
) -> Matte:
    """The alpha matte and the cut-out of an object that is marked on a photograph.

    Args:
        image: The photograph: the path of a file, a Pillow image of 8 bits per channel, an array ``(H, W, 3)`` or
            ``(H, W)``, or a tensor ``(D, H, W)``; uint8, or floating point in [0, 1].
        marks: What is background and what is foreground, of the image's size. The path of a file of any kind that
            :func:`closedform_wsss.io.read_marks` reads: a copy of the image with black strokes on the background and
            white ones on the foreground, a transparent layer of strokes, a trimap, or a label map. Or the pixels of
            such a picture. Or labels ``(H, W)``: 0 background, 1 foreground, 255 unmarked, an array or a tensor.
        levels: ``(low, high)``: alpha up to low becomes 0, from high on 1, and between them it is stretched. (0.05,
            0.95) removes a faint haze. Default: alpha as it is.
        eps: Regularisation of the matting Laplacian, > 0. A larger value, such as 1e-5, makes noisy photographs
            smoother. Default 1e-7.
        tol: Largest error of alpha. Default 1e-3.

    Returns:
        A :class:`Matte`, with ``alpha`` and ``cutout`` as NumPy arrays.

    Raises:
        OSError: A file is missing or cannot be read.
        TypeError: A wrong type.
        ValueError: Image or marks are damaged or of another shape or range; background or foreground has no mark, or
            every pixel has one; an option is out of range.

    Warns:
        ConvergenceWarning: The solver stopped early.
        OrientationWarning: A file was turned as its EXIF data says, or a Pillow image has such data and was not turned.

    Example:
        >>> import numpy as np
        >>> import closedform_wsss
        >>> photo = np.zeros((20, 30, 3), np.uint8)
        >>> photo[:, 15:] = 200, 40, 40
        >>> marks = np.full((20, 30), 255)
        >>> marks[5:15, 3], marks[5:15, 26] = 0, 1
        >>> result = closedform_wsss.matte(photo, marks)
        >>> result.alpha[10, [0, 29]].round().tolist()
        [0.0, 1.0]
        >>> result.cutout.shape, result.cutout[10, 29].tolist()
        ((20, 30, 4), [200, 40, 40, 255])
    """
    if levels is not None:
        levels = check_interval(_FN, "levels", levels, 0, 1)
    check_positive(_FN, "eps", eps)
    check_positive(_FN, "tol", tol)
    pixels = _image(image)
    labels = _marks(marks, pixels)
    _check_labels(labels)
    batch = pixels[None]
    check_image(_FN, batch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it names an option that this function does not have
        solution = solve_matting(labels[None].to(batch.device), batch, num_classes=2, eps=eps, tol=tol)
    if not solution.converged:
        warn_user(
            f"{_FN}: stopped after {solution.iterations} iterations with an estimated error of {solution.error:.2g} in "
            f"alpha, above tol {tol:g}: raise eps or tol, or mark more",
            ConvergenceWarning,
        )
    return Matte(batch, solution, levels)


def stretch(alpha: Tensor, levels: tuple[float, float] | None) -> Tensor:
    """alpha with ``levels`` at 0 and 1, not clipped."""
    if levels is None:
        return alpha
    low, high = levels
    return (alpha - low) / (high - low)


def cutout(image: Tensor, alpha: Tensor) -> npt.NDArray[np.uint8]:
    """uint8 ``(H, W, 4)`` of an image ``(1, D, H, W)`` and alpha ``(H, W)`` in [0, 1]."""
    colors = estimate_foreground(image, alpha[None])[0]
    layers = torch.cat([colors.expand(3, -1, -1), alpha[None].to(colors.dtype)])
    return layers.mul(255).round_().byte().permute(1, 2, 0).contiguous().cpu().numpy()


def _image(image: Any) -> Tensor:
    """``(D, H, W)``."""
    if isinstance(image, (str, os.PathLike)):
        return io.read_image(image)
    if isinstance(image, Image.Image):
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):  # convert would clip their values
            raise ValueError(
                f"{_FN}: image must have 8 bits per channel, got a Pillow image of mode {image.mode!r}: pass the path "
                "of its file, or an array that closedform_wsss.io.to_unit_range maps to [0, 1]"
            )
        image.load()  # Pillow turns TIFF files itself
        if (orientation := stored_orientation(image)) != 1:
            warn_user(
                f"{_FN}: image states the EXIF orientation {orientation}, which is applied to files and not to Pillow "
                "images: for marks drawn in a viewer pass its path or PIL.ImageOps.exif_transpose(image), for "
                "marks of the stored pixels numpy.asarray(image)",
                io.OrientationWarning,
            )
        if has_transparency(image):  # as read_image does with a file
            image = Image.fromarray(laid_over(image))
        elif image.mode not in ("L", "RGB"):
            image = image.convert("RGB")
    pixels = image if isinstance(image, Tensor) else pixels_tensor(_FN, "image", "(H, W, 3)", _array("image", image))
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3):
        wanted = "(3, H, W)" if isinstance(image, Tensor) else "(H, W, 3)"
        cure = ": pass image[..., :3]" if not isinstance(image, Tensor) and pixels.shape[0] == 4 else ""
        raise ValueError(f"{_FN}: image must be a photograph {wanted}, got shape {tuple(np.shape(image))}{cure}")
    return pixels


def _marks(marks: Any, image: Tensor) -> Tensor:
    """Labels ``(H, W)`` of the image's size."""
    if isinstance(marks, (str, os.PathLike)):
        return io.read_marks(marks, _as_bytes(image))
    labels = marks if isinstance(marks, Tensor) else as_tensor(_FN, "marks", _array("marks", marks))
    if labels.ndim == 3:
        picture = labels if isinstance(marks, Tensor) else labels.permute(2, 0, 1)
        if picture.shape[0] in (3, 4):
            return _drawn(picture, image)
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise TypeError(
            f"{_FN}: marks must be integers, 0 background, 1 foreground and {IGNORE_INDEX} unmarked, got {labels.dtype}"
        )
    if tuple(labels.shape) != tuple(image.shape[1:]):
        raise ValueError(
            f"{_FN}: marks must have the size of image (H, W) = {tuple(image.shape[1:])}, got shape "
            f"{tuple(labels.shape)}"
        )
    labels = labels.long()
    # A foreground would be 1, so this is the picture of a trimap.
    return io.from_trimap(labels) if hints.is_trimap(labels.unique().tolist()) else labels


def _drawn(picture: Tensor, image: Tensor) -> Tensor:
    """The marks of strokes on a copy of the image, or on a transparent layer."""
    if tuple(picture.shape[1:]) != tuple(image.shape[1:]):
        raise ValueError(
            f"{_FN}: marks must have the size of image (H, W) = {tuple(image.shape[1:])}, got "
            f"{tuple(picture.shape[1:])}"
        )
    if picture.shape[0] == 4 and not bool((picture[3] == 255).all()):
        return io.from_layer(picture)[0]
    return io.from_scribbles(_as_bytes(image), picture[:3])[0]


def _check_labels(labels: Tensor) -> None:
    present = labels.unique().tolist()
    marked = [label for label in present if label != IGNORE_INDEX]
    wrong = [label for label in marked if label not in (0, 1)]
    if wrong:
        shown = ", ".join(map(str, wrong[:_MAX_SHOWN])) + ", ..." * (len(wrong) > _MAX_SHOWN)
        raise ValueError(
            f"{_FN}: marks must be 0 background, 1 foreground and {IGNORE_INDEX} unmarked, got {shown}: for several "
            "classes see closedform_wsss.solve_matting"
        )
    if len(marked) < 2:
        got = f"only {('background', 'foreground')[marked[0]]}, {marked[0]}" if marked else "none"
        raise ValueError(
            f"{_FN}: marks must be on the background, 0, and on the foreground, 1, got {got}: mark both (strokes of a "
            "single colour are 0, whatever the colour)"
        )
    if IGNORE_INDEX not in present:
        raise ValueError(
            f"{_FN}: marks must leave pixels unmarked, {IGNORE_INDEX}, got 0 or 1 at every pixel: a mask needs a band "
            "of unmarked pixels along its edge"
        )


def _as_bytes(image: Tensor) -> Tensor:
    """uint8 ``(3, H, W)`` on the CPU, as the readers of marks take it."""
    if image.dtype != torch.uint8:
        image = check_image(_FN, image[None])[0].clamp(0, 1).mul(255).round().byte()
    return image.expand(3, -1, -1).cpu()


def _array(name: str, value: Any) -> npt.NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{_FN}: {name} must be a path, an array, a Pillow image or a tensor, got {type(value).__name__}"
        )
    return array
