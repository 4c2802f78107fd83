"""Quality of segmentations, mattes and superpixels. ``preds`` and ``target`` may be arrays or tensors on any device."""

from closedform_wsss.metrics._segmentation_scores import SegmentationScores
from closedform_wsss.metrics.confusion_matrix import ConfusionMatrix
from closedform_wsss.metrics.matte_errors import connectivity_error, gradient_error, mse, sad
from closedform_wsss.metrics.superpixels import (
    achievable_segmentation_accuracy,
    boundary_recall,
    undersegmentation_error,
)

__all__ = [
    "ConfusionMatrix",
    "SegmentationScores",
    "achievable_segmentation_accuracy",
    "boundary_recall",
    "connectivity_error",
    "gradient_error",
    "mse",
    "sad",
    "undersegmentation_error",
]
