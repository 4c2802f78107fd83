"""How good a segmentation or a matte is."""

from closedform_wsss.metrics.confusion_matrix import ConfusionMatrix, SegmentationScores
from closedform_wsss.metrics.matte_errors import connectivity_error, gradient_error, mse, sad

__all__ = [
    "ConfusionMatrix",
    "SegmentationScores",
    "connectivity_error",
    "gradient_error",
    "mse",
    "sad",
]
