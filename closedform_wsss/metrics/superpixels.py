"""How well superpixels follow the segments that people drew.

More superpixels of any shape improve all three measures, so compare methods at equal numbers of superpixels. The
measures are those of Stutz, Hermans and Leibe, "Superpixels: an evaluation of the state of the art", CVIU 2018. If
several people segmented an image, the result is the mean over these annotators.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from torch import Tensor

from closedform_wsss._arrays import as_array
from closedform_wsss._checks import check_count
from closedform_wsss._warn import warn_user
from closedform_wsss.superpixels import Superpixels

_Labels: TypeAlias = npt.NDArray[np.integer]
_Counts: TypeAlias = npt.NDArray[np.int64]


def boundary_recall(preds: npt.ArrayLike | Tensor, target: npt.ArrayLike | Tensor, *, tolerance: int = 2) -> float:
    """Fraction of the true boundary pixels that have a superpixel boundary nearby.

    Nearby means in the square of 2 ``tolerance`` + 1 pixels around it. A pixel is on a boundary of a label map if one
    of its four neighbours has another label, so a boundary is two pixels thick.

    Args:
        preds: ``(H, W)`` integers, the superpixels.
        target: ``(H, W)``, or ``(A, H, W)`` of A annotators: bool, True on the boundaries, or integers, the segments
            between the boundaries. For a picture of boundaries pass ``picture > 0``.
        tolerance: Pixels, >= 0. Default 2; Stutz et al. take 0.0025 of the image's diagonal, rounded (1 in BSDS500).

    Returns:
        The mean over the annotators, in 0..1, higher is better; 1 for an annotator who drew no boundary.

    Raises:
        TypeError: ``preds`` is not of an integer type, ``target`` neither integer nor bool, or ``tolerance`` not
            an integer.
        ValueError: Shapes do not agree, or ``tolerance`` is negative.

    Warns:
        UserWarning: No annotator drew a boundary, so the result is 1 for all superpixels.

    Reference:
        Martin, Fowlkes, Malik: Learning to detect natural image boundaries using local brightness, color, and texture
        cues. TPAMI 2004.

    Example:
        >>> import numpy as np
        >>> from closedform_wsss.metrics import boundary_recall
        >>> target = np.repeat([[0, 0, 0, 0, 1, 1, 1, 1]], 8, axis=0)
        >>> boundary_recall(target, target, tolerance=0), boundary_recall(target.T, target, tolerance=0)
        (1.0, 0.25)
    """
    fn = "boundary_recall"
    tolerance = check_count(fn, "tolerance", tolerance, 0)
    own, annotators = _checked(fn, preds, target, bool_too=True)
    near = ndimage.maximum_filter(_boundaries(own), size=2 * tolerance + 1, mode="constant", cval=0)
    drawn = [annotator if annotator.dtype == np.bool_ else _boundaries(annotator) for annotator in annotators]
    if not any(boundary.any() for boundary in drawn):
        _warn_of_one_region(fn, "1")
    return float(np.mean([near[boundary].mean() if boundary.any() else 1.0 for boundary in drawn]))


def undersegmentation_error(preds: npt.ArrayLike | Tensor, target: npt.ArrayLike | Tensor) -> float:
    r"""How much superpixels leak over the segments' boundaries, as defined by Neubert and Protzel.

    For each superpixel :math:`S_j` that overlaps a segment :math:`G_i`, the smaller part counts, inside or outside:

    .. math:: \frac{1}{P} \sum_i \sum_{j:\, S_j \cap G_i \neq \emptyset}
        \min(|S_j \cap G_i|,\; |S_j \setminus G_i|).

    Older definitions (Levinshtein et al.) always count :math:`S_j \setminus G_i`, so that a single pixel of overlap
    costs a whole superpixel. Their values cannot be compared with these.

    Args:
        preds: ``(H, W)`` integers, the superpixels.
        target: ``(H, W)`` integers, or ``(A, H, W)`` of A annotators. Every value is a segment, also 255 and -1.

    Returns:
        The mean over the annotators, 0 or more, lower is better.

    Raises:
        TypeError: ``preds`` or ``target`` is not of an integer type.
        ValueError: Shapes do not agree.

    Warns:
        UserWarning: All annotators drew one segment only, so the result is 0 for all superpixels.

    Reference:
        Neubert, Protzel: Superpixel benchmark and comparison. Forum Bildverarbeitung 2012.

    Example:
        >>> from closedform_wsss.metrics import undersegmentation_error
        >>> undersegmentation_error([[0, 0, 0, 1]], [[5, 5, 7, 7]])  # one pixel leaks and counts in both segments
        0.5
    """
    fn = "undersegmentation_error"
    own, annotators = _checked(fn, preds, target)
    if (annotators == annotators[:, :1, :1]).all():
        _warn_of_one_region(fn, "0")
    errors = []
    for annotator in annotators:
        superpixel, overlap, size = _overlaps(own, annotator)
        errors.append(np.minimum(overlap, size[superpixel] - overlap).sum() / own.size)
    return float(np.mean(errors))


def achievable_segmentation_accuracy(preds: npt.ArrayLike | Tensor, target: npt.ArrayLike | Tensor) -> float:
    r"""The best pixel accuracy of a segmentation that gives each superpixel one label.

    Each superpixel :math:`S_j` takes the segment :math:`G_i` that it overlaps most:

    .. math:: \frac{1}{P} \sum_j \max_i |S_j \cap G_i|.

    Args:
        preds: ``(H, W)`` integers, the superpixels.
        target: ``(H, W)`` integers, or ``(A, H, W)`` of A annotators. Every value is a segment, also 255 and -1.

    Returns:
        The mean over the annotators, in 0..1, higher is better.

    Raises:
        TypeError: ``preds`` or ``target`` is not of an integer type.
        ValueError: Shapes do not agree.

    Warns:
        UserWarning: All annotators drew one segment only, so the result is 1 for all superpixels.

    Reference:
        Liu, Tuzel, Ramalingam, Chellappa: Entropy rate superpixel segmentation. CVPR 2011.

    Example:
        >>> from closedform_wsss.metrics import achievable_segmentation_accuracy
        >>> achievable_segmentation_accuracy([[0, 0, 0, 1]], [[5, 5, 7, 7]])
        0.75
    """
    fn = "achievable_segmentation_accuracy"
    own, annotators = _checked(fn, preds, target)
    if (annotators == annotators[:, :1, :1]).all():
        _warn_of_one_region(fn, "1")
    accuracies = []
    for annotator in annotators:
        superpixel, overlap, size = _overlaps(own, annotator)
        best = np.zeros_like(size)
        np.maximum.at(best, superpixel, overlap)
        accuracies.append(best.sum() / own.size)
    return float(np.mean(accuracies))


def _warn_of_one_region(fn: str, value: str) -> None:
    warn_user(f"{fn}: target has one region only, so the result is {value} whatever preds are", UserWarning)


def _boundaries(labels: _Labels) -> npt.NDArray[np.bool_]:
    """``(H, W)``: the pixels with another label above, below, left or right of them."""
    edge = np.zeros(labels.shape, dtype=bool)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge


def _overlaps(labels: _Labels, segments: _Labels) -> tuple[_Counts, _Counts, _Counts]:
    """The superpixel (numbered from 0) and the common pixels of every overlapping pair; all sizes of superpixels."""
    _, own, size = np.unique(labels, return_inverse=True, return_counts=True)
    names, other = np.unique(segments, return_inverse=True)
    # Only overlapping pairs are kept: the full histogram of tiny superpixels and segments would be huge.
    pairs, overlap = np.unique(own.reshape(-1) * len(names) + other.reshape(-1), return_counts=True)
    return pairs // len(names), overlap, size


def _checked(
    fn: str, preds: npt.ArrayLike | Tensor, target: npt.ArrayLike | Tensor, *, bool_too: bool = False
) -> tuple[_Labels, npt.NDArray[Any]]:
    """The superpixels ``(H, W)`` and the target ``(A, H, W)`` as arrays."""
    if isinstance(preds, Superpixels):
        raise TypeError(
            f"{fn}: preds must be (H, W) integers, got the Superpixels of a batch: pass preds.to_hard().assignment[0]"
        )
    own, other = as_array(preds), as_array(target)
    if own.dtype.kind not in "iu":
        raise TypeError(f"{fn}: preds must be of an integer type, got {own.dtype}")
    if other.dtype.kind not in ("iub" if bool_too else "iu"):
        raise TypeError(f"{fn}: target must be of an integer type{' or bool' * bool_too}, got {other.dtype}")
    if own.ndim != 2 or own.size == 0:
        cure = ": preds[0]" if own.ndim == 3 and own.shape[0] == 1 else ""
        raise ValueError(f"{fn}: preds must be (H, W), got shape {own.shape}{cure}")
    if other.ndim not in (2, 3) or other.shape[-2:] != own.shape or other.size == 0:
        raise ValueError(
            f"{fn}: target must be {own.shape} like preds, or that for each of A annotators (A, H, W), "
            f"got shape {other.shape}"
        )
    return own, other.reshape(-1, *own.shape)
