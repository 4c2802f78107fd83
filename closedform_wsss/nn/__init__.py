"""Modules: the functions of :mod:`closedform_wsss.functional` with their options kept."""

from closedform_wsss.nn.closed_form_loss import ClosedFormLoss
from closedform_wsss.nn.multi_label_head import MultiLabelHead

__all__ = ["ClosedFormLoss", "MultiLabelHead"]
