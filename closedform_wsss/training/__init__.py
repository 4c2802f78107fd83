"""What makes a network learn from weak labels: parts for a training loop of one's own."""

from closedform_wsss.training.class_balance import class_factors, class_weights, winning_fractions
from closedform_wsss.training.pseudo_labeler import PseudoLabeler
from closedform_wsss.training.recipe import Recipe, Report
from closedform_wsss.training.self_training_loss import SelfTrainingLoss

__all__ = [
    "PseudoLabeler",
    "Recipe",
    "Report",
    "SelfTrainingLoss",
    "class_factors",
    "class_weights",
    "winning_fractions",
]
