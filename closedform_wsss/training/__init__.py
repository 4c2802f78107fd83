"""What makes a network learn from weak labels: parts for a training loop."""

from closedform_wsss.training.class_balance import class_factors, class_weights, winning_fractions

__all__ = ["class_factors", "class_weights", "winning_fractions"]
