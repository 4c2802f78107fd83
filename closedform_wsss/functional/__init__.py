"""Losses and post-processors as functions. Modules with the same options are in :mod:`closedform_wsss.nn`."""

from closedform_wsss.functional._solve import ConvergenceWarning, SolveInfo
from closedform_wsss.functional.closed_form_loss import closed_form_loss
from closedform_wsss.functional.multi_label import classes_present, multi_label_loss
from closedform_wsss.functional.solve_matting import solve_matting

__all__ = [
    "ConvergenceWarning",
    "SolveInfo",
    "classes_present",
    "closed_form_loss",
    "multi_label_loss",
    "solve_matting",
]
