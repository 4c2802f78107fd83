"""The scores that follow from a confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class SegmentationScores:
    """Scores over a data set, all in 0..1.

    Attributes:
        mean_iou: Mean of ``iou`` over the classes that occur in targets or predictions.
        iou: ``(C,)`` float64 on the CPU, true positives / (true positives + false positives + false
            negatives) of each class; NaN for a class that occurs in neither.
        pixel_accuracy: Fraction of the counted pixels that are predicted correctly.
        mean_accuracy: Mean over the classes that occur in targets of the fraction of their pixels that are
            predicted correctly.
        ignored: Fraction of all pixels whose target is ``ignore_index``; NaN without any pixel.
        classes_in_target: ``(C,)`` bool on the CPU, True for the classes that occur in counted targets.
    """

    mean_iou: float
    iou: Tensor
    pixel_accuracy: float
    mean_accuracy: float
    ignored: float
    classes_in_target: Tensor


def scores_of(matrix: Tensor, ignored: int) -> SegmentationScores:
    """The scores of counts ``(C, C)`` int64 on the CPU. Rows are targets, columns predictions."""
    counts = matrix.double()
    hits, truth, guess = counts.diagonal(), counts.sum(dim=1), counts.sum(dim=0)
    counted = int(matrix.sum())
    iou = hits / (truth + guess - hits)
    return SegmentationScores(
        mean_iou=iou.nanmean().item(),
        iou=iou,
        pixel_accuracy=(hits.sum() / counts.sum()).item(),
        mean_accuracy=(hits / truth).nanmean().item(),
        ignored=ignored / (counted + ignored) if counted + ignored else float("nan"),
        classes_in_target=truth > 0,
    )
