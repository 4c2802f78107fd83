"""Losses and post-processors as functions. Modules with the same options are in :mod:`closedform_wsss.nn`."""

from closedform_wsss.functional.absent_class_loss import absent_class_loss
from closedform_wsss.functional.asam import asam, asam_affinity
from closedform_wsss.functional.calibrate_cam import calibrate_cam
from closedform_wsss.functional.classes_present import classes_present
from closedform_wsss.functional.closed_form_loss import closed_form_loss
from closedform_wsss.functional.dense_crf import dense_crf
from closedform_wsss.functional.dense_crf_loss import dense_crf_loss
from closedform_wsss.functional.estimate_foreground import estimate_foreground
from closedform_wsss.functional.mark_loss import mark_loss
from closedform_wsss.functional.matting_filter import matting_filter
from closedform_wsss.functional.multi_label_loss import multi_label_loss
from closedform_wsss.functional.pseudo_labels import background_score, pseudo_labels
from closedform_wsss.functional.refine_cam import refine_cam
from closedform_wsss.functional.refine_prediction import refine_prediction
from closedform_wsss.functional.resize_marks import resize_marks
from closedform_wsss.functional.slic import slic
from closedform_wsss.functional.soft_slic import soft_slic
from closedform_wsss.functional.solve_matting import solve_matting
from closedform_wsss.functional.suggest_settings import SuggestedSettings, suggest_settings
from closedform_wsss.functional.superpixel_consistency_loss import superpixel_consistency_loss
from closedform_wsss.functional.superpixel_pool import superpixel_pool
from closedform_wsss.functional.superpixel_reconstruction_loss import superpixel_reconstruction_loss
from closedform_wsss.functional.superpixel_unpool import superpixel_unpool
from closedform_wsss.functional.test_time_augmentation import test_time_augmentation
from closedform_wsss.solver import ConvergenceWarning, Solution

__all__ = [
    "ConvergenceWarning",
    "Solution",
    "SuggestedSettings",
    "absent_class_loss",
    "asam",
    "asam_affinity",
    "background_score",
    "calibrate_cam",
    "classes_present",
    "closed_form_loss",
    "dense_crf",
    "dense_crf_loss",
    "estimate_foreground",
    "mark_loss",
    "matting_filter",
    "multi_label_loss",
    "pseudo_labels",
    "refine_cam",
    "refine_prediction",
    "resize_marks",
    "slic",
    "soft_slic",
    "solve_matting",
    "suggest_settings",
    "superpixel_consistency_loss",
    "superpixel_pool",
    "superpixel_reconstruction_loss",
    "superpixel_unpool",
    "test_time_augmentation",
]
