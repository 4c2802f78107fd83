"""Modules: the functions of :mod:`closedform_wsss.functional` with their options kept, and two networks."""

from closedform_wsss.nn.asam import ASAM
from closedform_wsss.nn.closed_form_loss import ClosedFormLoss
from closedform_wsss.nn.dense_crf import DenseCRF
from closedform_wsss.nn.dense_crf_loss import DenseCRFLoss
from closedform_wsss.nn.mark_loss import MarkLoss
from closedform_wsss.nn.matting_filter import MattingFilter
from closedform_wsss.nn.multi_label_head import MultiLabelHead
from closedform_wsss.nn.refine_cam import RefineCAM
from closedform_wsss.nn.slic import SLIC
from closedform_wsss.nn.soft_slic import SoftSLIC
from closedform_wsss.nn.spixel_net import SpixelNet
from closedform_wsss.nn.superpixel_consistency_loss import SuperpixelConsistencyLoss
from closedform_wsss.nn.superpixel_reconstruction_loss import SuperpixelReconstructionLoss

__all__ = [
    "ASAM",
    "SLIC",
    "ClosedFormLoss",
    "DenseCRF",
    "DenseCRFLoss",
    "MarkLoss",
    "MattingFilter",
    "MultiLabelHead",
    "RefineCAM",
    "SoftSLIC",
    "SpixelNet",
    "SuperpixelConsistencyLoss",
    "SuperpixelReconstructionLoss",
]
